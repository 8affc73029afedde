"""Depthwise convolution through the C++ kernels, in either memory layout."""

import torch

from serenanet_modules.ops import conv as core
from serenanet_modules.ops import cpp

BLOCK = 4096  # weights of the channels that a task takes in the channels-last layout
WORTHWHILE = 2**16  # multiplications below which one thread is faster than starting more


def _forward(x, weight, bias, initial, seq_idx, left, silu, channel_last):
    inputs = _Inputs(x, weight, bias, initial, seq_idx, left, silu, channel_last)
    y = core.empty(x, x.shape, inputs.dtype, channel_last)
    if x.numel():
        scratch = inputs.scratch(0 if channel_last else x.shape[2] + weight.shape[1] - 1)
        inputs.call("", scratch, y)
    return y.to(x.dtype)


def _backward(g, x, weight, bias, initial, seq_idx, left, silu, channel_last):
    inputs = _Inputs(x, weight, bias, initial, seq_idx, left, silu, channel_last)
    (batch, channels, length), width = x.shape, weight.shape[1]
    grad_x = core.empty(x, x.shape, inputs.dtype, channel_last)
    grad_weight = torch.zeros_like(inputs.weight)
    grad_bias = None if bias is None else torch.zeros_like(inputs.bias)
    grad_initial = None if initial is None else core.empty(x, initial.shape, inputs.dtype, channel_last).zero_()
    if x.numel():
        g, g_batch, g_row = _rows(g.to(inputs.dtype), channel_last)
        results = g, g_batch, g_row, grad_x, grad_weight, grad_bias, grad_initial
        if channel_last:
            parts = (x.new_zeros(batch, *size, channels, dtype=inputs.dtype) for size in ((width,), ()))
            inputs.call("_backward", inputs.scratch(width * inputs.block), *results, *parts)
        else:
            inputs.call("_backward", inputs.scratch(2 * (length + width - 1) + left + width), *results)
    if channel_last:
        grad_weight = grad_weight.T.contiguous()
    return (
        grad_x.to(x.dtype),
        grad_weight.to(weight.dtype),
        x.new_empty(0) if bias is None else grad_bias.to(bias.dtype),
        x.new_empty(0) if initial is None else grad_initial.to(initial.dtype),
    )


conv = core.register("conv_cpp", _forward, _backward)


class _Inputs:
    """What both directions read, alive and in the kernels' layout for as long as a kernel runs."""

    def __init__(self, x, weight, bias, initial, seq_idx, left, silu, channel_last):
        self.dtype, self.channel_last = core.precision(x), channel_last
        self.x, x_batch, x_row = _rows(x.to(self.dtype), channel_last)
        self.weight = (weight.T if channel_last else weight).to(self.dtype).contiguous()
        self.bias = None if bias is None else bias.to(self.dtype).contiguous()
        self.initial = None
        if initial is not None:
            self.initial = (initial.transpose(1, 2) if channel_last else initial).to(self.dtype).contiguous()
        self.around = ()
        if channel_last:
            seq_idx = None if seq_idx is None else seq_idx.to(torch.int32).contiguous()
            self.block = max(64, BLOCK // weight.shape[1])
            self.around = seq_idx, self.block
        self.threads = _threads(x.numel() * weight.shape[1])
        batch, channels, length = x.shape
        self.sizes = channels, length, weight.shape[1], left, x_batch, x_row, silu, batch, self.threads

    def scratch(self, size):
        return self.weight.new_empty(self.threads * size)

    def call(self, direction, scratch, *rest):
        name = ("conv_last" if self.channel_last else "conv_first") + direction
        tensors = self.x, self.weight, self.bias, self.initial
        cpp.call(name, self.dtype, *tensors, *self.sizes, scratch, *self.around, *rest)


def _rows(x, channel_last):
    """x with its fast dimension contiguous, and the strides over the batch and over the slow dimension."""
    rows = x.transpose(1, 2) if channel_last else x
    if rows.stride(2) != 1:
        rows = rows.contiguous()
    return rows, rows.stride(0), rows.stride(1)


def _threads(work):
    return torch.get_num_threads() if work >= WORTHWHILE else 1


def update(x, state, weight, bias, start, silu):
    """As `plain.conv.update`; all floating-point tensors in float32 or all in float64."""
    x, weight, bias = x.contiguous(), weight.contiguous(), None if bias is None else bias.contiguous()
    start = None if start is None else start.contiguous()
    y = torch.empty_like(x)
    sizes = *x.shape, weight.shape[1], silu, _threads(x.numel() * weight.shape[1])
    cpp.call("conv_update", x.dtype, x, weight, bias, state, start, state.shape[2], *state.stride(), y, *sizes)
    return y
