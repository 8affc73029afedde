"""Which parameters are decayed, how fast each part learns, and which parts keep their weights."""

import logging
import re

from safetensors.torch import load_file
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import write_tensors
from serenanet_modules.runtime.sharding import spread, whole
from serenanet_modules.training.checkpoints import Held

logger = logging.getLogger(__name__)

UNDECAYED = (nn.Embedding, nn.EmbeddingBag, nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)  # some norms have matrices


def groups(modules, factors=None, later=()):
    """Groups of trainable parameters for an optimizer, alike in decay and rate.

    Weight decay is for matrices and filters: not for vectors (a learned frame), biases, norms, embeddings, and what a
    lobe marks ``_no_weight_decay`` as mamba_ssm does (``A_log`` and ``D`` of a scan). All of
    these, and what a lobe marks ``_elementwise``, are for optimizers that take each number by itself, not for `Muon`.

    Parameters
    ----------
    modules : Module
    factors : dict of int to float, optional
        Factor of the learning rate by the ``id`` of a parameter, where it is not 1; `rate_factors` makes them.
    later : iterable of Parameter, optional
        Those that are trained from some step on.

    Returns
    -------
    list of dict
        ``params``, ``factor`` and, where nothing is decayed, ``weight_decay`` 0; ``elementwise`` of these and of marked
        ones.

    Raises
    ------
    UserError
        Where nothing is to be trained at first.
    """
    found, seen, later, factors = {}, set(), set(map(id, later)), factors or {}
    if not any(p.requires_grad for p in modules.parameters()):
        raise UserError("freeze: no part of the model is left to train; freeze fewer parts")
    for module in modules.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if (parameter.requires_grad or id(parameter) in later) and id(parameter) not in seen:
                seen.add(id(parameter))  # two parts may share it
                decays, group = _decays(module, name, parameter), {"factor": factors.get(id(parameter), 1.0)}
                group |= {} if decays else {"weight_decay": 0.0}
                group |= {"elementwise": True} if not decays or hasattr(parameter, "_elementwise") else {}
                found.setdefault(tuple(group.items()), []).append(parameter)
    return [{"params": parameters, **dict(group)} for group, parameters in found.items()]


def rate_factors(model, plain, levels=(), loaded=()):
    """Factors of the learning rate by the ``id`` of each parameter whose factor is not 1.

    A factor is a product: that of the innermost part in ``rate_factors`` that the parameter belongs to,
    ``loaded_rate_factor`` where its weights were loaded, and ``layer_decay`` to the power of the layers above its own.

    Parameters
    ----------
    model : Module
    plain : dict
        These three hyper-parameters; what is missing changes nothing.
    levels : list of list of Module
        As of `AcousticModel.levels`.
    loaded : iterable of Parameter

    Raises
    ------
    UserError
        For a part that the model does not have, and a factor that is no number above 0.
    """
    found = {}
    for name, factor in sorted(plain["rate_factors"].items(), key=lambda item: item[0].count(".")):
        if not isinstance(factor, int | float) or not 0 < factor < float("inf"):
            raise UserError(f"rate_factors: that of {name!r} must be a number above 0, not {factor!r}; see freeze")
        found |= {id(p): factor for p in part_of(model, name, "rate_factors").parameters()}
    changes = [(loaded, plain.get("loaded_rate_factor", 1.0))]
    for above, level in enumerate(reversed(levels)):
        changes.append(([p for part in level for p in part.parameters()], plain.get("layer_decay", 1.0) ** above))
    for parameters, factor in changes:
        for key in set(map(id, parameters)) if factor != 1 else ():
            found[key] = found.get(key, 1.0) * factor
    return found


def part_of(model, name, key):
    """The part of a model that a hyper-parameter names."""
    try:
        return model.get_submodule(str(name))
    except AttributeError:
        parts = ", ".join(name for name, _ in model.named_children())
        raise UserError(f"{key}: the model has no part {name!r}; its parts are {parts}") from None


def parts_to_freeze(model, asked, levels=()):
    """The parts that the hyper-parameter ``freeze`` means.

    Parameters
    ----------
    model : Module
    asked : str, int, list of str or None
        ``front_end``, ``encoder``, or how many layers from the bottom, which includes the front end, below 0 all but so
        many at the top; or parts, such as ``acoustic.encoder``.
    levels : list of list of Module
        As of `AcousticModel.levels`.

    Raises
    ------
    UserError
        For what the model does not have.
    """
    if asked is None:
        return []
    asked = int(asked) if isinstance(asked, str) and re.fullmatch(r"-?\d+", asked) else asked
    if asked not in ("front_end", "encoder") and not isinstance(asked, int):
        return [part_of(model, name, "freeze") for name in (asked if isinstance(asked, list) else [asked])]
    if not levels:
        raise UserError(f"freeze: {asked!r} is for models of speech, with layers; name parts of this one")
    depth = len(levels) - 1
    count = {"front_end": 0, "encoder": depth}.get(asked, asked)
    if isinstance(asked, int):
        count += depth if asked < 0 else 0
        if not 1 <= count <= depth:
            raise UserError(
                f"freeze: {asked} is not possible, as the encoder has {depth} layers; give 1 to {depth}, -1 to "
                f"{1 - depth}, front_end, encoder, or names of parts"
            )
    return [part for level in levels[: count + 1] for part in level]


class Frozen:
    """Parts of a model that keep their weights and do as in evaluation, for good or for the first steps.

    Parameters
    ----------
    parts : list of Module
    steps : int, optional
        Optimizer steps after which they are trained; None or 0 for never.

    Attributes
    ----------
    later : list of Parameter
        What will be trained; what was not to be trained before never is.
    """

    def __init__(self, parts=(), steps=None):
        self.parts, self.steps = list(parts), steps or None
        parameters = {id(p): p for part in self.parts for p in part.parameters() if p.requires_grad}
        for parameter in parameters.values():
            parameter.requires_grad_(False)
        self.later = list(parameters.values()) if self.steps else []

    @property
    def kept(self):
        """Parts that are frozen for good."""
        return [] if self.steps else self.parts

    def before(self, done):
        """Make ready for a micro-batch of the step that follows ``done`` ones; the other parts are in training mode."""
        if not self.steps or done < self.steps:
            for part in self.parts:
                part.eval()
        elif self.parts:
            for parameter in self.later:
                parameter.requires_grad_(True)
            for part in self.parts:
                part.train()
            logger.info("From step %d on all parts are trained", self.steps + 1)
            self.parts = []


def left_out(model, frozen):
    """Names of what no step of a training changes: parameters that are never trained, and frozen parts' buffers."""
    later = set(map(id, frozen.later))
    never = {id(p) for p in model.parameters() if not p.requires_grad and id(p) not in later}
    never |= {id(b) for part in frozen.kept for b in part.buffers()}
    return {name for name, t in model.state_dict(keep_vars=True).items() if id(t) in never}


def _decays(module, name, parameter):
    spared = getattr(parameter, "_no_weight_decay", False) or "bias" in name or isinstance(module, UNDECAYED)
    return parameter.ndim > 1 and not spared


class Weights(Held):
    """A model's weights as checkpoints hold them: without those that never change, which one file holds once.

    Parameters
    ----------
    model : Module
    frozen : Frozen
        Its frozen parts.
    elsewhere : collection of str
        Names of tensors whose source is referred to, and which are read from there.
    """

    def __init__(self, model, frozen, elsewhere=()):
        self.model, self.left_out = model, left_out(model, frozen)
        self.held = self.left_out - set(elsewhere)

    def state(self):
        """What a checkpoint holds, whole on the main process; all call this alike."""
        return whole({name: tensor for name, tensor in self.model.state_dict().items() if name not in self.left_out})

    def load(self, state):
        """Take what a checkpoint holds; frozen weights stay."""
        own = self.model.state_dict()
        state = {name: spread(tensor, own.get(name)) for name, tensor in state.items()}
        missing, unexpected = self.model.load_state_dict(state, strict=False)
        if unexpected or set(missing) - self.left_out:
            raise RuntimeError(f"a checkpoint of another model: {[*unexpected, *missing][0]}")

    def keep(self, path):
        """Write the frozen weights into a file once, or take them from it."""
        if not self.held:
            return
        if path.is_file():
            self.model.load_state_dict(load_file(path), strict=False)
        elif distributed.is_main():
            state = self.model.state_dict()
            write_tensors(path, {name: state[name] for name in sorted(self.held)})
