"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv 2106.09685) on an encoder that keeps its own weights, by peft.

They belong to the training alone: when it is done they are merged into the weights, and the model is one like any
other, which is opened without peft.
"""

import torch
from torch import nn

from serenanet_modules.data.audio import SAMPLE_RATE as SECOND
from serenanet_modules.errors import UserError
from serenanet_modules.training.groups import part_of

PART = "acoustic.encoder"


def check_low_rank(model, asked):
    """Refuse adapters that cannot be, before the long work.

    Parameters
    ----------
    model : Module
        With an ``acoustic`` model.
    asked : dict or None
        The hyper-parameter ``lora``; its rank ``r`` is 0 for none.

    Raises
    ------
    UserError
        For layers that the encoder lacks, or never calls because it reads their weights itself, for an encoder that is
        kept by reference, and where peft is missing.
    """
    if not wanted(asked):
        return
    try:
        import peft  # noqa: F401
    except ImportError:
        raise UserError("lora: needs peft; pip install 'serenanet[pretrained]'") from None
    encoder = part_of(model, PART, "lora")
    if getattr(encoder, "keep", "copy") == "reference":
        raise UserError("keep_encoder: reference is for a frozen encoder, and lora changes it; set copy")
    targets, heard = _targets(encoder, asked["targets"]), set()
    hooks = [
        encoder.get_submodule(name).register_forward_hook(lambda *_, name=name: heard.add(name)) for name in targets
    ]
    with torch.no_grad():
        model.acoustic.eval()(torch.zeros(1, SECOND), torch.tensor([SECOND]))
    model.acoustic.train()
    for hook in hooks:
        hook.remove()
    if silent := [name for name in targets if name not in heard]:
        raise UserError(
            f"lora.targets: {silent[0]} cannot have an adapter: the encoder reads its weights and never calls it; name "
            "other layers, such as those of feed-forward parts"
        )


class LowRank:
    """Adapters on the linear layers of an encoder, whose own weights are frozen; none where none are asked for.

    At first they change nothing.

    Parameters
    ----------
    model : Module
        With its weights.
    asked : dict or None
        ``r``, the rank, 0 for none; ``alpha``: the scale of an adapter is alpha / r; ``dropout`` of what it reads;
        ``targets``, the last parts of the names of layers that get one.
    frozen : Frozen
        Gets what is around the adapters.
    seed : int
        Of their weights.
    """

    def __init__(self, model, asked, frozen, seed):
        self._tuner = None
        if not wanted(asked):
            return
        from peft import LoraConfig
        from peft.tuners.lora import LoraModel

        encoder = part_of(model, PART, "lora")
        torch.manual_seed(seed)
        config = LoraConfig(
            r=asked["r"],
            lora_alpha=asked["alpha"],
            lora_dropout=asked["dropout"],
            target_modules=_targets(encoder, asked["targets"]),
        )
        self._tuner = LoraModel(encoder, config, "low_rank")
        frozen.parts = [part for part in frozen.parts if not _adapted(part)] + list(_around(encoder))

    def merge(self):
        """Add what the adapters have learned to the weights, and take them out."""
        if self._tuner is not None:
            self._tuner.merge_and_unload()


def wanted(asked):
    """Whether the hyper-parameter ``lora``, None of tasks that lack it, asks for adapters."""
    return asked is not None and asked["r"] > 0


def _targets(encoder, ends):
    """Names of the linear layers whose last parts are these."""
    ends = ends if isinstance(ends, list) else [ends]
    linear = [name for name, module in encoder.named_modules() if isinstance(module, nn.Linear)]
    kinds = {name.rpartition(".")[2] for name in linear}
    if missing := [kind for kind in ends if kind not in kinds]:
        raise UserError(
            f"lora.targets: the encoder has no linear layer {missing[0]!r}; it has {', '.join(sorted(kinds)) or 'none'}"
        )
    return [name for name in linear if name.rpartition(".")[2] in ends]


def _adapted(module):
    """Whether there are adapters in a module."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    return any(isinstance(part, BaseTunerLayer) for part in module.modules())


def _around(module):
    """The largest parts of an adapted module that hold no adapter's own layers."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    if isinstance(module, BaseTunerLayer):
        yield module.get_base_layer()
    elif _adapted(module):
        for child in module.children():
            yield from _around(child)
    else:
        yield module
