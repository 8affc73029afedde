"""Dropout that costs a CPU little: PyTorch's draws a mask number by number and keeps it for the backward pass."""

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from serenanet_modules.ops import cpp
from serenanet_modules.ops.observers import unobserved

WORTHWHILE = 2**12  # elements below which the call's own cost decides


def dropout(x, p=0.5, training=True):
    """Zero each element with probability ``p`` and scale the others by ``1 / (1 - p)``.

    The C++ kernel's mask is a hash of an element's position and of a seed from torch's generator, so that the backward
    pass draws it again. Where that kernel cannot run, this is `torch.nn.functional.dropout`.

    Parameters
    ----------
    x : Tensor
        Any shape.
    p : float
        0 to 1.
    training : bool
        Whether to do anything.

    Returns
    -------
    Tensor
        In the shape and dtype of ``x``.

    Examples
    --------
    >>> y = dropout(torch.ones(100_000), p=0.2)
    >>> y.unique().tolist(), round(float(y.mean()), 1)
    ([0.0, 1.25], 1.0)
    """
    if training and 0 < p < 1 and _takes(x):
        seed = int(torch.randint(2**62, ()))
        return _Dropout.apply(x, p, seed)
    return functional.dropout(x, p, training)


def _takes(x):
    return (
        unobserved(x)
        and x.device.type == "cpu"
        and x.dtype in (torch.float32, torch.float64)
        and x.numel() >= WORTHWHILE
        and cpp.why_not() is None
    )


class _Dropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, p, seed):
        ctx.p, ctx.seed = p, seed
        return _masked(x, p, seed)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        return _masked(grad, ctx.p, ctx.seed), None, None


def _masked(x, p, seed):
    x = x.contiguous()
    y = torch.empty_like(x)
    threshold = min(round(p * 2**32), 2**32 - 1)
    cpp.call("dropout", x.dtype, x, y, x.numel(), seed, threshold, torch.get_num_threads())
    return y
