"""Adapter to causal_conv1d's CUDA kernels."""

import functools

import torch

from serenanet_modules.ops.observers import constant


@functools.cache
def _package():
    """(causal_conv1d_fn, causal_conv1d_update) or None, and why not."""
    try:
        from causal_conv1d import causal_conv1d_fn, causal_conv1d_update
    except Exception as error:  # a package built for another PyTorch fails in many ways
        return None, f"causal_conv1d cannot be imported ({type(error).__name__}: {error})"
    return (causal_conv1d_fn, causal_conv1d_update), None


def why_not(x, width):
    """None if the kernels can run for this x and filter width, else the reason."""
    why = _why_not(x.device.type, x.dtype)
    if why is None and not 2 <= width <= 4:
        why = f"its kernels have widths 2 to 4, not {width}"
    if why is None and x.numel() == 0:
        why = "there is nothing to compute"
    return why


@constant  # so its arguments must be no sizes, which may be symbols
def _why_not(device, dtype):
    if device != "cuda":
        return f"its kernels need tensors on a CUDA device, not on {device!r}"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"its kernels have no {dtype}"
    return _package()[1]


def conv(x, weight, bias, initial, seq_idx, left, silu, channel_last):
    """As `ops.conv.register` says for a causal convolution; with ``seq_idx`` D must be divisible by 8."""
    weight, bias = _filter(weight, bias)
    if initial is not None:  # their own initial states want channels-last tensors
        x = torch.cat([initial.to(x.dtype), x], dim=2)
    if seq_idx is not None or channel_last and x.shape[1] % 8 == 0:
        seq_idx = None if seq_idx is None else seq_idx.to(torch.int32)
        if x.stride(1) != 1 or x.stride(0) % 8 or x.stride(2) % 8:
            x = x.transpose(1, 2).contiguous().transpose(1, 2)
    else:
        x = x.contiguous()
    call = _package()[0][0]
    y = call(x, weight, bias, seq_idx=seq_idx, activation="silu" if silu else None)
    return y if initial is None else y[..., left:]


def update(x, conv_state, weight, bias, cache_seqlens, conv_state_indices, silu):
    """As causal_conv1d_update, x (B, D, T)."""
    weight, bias = _filter(weight, bias)
    cache_seqlens, conv_state_indices = (
        None if t is None else t.to(torch.int32).contiguous() for t in (cache_seqlens, conv_state_indices)
    )
    call = _package()[0][1]
    return call(x, conv_state, weight, bias, "silu" if silu else None, cache_seqlens, conv_state_indices)


def _filter(weight, bias):
    """Weight in a type that the kernels have, bias in the same."""
    if weight.dtype == torch.float64:
        weight = weight.float()
    return weight, None if bias is None else bias.to(weight.dtype)
