"""Selective scan and its single step through the C++ kernels."""

from typing import NamedTuple

import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.observers import bare, custom_op, unobserved, wants_gradients

BLOCK = 16  # steps between kept states, as in scan.cpp
WIDEST = 16  # at least the lanes of any processor's vectors
CHUNK, MOST_CHUNKS = 64, 16  # channels that share sums for the gradients of B and C; chunks run side by side


ARGUMENTS = (
    "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, Tensor? delta_bias, "
    "Tensor? initial_state, bool delta_softplus"
)


def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state):
    """Scan on the CPU, all tensors in one dtype, float32 or float64.

    Parameters
    ----------
    u, delta, z : Tensor
        (B, D, L); z may be None.
    A : Tensor
        (D, N).
    B, C : Tensor
        (B, G, N, L), or (D, N) for projections that are constant in time.
    D, delta_bias : Tensor or None
        (D,).
    delta_softplus : bool
        Whether ``delta + delta_bias`` passes through a softplus.
    initial_state : Tensor or None
        (B, D, N).

    Returns
    -------
    (Tensor, Tensor)
        y (B, D, L) and the last state (B, D, N).
    """
    tensors = (u, delta, A, B, C, D, z, delta_bias, initial_state)
    run = _forward if bare(*tensors) else _forward_op
    y, last, _ = run(*tensors, delta_softplus, wants_gradients(*tensors))
    return y, last


def _forward(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, save):
    """y (B, D, L), last state (B, D, N), and with ``save`` the states at block starts (L / BLOCK + 2, B, N, D)."""
    inputs = _Inputs(u, delta, A, B, C, D, z, delta_bias, initial_state)
    shape = inputs.shape(delta_softplus)
    y, last, saved = _forward_outputs(u, A, save)
    scratch = u.new_empty(shape.threads * 4 * A.shape[1] * WIDEST)
    plain = _addresses(*inputs.plain, last, saved if save else None)
    cpp.call("scan_forward", u.dtype, shape, _signals(*inputs.signals, y), plain, scratch)
    if save:
        saved[-(-u.shape[2] // BLOCK) :] = 0
    return y, last, saved


_forward_op = custom_op(
    "serenanet::scan_cpp", _forward, mutates_args=(), schema=f"({ARGUMENTS}, bool save) -> (Tensor, Tensor, Tensor)"
)


@_forward_op.register_fake
def _(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, save):
    return _forward_outputs(u, A, save)


def _forward_outputs(u, A, save):
    (batch, channels, length), states = u.shape, A.shape[1]
    blocks = length // BLOCK + 2 if save else 0  # at least 2: compilers and export treat sizes 0 and 1 apart
    return (
        torch.empty_like(u),
        u.new_empty(batch, channels, states),
        u.new_empty(blocks, batch, states, channels),
    )


@custom_op(
    "serenanet::scan_cpp_backward",
    mutates_args=(),
    schema=f"(Tensor grad_y, Tensor? grad_last, Tensor saved, {ARGUMENTS}) -> Tensor[]",
)
def _backward(grad_y, grad_last, saved, u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus):
    """Gradients of u, delta, A, B, C, D, z, delta_bias and initial_state; empty ones for what is None."""
    inputs = _Inputs(u, delta, A, B, C, D, z, delta_bias, initial_state)
    shape = inputs.shape(delta_softplus)
    (batch, channels, length), states = u.shape, A.shape[1]
    per_sequence = u.new_empty(batch, channels, states)
    grad_u, grad_delta = torch.empty_like(u), torch.empty_like(delta)
    grad_z = None if z is None else torch.empty_like(z)
    parts_A, parts_D, parts_bias = per_sequence, u.new_empty(batch, channels), u.new_empty(batch, channels)
    parts_B, parts_C = (
        torch.empty_like(per_sequence) if p.dim() == 2 else u.new_empty(shape.chunks, batch, p.shape[1], length, states)
        for p in (B, C)
    )
    grad_start = None if initial_state is None else torch.empty_like(per_sequence)
    grad_last = None if grad_last is None else grad_last.contiguous()
    working = states * (4 * shape.chunk + (2 * BLOCK + 3) * WIDEST) + 2 * shape.chunk
    scratch = u.new_empty(shape.threads * working)
    results = (parts_A, parts_B, parts_C, parts_D, parts_bias, grad_start)
    cpp.call(
        "scan_backward",
        u.dtype,
        shape,
        _signals(*inputs.signals, grad_y, grad_u, grad_delta, grad_z),
        _addresses(*inputs.plain, grad_last, saved, *results),
        scratch,
    )
    grads = [
        grad_u,
        grad_delta,
        _sum_rows(parts_A),
        *(_sum_rows(part) if part.dim() == 3 else _sum_rows(part).transpose(2, 3) for part in (parts_B, parts_C)),
        None if D is None else _sum_rows(parts_D),
        grad_z,
        None if delta_bias is None else _sum_rows(parts_bias),
        grad_start,
    ]
    return [u.new_empty(0) if grad is None else grad for grad in grads]


@_backward.register_fake
def _(grad_y, grad_last, saved, u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus):
    def like(x):
        if x is None:
            return u.new_empty(0)
        if x.dim() == 4:
            return x.new_empty(x.shape[0], x.shape[1], x.shape[3], x.shape[2]).transpose(2, 3)
        return torch.empty_like(x) if x.dim() == 3 and x is not initial_state else x.new_empty(x.shape)

    return [like(x) for x in (u, delta, A, B, C, D, z, delta_bias, initial_state)]


def _keep(ctx, inputs, output):
    *tensors, ctx.delta_softplus, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def _differentiate(ctx, grad_y, grad_last, _):
    saved, *tensors = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    grads = _backward(grad_y, grad_last, saved, *tensors, ctx.delta_softplus)
    return *(None if x is None else grad for x, grad in zip(tensors, grads, strict=True)), None, None


_forward_op.register_autograd(_differentiate, setup_context=_keep)


class _Shape(NamedTuple):
    """As in scan.cpp."""

    batch: int
    groups: int
    channels: int
    length: int
    states: int
    chunk: int
    softplus: bool
    constant_B: bool
    constant_C: bool
    threads: int

    @property
    def chunks(self):
        return -(-self.channels // self.chunk)


class _Inputs:
    """What both directions read, alive for as long as the kernel runs."""

    def __init__(self, u, delta, A, B, C, D, z, delta_bias, initial_state):
        self.signals = (u, delta, z, _states_last(B), _states_last(C))
        self.plain = tuple(None if x is None else x.contiguous() for x in (A, D, delta_bias, initial_state))

    def shape(self, delta_softplus):
        u, B, C = self.signals[0], *self.signals[3:]
        batch, channels, length = u.shape
        groups = next((p.shape[1] for p in (B, C) if p.dim() == 4), 1)
        per_group = channels // groups
        pieces = -(-per_group // CHUNK)
        return _Shape(
            batch,
            groups,
            per_group,
            length,
            self.plain[0].shape[1],
            CHUNK * max(1, -(-pieces // MOST_CHUNKS)),
            delta_softplus,
            B.dim() == 2,
            C.dim() == 2,
            torch.get_num_threads(),
        )


def _states_last(projection):
    """(B, G, N, L) with the states of one time next to each other in memory; (D, N) contiguous."""
    if projection.dim() == 2:
        return projection.contiguous()
    if projection.stride(2) == 1:
        return projection
    return projection.transpose(2, 3).contiguous().transpose(2, 3)


def _signals(*tensors):
    """Addresses and strides over (batch, channel or group, time)."""
    numbers = []
    for tensor, address in zip(tensors, _addresses(*tensors), strict=True):
        strides = (0, 0) if tensor is None or tensor.dim() == 2 else tensor.stride()
        numbers += (address, strides[0], strides[1], strides[-1])
    return numbers


def _addresses(*tensors):
    return [0 if t is None else t.data_ptr() for t in tensors]


def _sum_rows(parts):
    """Sum over the first dimension in a fixed order, whatever the number of threads."""
    if len(parts) < 2:
        return parts[0] if len(parts) else parts.new_zeros(parts.shape[1:])
    total = parts.new_empty(parts.shape[1:])
    cpp.call("sum_rows", parts.dtype, parts, total, len(parts), total.numel(), torch.get_num_threads())
    return total


def update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices):
    """One step, with heads: ``state`` (B or pool, H, P, N) changes in place, y (B, H, P) is returned."""
    tensors = (state, x, dt, A, B, C, D, z, dt_bias)
    run = _update if unobserved(*tensors, state_batch_indices) else _update_op
    return run(*tensors, dt_softplus, state_batch_indices)


def _update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices):
    compute = torch.float64 if torch.float64 in (state.dtype, x.dtype) else torch.float32
    own = state.detach().to(compute).contiguous()  # the state itself where it can be written to
    rows = None if state_batch_indices is None else state_batch_indices.long().contiguous()
    if rows is not None and rows.numel() and int(rows.max()) >= len(state):
        raise ValueError(
            f"state_batch_indices must be below {len(state)}, the rows of the state; got {int(rows.max())}."
        )
    plain = [None if t is None else t.detach().to(compute).contiguous() for t in (x, dt, A, B, C, D, z, dt_bias)]
    y = x.new_empty(x.shape, dtype=compute)
    sizes = (len(x), *state.shape[1:], B.shape[1], dt_softplus, torch.get_num_threads())
    cpp.call("state_update", compute, sizes, own, rows, *plain, y)
    if own.data_ptr() != state.data_ptr():
        state.copy_(own)
    else:
        torch.autograd.graph.increment_version(state)
    return y


_update_op = custom_op(
    "serenanet::state_update_cpp",
    _update,
    mutates_args=("state",),
    schema="(Tensor(a!) state, Tensor x, Tensor dt, Tensor A, Tensor B, Tensor C, Tensor? D, Tensor? z, "
    "Tensor? dt_bias, bool dt_softplus, Tensor? state_batch_indices) -> Tensor",
)


@_update_op.register_fake
def _(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices):
    compute = torch.float64 if torch.float64 in (state.dtype, x.dtype) else torch.float32
    return x.new_empty(x.shape, dtype=compute)
