"""Which parameters are decayed, how fast each part learns, and which parts keep their weights."""

import torch
from safetensors.torch import load_file
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import write_tensors

UNDECAYED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)  # some norms have matrices


def groups(modules, rate_factors=None):
    """Groups of trainable parameters for an optimizer, alike in decay and rate.

    Weight decay is for matrices and filters: not for vectors (a learned frame), biases, norms, embeddings, and what a
    lobe marks ``_no_weight_decay`` as mamba_ssm does (``A_log`` and ``D`` of a scan).

    Parameters
    ----------
    modules : Module
        Its part ``model`` is what ``rate_factors`` names parts of.
    rate_factors : dict of str to float, optional
        Factor of the learning rate by part; of nested parts the innermost counts.

    Returns
    -------
    list of dict
        ``params``, ``factor`` and, where nothing is decayed, ``weight_decay`` 0.

    Raises
    ------
    UserError
        For a part that the model does not have, a factor that is no number above 0, and where nothing is to be trained.
    """
    factors = {}
    for name, factor in sorted((rate_factors or {}).items(), key=lambda item: item[0].count(".")):
        if not isinstance(factor, int | float) or not 0 < factor < float("inf"):
            raise UserError(f"rate_factors: that of {name!r} must be a number above 0, not {factor!r}; see frozen")
        factors |= {id(p): factor for p in part_of(modules["model"], name, "rate_factors").parameters()}
    found = {}
    for module in modules.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                key = factors.get(id(parameter), 1.0), _decays(module, name, parameter)
                found.setdefault(key, {})[id(parameter)] = parameter
    if not found:
        raise UserError("frozen: no part of the model is left to train; leave one out")
    return [
        {"params": list(parameters.values()), "factor": factor, **({} if decays else {"weight_decay": 0.0})}
        for (factor, decays), parameters in found.items()
    ]


def freeze(model, names):
    """Let parts keep their weights; returns them.

    Parameters
    ----------
    model : Module
    names : list of str
        Such as ``acoustic.encoder`` or ``acoustic.encoder.layers.0``.

    Raises
    ------
    UserError
        For a part that the model does not have.
    """
    return [part_of(model, name, "frozen").requires_grad_(False) for name in names]


def kept(model, parts):
    """Names of the model's parameters and buffers that belong to frozen parts."""
    tensors = {id(t) for part in parts for t in (*part.parameters(), *part.buffers())}
    return {name for name, t in model.state_dict(keep_vars=True).items() if id(t) in tensors}


def part_of(model, name, key):
    """The part of a model that a hyper-parameter names."""
    try:
        return model.get_submodule(name)
    except AttributeError:
        parts = ", ".join(name for name, _ in model.named_children())
        raise UserError(f"{key}: the model has no part {name!r}; its parts are {parts}") from None


def _decays(module, name, parameter):
    spared = getattr(parameter, "_no_weight_decay", False) or "bias" in name or isinstance(module, UNDECAYED)
    return parameter.ndim > 1 and not spared


class Weights:
    """A model's weights as checkpoints hold them: without those of frozen parts, which one file holds once.

    Parameters
    ----------
    model : Module
    frozen : list of Module
        Its frozen parts.
    """

    def __init__(self, model, frozen):
        self.model, self.left_out = model, kept(model, frozen)

    def state(self):
        """What a checkpoint holds."""
        return {name: tensor for name, tensor in self.model.state_dict().items() if name not in self.left_out}

    def load(self, state):
        """Take what a checkpoint holds; frozen weights stay."""
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        if unexpected or set(missing) - self.left_out:
            raise RuntimeError(f"a checkpoint of another model: {[*unexpected, *missing][0]}")

    def add_to(self, checkpointer):
        """Let a SpeechBrain Checkpointer save and recover them as ``model``."""
        checkpointer.add_recoverable(
            "model",
            self.model,
            custom_save_hook=lambda model, path: torch.save(self.state(), path),
            custom_load_hook=lambda model, path, end_of_epoch: self.load(torch.load(path, "cpu", weights_only=True)),
        )

    def keep(self, path):
        """Write the frozen weights into a file once, or take them from it."""
        if not self.left_out:
            return
        if path.is_file():
            self.model.load_state_dict(load_file(path), strict=False)
        elif distributed.is_main():
            state = self.model.state_dict()
            write_tensors(path, {name: state[name] for name in sorted(self.left_out)})
