"""Causal depthwise convolution with causal_conv1d's names, arguments and results, on any device."""

import torch
from torch.nn import functional

from serenanet_modules.ops import cpp
from serenanet_modules.ops.arguments import check_devices, check_shapes
from serenanet_modules.ops.backends import choose
from serenanet_modules.ops.conv import check, is_channel_last, precision
from serenanet_modules.ops.cpp import conv as cpp_conv
from serenanet_modules.ops.fused import conv as fused_conv
from serenanet_modules.ops.observers import custom_op
from serenanet_modules.ops.plain import conv as plain_conv


def causal_conv1d_fn(
    x,
    weight,
    bias=None,
    seq_idx=None,
    initial_states=None,
    return_final_states=False,
    final_states_out=None,
    activation=None,
    *,
    backend=None,
):
    """Causal depthwise convolution over time.

    Parameters
    ----------
    x : Tensor
        Input (B, D, L). Channels may lie next to each other in memory (``x.stride(1) == 1``): no copy is made.
    weight : Tensor
        One filter per channel (D, W), of any width.
    bias : Tensor, optional
        (D,).
    seq_idx : Tensor, optional
        (B, L) integers: the sequence that each step belongs to. A step hears its own sequence only; where the index
        is negative, the output is zero.
    initial_states : Tensor, optional
        What came before x, (B, D, W - 1); zeros if not given. Not together with ``seq_idx``.
    return_final_states : bool
        Whether to return the last W - 1 inputs too, which continue the convolution as its initial states. Not together
        with ``seq_idx``.
    final_states_out : Tensor, optional
        (B, D, W - 1), to be written to.
    activation : {None, "silu", "swish"}
        Applied to the sum.
    backend : {None, "fused", "cpp", "torch"}
        By default the fastest that can run.

    Returns
    -------
    Tensor or (Tensor, Tensor)
        ``y[t] = bias + sum_w weight[w] * x[t - W + 1 + w]``, (B, D, L) in the dtype of x; with ``return_final_states``
        also (B, D, W - 1). Both carry gradients.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.
    BackendError
        If the backend asked for cannot run.

    Examples
    --------
    >>> x = torch.tensor([[[1.0, 2.0, 3.0]]])
    >>> weight = torch.tensor([[10.0, 1.0]])
    >>> causal_conv1d_fn(x, weight)
    tensor([[[ 1., 12., 23.]]])
    >>> causal_conv1d_fn(x, weight, initial_states=torch.tensor([[[4.0]]]), return_final_states=True)
    (tensor([[[41., 12., 23.]]]), tensor([[[3.]]]))
    """
    check(x, weight, bias, activation)
    batch, channels, length = x.shape
    left = weight.shape[1] - 1
    if seq_idx is not None and (initial_states is not None or return_final_states):
        raise ValueError("seq_idx excludes initial_states and return_final_states: sequences begin within x.")
    wanted = {"initial_states": initial_states, "final_states_out": final_states_out}
    wanted = {name: (states, (batch, channels, left)) for name, states in wanted.items()}
    check_shapes({"seq_idx": (seq_idx, (batch, length)), **wanted})
    check_devices("x", x.device, seq_idx=seq_idx, initial_states=initial_states, final_states_out=final_states_out)
    run = convolution("causal_conv1d_fn", backend, x, weight, seq_idx, causal=True)
    y = run(x, weight, bias, initial_states, seq_idx, left, activation is not None)
    if not return_final_states:
        return y
    final = _final_states(x, initial_states, left)
    return y, final if final_states_out is None else final_states_out.copy_(final)


def convolution(op, backend, x, weight, seq_idx=None, *, causal):
    """What runs one call of the operation ``op``: a function of x, weight, bias, initial, seq_idx, left, silu."""

    def fused():
        if not causal:
            return "its kernels are causal"
        if seq_idx is not None and x.shape[1] % 8:
            return f"its kernels take seq_idx with channels divisible by 8, not {x.shape[1]}"
        return fused_conv.why_not(x, weight.shape[1])

    reasons = {"fused": fused, "cpp": lambda: cpp.why_not_for(x), "torch": lambda: None}
    backends = {"fused": fused_conv.conv, "cpp": cpp_conv.conv, "torch": plain_conv.conv}
    run = backends[choose(op, backend, reasons)]
    channel_last = seq_idx is not None or is_channel_last(x)
    return lambda *arguments: run(*arguments, channel_last)


def _final_states(x, initial, size):
    """The last ``size`` steps of what was before x and of x, in memory of their own."""
    missing = max(0, size - x.shape[2])
    last = x[..., x.shape[2] - (size - missing) :]
    if missing and initial is not None:
        return torch.cat([initial[..., initial.shape[2] - missing :].to(x.dtype), last], dim=2)
    return functional.pad(last, (missing, 0)) if missing else last.clone()


def causal_conv1d_update(
    x,
    conv_state,
    weight,
    bias=None,
    activation=None,
    cache_seqlens=None,
    conv_state_indices=None,
    *,
    backend=None,
):
    """One or more steps of a causal depthwise convolution, with the window of past inputs changed in place.

    It has no gradients; `causal_conv1d_fn` with ``initial_states`` has.

    Parameters
    ----------
    x : Tensor
        (B, D), or (B, D, T) for T steps.
    conv_state : Tensor
        The last inputs, (B, D, S) with S >= W - 1, in the dtype of x.
    weight : Tensor
        (D, W).
    bias : Tensor, optional
        (D,).
    activation : {None, "silu", "swish"}
        Applied to the sum.
    cache_seqlens : Tensor, optional
        (B,) integers. With it ``conv_state`` is a circular buffer, into which x is written from the index
        ``cache_seqlens % S`` on; without it the window is shifted.
    conv_state_indices : Tensor, optional
        (B,) integers, all different: ``conv_state`` then is (any number, D, S), of which utterance b owns the row
        ``conv_state_indices[b]``. A negative index means no utterance: zero output, no change.
    backend : {None, "fused", "cpp", "torch"}
        By default the fastest that can run.

    Returns
    -------
    Tensor
        In the shape and dtype of x.

    Raises
    ------
    ValueError
        If shapes or types do not fit each other.
    BackendError
        If the backend asked for cannot run.

    Examples
    --------
    >>> state = torch.tensor([[[1.0, 2.0]]])
    >>> causal_conv1d_update(torch.tensor([[3.0]]), state, torch.tensor([[100.0, 10.0, 1.0]]))
    tensor([[123.]])
    >>> state
    tensor([[[2., 3.]]])
    """
    check(x, weight, bias, activation, steps=False)
    _check_window(x, conv_state, weight, cache_seqlens, conv_state_indices)
    reasons = {
        "fused": lambda: fused_conv.why_not(x, weight.shape[1]),
        "cpp": lambda: cpp.why_not_for(x),
        "torch": lambda: None,
    }
    chosen = choose("causal_conv1d_update", backend, reasons)
    steps = x if x.dim() == 3 else x.unsqueeze(2)
    arguments = steps, conv_state, weight, bias, cache_seqlens, conv_state_indices, activation is not None
    y = fused_conv.update(*arguments) if chosen == "fused" else _update(*arguments, chosen == "cpp")
    return y if x.dim() == 3 else y.squeeze(2)


def _check_window(x, conv_state, weight, cache_seqlens, conv_state_indices):
    batch, channels, least = x.shape[0], x.shape[1], weight.shape[1] - 1
    rows = batch if conv_state_indices is None else conv_state.shape[0]
    if conv_state.dim() != 3 or conv_state.shape[:2] != (rows, channels) or conv_state.shape[2] < least:
        wanted = f"({rows}, {channels}, at least {least})"
        raise ValueError(f"conv_state has shape {tuple(conv_state.shape)}; it must be {wanted}.")
    if conv_state.dtype != x.dtype:
        raise ValueError(f"conv_state has dtype {conv_state.dtype}; it must be that of x, {x.dtype}.")
    integers = {"cache_seqlens": cache_seqlens, "conv_state_indices": conv_state_indices}
    check_shapes({name: (tensor, (batch,)) for name, tensor in integers.items()})
    check_devices("x", x.device, conv_state=conv_state, **integers)


@custom_op(
    "serenanet::conv_update",
    mutates_args=("conv_state",),
    schema="(Tensor x, Tensor(a!) conv_state, Tensor weight, Tensor? bias, Tensor? cache_seqlens, "
    "Tensor? conv_state_indices, bool silu, bool native) -> Tensor",
)
def _update(x, conv_state, weight, bias, cache_seqlens, conv_state_indices, silu, native):
    dtype = precision(x)
    owned = None if conv_state_indices is None else conv_state_indices.long()
    state = conv_state if owned is None else conv_state[owned.clamp(min=0)]
    state = state.to(dtype)
    start = None if cache_seqlens is None else cache_seqlens.long()
    bias = None if bias is None else bias.to(dtype)
    with torch.autocast(x.device.type, enabled=False):
        run = cpp_conv.update if native else plain_conv.update
        y = run(x.to(dtype), state, weight.to(dtype), bias, start, silu)
    if owned is not None:
        there = owned >= 0
        conv_state[owned[there]] = state[there].to(conv_state.dtype)
        y = y.masked_fill(~there[:, None, None], 0.0)
    elif state is not conv_state:
        conv_state.copy_(state)
    return y.to(x.dtype)


@_update.register_fake
def _(x, conv_state, weight, bias, cache_seqlens, conv_state_indices, silu, native):
    return x.new_empty(x.shape)


def causal_conv1d_varlen_states(x, cu_seqlens, state_len):
    """The last inputs of each of several sequences that lie behind one another.

    Parameters
    ----------
    x : Tensor
        (all steps, D).
    cu_seqlens : Tensor
        (B + 1,) where each sequence begins, and where the last one ends.
    state_len : int
        Steps to keep of each; a shorter sequence has zeros before it.

    Returns
    -------
    Tensor
        (B, D, state_len).

    Examples
    --------
    >>> causal_conv1d_varlen_states(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([0, 1, 3]), 2)
    tensor([[[0., 1.]],
            [[2., 3.]]])
    """
    if x.dim() != 2:
        raise ValueError(f"x has shape {tuple(x.shape)}; it must be (all steps, D).")
    begin, end = cu_seqlens[:-1, None].long(), cu_seqlens[1:, None].long()
    step = end + torch.arange(-state_len, 0, device=x.device)  # (B, state_len)
    inside = (step >= begin).unsqueeze(2)
    rows = functional.pad(x, (0, 0, 0, 1))  # a row for an empty x
    return rows[step.clamp(min=0)].where(inside, 0.0).transpose(1, 2)
