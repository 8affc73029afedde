"""Optimizers that do without PyTorch's compiler, whose import would be a third of a training's start."""

import functools
import inspect

import torch

COMPILED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")  # what asks for the compiler, beside step


def eager(optimizer):
    """The same optimizer; its methods neither import the compiler nor can be compiled.

    Parameters
    ----------
    optimizer : type or functools.partial
        A class of `torch.optim`, or one with some of its arguments.

    Examples
    --------
    >>> weight = torch.nn.Parameter(torch.ones(1))
    >>> optimizer = eager(torch.optim.SGD)([weight], lr=0.5)
    >>> weight.sum().backward()
    >>> optimizer.step()
    >>> weight.item()
    0.5
    """
    if isinstance(optimizer, functools.partial):
        return functools.partial(eager(optimizer.func), *optimizer.args, **optimizer.keywords)
    methods = {name: inspect.unwrap(getattr(optimizer, name)) for name in COMPILED}
    return type(optimizer.__name__, (optimizer,), methods | {"step": _step(inspect.unwrap(optimizer.step))})


def _step(step):
    """A step with gradients recorded only where the optimizer is to be differentiated itself."""

    @functools.wraps(step)
    def stepping(self, *args, **kwargs):
        with torch.set_grad_enabled(self.defaults.get("differentiable", False)):
            return step(self, *args, **kwargs)

    return stepping
