"""How several processes share a training: each has all weights, or, with ``--fsdp``, a part of them (PyTorch's FSDP2).

Sharded, a process holds its part of each parameter, of its gradient and of what the optimizer knows of it; a block of
the network is whole only while it computes. Neither models nor optimizers
know of it, and checkpoints hold whole tensors (`whole`, `spread`), so that any number of processes, sharded or not, can
go on from them.
"""

import contextlib

import torch
import torch.distributed as dist
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.runtime import distributed


class Replicas:
    """Each process has all weights, and gradients are summed once in a step.

    Not by hooks of DistributedDataParallel during the last backward pass: so a micro-batch is its process's own affair.

    Attributes
    ----------
    name : str or None
        In result.json.
    divides : bool
        Whether a process may try a micro-batch again in parts.
    """

    name, divides = None, True

    def share_out(self, modules, optimizer, attempt):
        """Begin, with weights that are the same in all processes.

        Parameters
        ----------
        modules : ModuleDict
        optimizer : Optimizer
            Of their parameters; gets other ones where these change.
        attempt : callable
            Passes something through the network.

        Returns
        -------
        callable
            Parameter -> the one that stands in its place.
        """
        return lambda parameter: parameter

    def sum_gradients(self, parameters):
        """Sum gradients over the processes once all micro-batches of a step are done."""
        distributed.sum_gradients(parameters)

    def clip(self, parameters, most):
        """Scale gradients down to a norm; returns the norm that they had.

        It is summed in float64, so that how weights are spread over processes changes no bit of it.
        """
        parts, wholes = _gradients(parameters)
        square = _square(wholes) if wholes else torch.zeros((), dtype=torch.float64, device=parameters[0].device)
        norm = (square + distributed.sum_(_square(parts)) if parts else square).sqrt().float()
        torch._foreach_mul_([*parts, *wholes], (most / (norm + 1e-6)).clamp(max=1.0))
        return norm

    def gathered(self, modules):
        """A context in which every process has all weights, not to be trained; all enter and leave it together."""
        return contextlib.nullcontext()

    def end(self, modules):
        """Leave modules as they would be without."""


class Shards(Replicas):
    """Each process has a part of the weights."""

    name, divides = "fsdp", False

    def share_out(self, modules, optimizer, attempt):
        before = dict(modules.named_parameters())
        found = entered(modules, list(blocks(modules)), attempt)
        for module in modules.values():
            self._shard(module, [block for block in blocks(module) if block in found])
        after = dict(modules.named_parameters())
        places = {id(parameter): after[name] for name, parameter in before.items()}
        for group in optimizer.param_groups:
            group["params"] = [places[id(parameter)] for parameter in group["params"]]
        return lambda parameter: places[id(parameter)]

    @staticmethod
    def _shard(module, found):
        from torch.distributed.fsdp import fully_shard

        scalars = {parameter for parameter in module.parameters() if parameter.ndim == 0}
        device = next(module.parameters()).device.type
        options = {"mesh": dist.init_device_mesh(device, (distributed.world_size(),)), "ignored_params": scalars}
        for block in found:
            fully_shard(block, **options, reshard_after_forward=True)
        fully_shard(module, **options, reshard_after_forward=False)
        for part in _sharded(module):
            # the loss has each utterance's share of the step already, and gloo can only sum
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)

    def sum_gradients(self, parameters):
        """Those of shards are summed already, with each backward pass."""
        distributed.sum_gradients([p for p in parameters if not is_part(p)])

    @contextlib.contextmanager
    def gathered(self, modules):
        parts = [part for module in modules.values() for part in _sharded(module)]
        with torch.no_grad():
            for module in modules.values():
                _know_root(module)
            for part in parts:
                part.set_reshard_after_forward(False, recurse=False)
                part.unshard()
        try:
            yield
        finally:
            roots = set(modules.values())
            for part in parts:
                part.set_reshard_after_forward(part not in roots, recurse=False)
                part.reshard()

    def end(self, modules):
        """Give every process all weights for good, in modules that know nothing of shards any more."""
        for module in modules.values():
            _know_root(module)
            for part in _sharded(module):
                part.unshard()
            own = {id(p): nn.Parameter(p.detach().clone(), p.requires_grad) for p in module.parameters()}
            for part in _sharded(module):
                _forget(part)
            for part in module.modules():
                for name, parameter in part.named_parameters(recurse=False):
                    setattr(part, name, own[id(parameter)])


def sharing(asked, precision):
    """How this run's processes share the work: as ``--fsdp`` asks, where there are several.

    Raises
    ------
    UserError
        For fp16, whose scale each process would choose from its own part of the gradients.
    """
    if not asked or distributed.world_size() == 1:
        return Replicas()
    if precision == "fp16":
        raise UserError("--fsdp: does not support fp16; use bf16, or leave --fsdp out")
    return Shards()


def blocks(module):
    """What stands in lists inside a module and is made of parts itself; not in lists inside of these."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield from (block for block in child if any(True for part in block.children() for _ in part.parameters()))
        else:
            yield from blocks(child)


def entered(modules, candidates, attempt):
    """Those blocks that are whole whenever they are needed: no part of them is called but by themselves.

    Parameters
    ----------
    modules : Module
    candidates : list of Module
    attempt : callable
        Passes something through the network.

    Returns
    -------
    set of Module
    """
    inside, found, hooks = set(), set(candidates), []
    for block in candidates:
        hooks.append(block.register_forward_pre_hook(lambda block, _: inside.add(block)))
        hooks.append(block.register_forward_hook(lambda block, *_: inside.discard(block)))
        for part in block.modules():
            if part is not block:
                hooks.append(
                    part.register_forward_pre_hook(
                        lambda *_, block=block: found.discard(block) if block not in inside else None
                    )
                )
    was = modules.training
    with torch.no_grad():
        modules.eval()
        attempt()
        modules.train(was)
    for hook in hooks:
        hook.remove()
    return found


def is_part(tensor):
    """Whether it is a `DTensor`, whose module trainings without shards do not import."""
    return hasattr(tensor, "full_tensor")


def _gradients(parameters):
    """Of this process: those of its parts of parameters, and those of whole ones."""
    parts, wholes = [], []
    for gradient in (p.grad for p in parameters if p.grad is not None):
        if is_part(gradient):
            parts.append(gradient.to_local())
        else:
            wholes.append(gradient)
    return parts, wholes


def _square(gradients):
    """Sum of the squares of all their elements."""
    return torch.stack([torch.linalg.vector_norm(g, dtype=torch.float64) for g in gradients]).square().sum()


def whole(state):
    """A nest of dicts and lists with whole tensors on the main process; all call this alike. Others have None for them.

    Without shards it is returned as it is.
    """
    if isinstance(state, dict):
        return {key: whole(value) for key, value in state.items()}
    if isinstance(state, list):
        return [whole(value) for value in state]
    if is_part(state):
        full = state.full_tensor()
        return full.cpu() if distributed.is_main() else None
    return state


def spread(tensor, like):
    """A whole tensor, which all processes have, as this process shall hold it: the part of it where ``like`` is one."""
    if not is_part(like) or tensor.shape != like.shape:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _sharded(module):
    from torch.distributed.fsdp import FSDPModule

    return [part for part in module.modules() if isinstance(part, FSDPModule)]


def _know_root(module):
    """Let a module know that it is the outermost one, which it else finds out when it first computes."""
    module._get_fsdp_state()._lazy_init()


def _forget(part):
    """Take what `fully_shard` has added off a module whose parameters are whole; PyTorch 2.11 has no call for it."""
    from torch.distributed.fsdp import FSDPModule

    state = part._get_fsdp_state()
    group = state._fsdp_param_group
    handles = [state._pre_forward_hook_handle, state._post_forward_hook_handle]
    if group is not None:
        handles += group._module_to_pre_save_state_dict_hook_handle.values()
        handles += group._module_to_pre_load_state_dict_hook_handle.values()
        handles += [parameter._post_load_hook_handle for parameter in group.fsdp_params]
    for handle in handles:
        handle.remove()
    part.__class__ = type(part).__mro__[FSDPModule._orig_cls_mro_index]
