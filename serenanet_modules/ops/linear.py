"""Matrix products on CPUs whose vector units PyTorch's default BLAS leaves half idle.

PyTorch computes float32 products with Intel's MKL, which runs 256-bit code on AMD processors; oneDNN, also part of
PyTorch, uses AVX-512. Where the units really are 512 bits wide that nearly halves the time of a linear layer's forward
and backward; on Zen 4, which has AVX-512 on 256-bit units, large products take the same and small ones longer
(``benchmarks/README.md``). Everywhere but on Zen 5 and later this is `torch.nn.functional.linear`.
"""

import functools
import re
from pathlib import Path

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from serenanet_modules.ops.observers import constant, unobserved, wants_gradients

ZEN_5 = 26  # processor family
WORTHWHILE = 2**21  # multiplications below which the call's own cost decides


def linear(x, weight, bias=None):
    """``x @ weight.T + bias``, with the arguments and result of `torch.nn.functional.linear`.

    Parameters
    ----------
    x : Tensor
        (..., F).
    weight : Tensor
        (H, F).
    bias : Tensor, optional
        (H,).

    Returns
    -------
    Tensor
        (..., H).

    Examples
    --------
    >>> linear(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 4.0]]))
    tensor([[11.]])
    """
    if not _takes(x, weight):
        return functional.linear(x, weight, bias)
    if wants_gradients(x, weight, bias):
        return _OneDNNLinear.apply(x, weight, bias)
    return _layer(x, weight, bias)


def _takes(x, weight):
    return (
        onednn_is_faster()
        and unobserved(x, weight)
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and not torch.is_autocast_enabled("cpu")
        and x.numel() * weight.shape[0] >= WORTHWHILE
    )


@constant
def onednn_is_faster() -> bool:
    """Whether this is an AMD processor with 512-bit units, Zen 5 or later, and PyTorch has both libraries."""
    return _onednn_is_faster()


@functools.cache
def _onednn_is_faster():
    capable = torch.backends.cpu.get_cpu_capability().startswith("AVX512")
    both = torch.backends.mkl.is_available() and torch.backends.mkldnn.is_available()
    if not (capable and both and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        return False
    try:
        return _has_wide_units(Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return False


def _has_wide_units(cpuinfo):
    r"""Whether this describes an AMD processor of Zen 5 or later.

    >>> [_has_wide_units(f"vendor_id\t: AuthenticAMD\ncpu family\t: {family}\n") for family in (25, 26)]
    [False, True]
    """
    family = re.search(r"^cpu family\s*: (\d+)", cpuinfo, re.MULTILINE)
    return "AuthenticAMD" in cpuinfo and family is not None and int(family[1]) >= ZEN_5


class _OneDNNLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _layer(x, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        rows = _rows(grad)  # (R, H)
        grad_x = _product(rows, weight.t()).view(x.shape) if needs_x else None
        grad_weight = _product(rows.t(), _rows(x).t()) if needs_weight else None
        return grad_x, grad_weight, rows.sum(0) if needs_bias else None


def _layer(x, weight, bias):
    return _product(_rows(x), weight, bias).view(*x.shape[:-1], -1)


def _rows(x):
    return x.reshape(-1, x.shape[-1])


def _product(x, weight, bias=None):
    return torch.ops.mkldnn._linear_pointwise(_dense(x), _dense(weight), bias, "none", [], "")


def _dense(matrix):
    """oneDNN has fast kernels for a matrix without gaps, transposed or not; for any other a very slow one."""
    return matrix if matrix.is_contiguous() or matrix.t().is_contiguous() else matrix.contiguous()
