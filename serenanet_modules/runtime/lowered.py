"""Linear layers of a finished model that multiply in fewer bits, where their sizes allow it.

Weights, biases, state dicts and module classes stay what they are: a layer's ``forward`` alone is replaced, on this
object. Everything else of a model, such as norms, softmax, scans and losses, computes as `precision.Context` says.
Rows are padded to the numbers that the kernels ask for.
"""

import dataclasses
from collections import Counter

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.runtime.precision import KINDS

MANTISSA = 13  # bits of a float32 that TF32 drops


class Lowered:
    """Lets the linear layers of a model compute in other precisions while it trains and while it is used.

    Parameters
    ----------
    model : Module
    exact : iterable of Module
        Parts whose layers stay as they are.
    training, evaluation : str
        Precisions, of `precision.KINDS`, in training mode and in evaluation mode.
    emulated : bool
        Whether to round as the hardware would, on any machine.

    Attributes
    ----------
    converted : dict of str to Module
        Layers that were, by name.
    left : dict of str to str
        Layers that were not, and why.
    called : set of str
        Converted layers that have computed so. A part may read a layer's weights itself and never call it.
    """

    def __init__(self, model, exact=(), training="fp32", evaluation="fp32", emulated=False):
        self.names = {True: training, False: evaluation}
        self.emulated = emulated
        self.products = {mode: _product(name, emulated) for mode, name in self.names.items()}
        spared = {module for part in exact for module in part.modules()}
        linear = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear)}
        multiple = max([KINDS[name].multiple for mode, name in self.names.items() if self.products[mode]], default=0)
        self.left = {name: why for name, m in linear.items() if (why := _why_not(m, m in spared, multiple))}
        self.converted = {name: m for name, m in linear.items() if name not in self.left} if multiple else {}
        self._weights = sum(m.weight.numel() for m in linear.values())
        self.called = set()
        for name, module in self.converted.items():
            module.forward = _Forward(self, name, module)

    def about(self):
        """What was converted, for result.json; {} where no precision asks for it."""
        if not any(self.products.values()):
            return {}
        converted = sum(m.weight.numel() for m in self.converted.values())
        return {
            "emulated": self.emulated,
            "converted_layers": len(self.converted),
            "share_of_linear_weights": round(converted / max(1, self._weights), 4),
            "never_called": sorted(self.converted.keys() - self.called) if self.called else [],
            "left": self.left,
        }

    def __str__(self):
        about = self.about()
        names = " and ".join(dict.fromkeys(self.names[mode] for mode in (True, False) if self.products[mode]))
        left = Counter(self.left.values())
        told = f"{names}: {about['converted_layers']} linear layers, {100 * about['share_of_linear_weights']:.0f} % of "
        told += "the linear layers' weights; " + (", ".join(f"{n} not ({why})" for why, n in left.items()) or "all")
        return told + ("; emulated" if self.emulated else "")


class _Forward:
    """What a converted layer does."""

    def __init__(self, lowered, name, module):
        self.lowered, self.name, self.module = lowered, name, module

    def __call__(self, x):
        """x (..., in_features) -> (..., out_features)."""
        module = self.module
        product = self.lowered.products[module.training]
        if product is None or not x.numel():
            return type(module).forward(module, x)
        self.lowered.called.add(self.name)
        (multiply, multiple), grad = product, torch.is_grad_enabled()
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else x.dtype
        rows = x.to(dtype).reshape(-1, x.shape[-1])
        rows, count = functional.pad(rows, (0, 0, 0, -len(rows) % multiple)), len(rows)
        # torchao's tensors take some of their ways only outside of inference mode
        with torch.inference_mode(False), torch.set_grad_enabled(grad), torch.autocast(device, enabled=False):
            y = multiply(rows, module.weight.to(dtype))[:count]
        y = y.view(*x.shape[:-1], -1)
        return y if module.bias is None else y + module.bias.to(y.dtype)


def _why_not(module, spared, multiple):
    """Why a layer stays as it is, "" where it does not."""
    if spared:
        return "front end or output"
    if not any(p.requires_grad for p in module.parameters(recurse=False)) and module.training:
        return "frozen"
    sizes = module.in_features, module.out_features
    return f"a size that is no multiple of {multiple}" if multiple and any(n % multiple for n in sizes) else ""


def _product(name, emulated):
    """(function of rows (N, F) and weight (H, F) -> (N, H), what N must be a multiple of); None: as it is."""
    kind = KINDS[name]
    if name == "tf32":
        return (_TF32.apply, 1) if emulated else None  # the GPU's own are a switch
    if not kind.torchao:
        return None
    return (_fp8(emulated) if name == "fp8" else _mx(name, emulated)), kind.multiple


def _fp8(emulated):
    """Each row of x and of the weight, and each column of the gradients, has a scale of its own."""
    from torchao.float8 import Float8LinearConfig
    from torchao.float8.float8_linear import Float8Linear, matmul_with_hp_or_float8_args

    config = dataclasses.replace(Float8LinearConfig.from_recipe_name("rowwise"), emulate=emulated)
    options = Float8Linear(16, 16, bias=False, config=config).linear_mm_config
    return lambda x, weight: matmul_with_hp_or_float8_args.apply(x, weight.t(), options, config)


def _mx(name, emulated):
    """Each 32 numbers share a scale that is a power of two (OCP Microscaling Formats, 2023)."""
    from torchao.prototype.moe_training.mxfp8_linear import mx_mm
    from torchao.prototype.mx_formats.config import (
        MXFP8Dim0CastKernelChoice,
        MXFP8Dim1CastKernelChoice,
        ScaleCalculationMode,
    )
    from torchao.quantization.quantize_.common.kernel_preference import KernelPreference

    kind = torch.float8_e4m3fn if name == "mxfp8" else torch.float4_e2m1fn_x2
    kernels = KernelPreference.EMULATED if emulated else KernelPreference.AUTO
    casts = MXFP8Dim0CastKernelChoice.TORCH, MXFP8Dim1CastKernelChoice.TORCH, ScaleCalculationMode.RCEIL
    block, exact_weight_gradient = 32, False
    return lambda x, weight: mx_mm.apply(x, weight, kind, kind, kind, block, kernels, *casts, exact_weight_gradient)


class _TF32(torch.autograd.Function):
    """The product of numbers rounded to TF32's ten bits, summed in float32, as is that of its gradients."""

    @staticmethod
    def forward(ctx, x, weight):
        x, weight = _rounded(x), _rounded(weight)
        ctx.save_for_backward(x, weight)
        return x @ weight.t()

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad = _rounded(grad)
        return grad @ weight, grad.t() @ x


def _rounded(x):
    """Float32 numbers to the nearest of TF32.

    >>> _rounded(torch.tensor([1 + 2**-10, 1 + 2**-12, torch.inf])).tolist()
    [1.0009765625, 1.0, inf]
    """
    bits = x.contiguous().view(torch.int32)
    near = (bits + (1 << (MANTISSA - 1))) >> MANTISSA << MANTISSA
    return torch.where(x.isfinite(), near.view(torch.float32), x)
