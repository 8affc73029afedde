"""Mamba-2's scan in plain PyTorch: matrix products within chunks, a recurrence between them (Dao and Gu, 2024).

With S the running sum of a chunk's log decays and h the state before it,

    y_i = sum_{j <= i} exp(S_i - S_j) (C_i . B_j) dt_j x_j + exp(S_i) h C_i
    next h = exp(S_last) h + sum_j exp(S_last - S_j) dt_j x_j B_j'

No sum that is exponentiated is positive, and nothing is divided by a decay. Chunks are taken a slab at a time; of a
slab only the states before its chunks are kept, and the backward pass forms the rest again. Memory beyond inputs and
outputs is that of one slab and of one state per chunk.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from serenanet_modules.ops.observers import custom_op, wants_gradients

LARGEST = 64  # steps of a chunk: more cost more than they save
SLAB = 1 << 21  # elements of the largest intermediate of a slab on a CPU: what its caches can serve
SLAB_GPU = 1 << 26
ARGUMENTS = "Tensor x, Tensor dt, Tensor log_decay, Tensor B, Tensor C"


def scan(x, dt, log_decay, B, C, D=None, initial=None, chunk_size=LARGEST):
    """Scan on any device, all tensors in one dtype, float32 or float64.

    Parameters
    ----------
    x : Tensor
        (B, L, H, P).
    dt, log_decay : Tensor
        Step size and logarithm of the decay (B, L, H).
    B, C : Tensor
        (B, L, G, N).
    D : Tensor, optional
        (H, P).
    initial : Tensor, optional
        (B, H, P, N).
    chunk_size : int
        Steps of a chunk, if fewer than ``LARGEST``.

    Returns
    -------
    (Tensor, Tensor)
        y (B, L, H, P) and the last state (B, H, P, N).
    """
    tensors = (x, dt, log_decay, B, C, initial)
    y, last, _ = _forward(*tensors, wants_gradients(*tensors), min(chunk_size, LARGEST))
    return (y if D is None else torch.addcmul(y, x, D)), last


@custom_op(
    "serenanet::ssd",
    mutates_args=(),
    schema=f"({ARGUMENTS}, Tensor? initial, bool save, int chunk) -> (Tensor, Tensor, Tensor)",
)
def _forward(x, dt, log_decay, B, C, initial, save, chunk):
    y, last, kept = _outputs(x, B, save, chunk)
    with torch.autocast(x.device.type, enabled=False):
        state = _group_rows(torch.zeros_like(last) if initial is None else initial, B.shape[2])
        for chunks, steps in _slabs(x, B, chunk):
            slab = _prepare(*(t[:, steps] for t in (x, dt, log_decay, B, C)), chunk)
            states, state = _states(slab, state)
            y[:, steps] = _unchunk(_within(slab) + _across(slab, states), x[:, steps].shape)
            if save:
                kept[chunks] = states.transpose(0, 1)
        kept[-1:] = 0  # none of a chunk's
        last.copy_(state.reshape(last.shape))
    return y, last, kept


@_forward.register_fake
def _(x, dt, log_decay, B, C, initial, save, chunk):
    return _outputs(x, B, save, chunk)


def _outputs(x, B, save, chunk):
    batch, length, heads, channels = x.shape
    groups, states = B.shape[2:]
    # one state more than there are chunks: compilers and export treat sizes 0 and 1 apart
    kept = (length + chunk - 1) // chunk + 1 if save else 0
    return (
        x.new_empty(x.shape),
        x.new_empty(batch, heads, channels, states),
        x.new_empty(kept, batch, groups, heads // groups * channels, states),
    )


@custom_op(
    "serenanet::ssd_backward",
    mutates_args=(),
    schema=f"(Tensor grad_y, Tensor? grad_last, {ARGUMENTS}, Tensor kept, int chunk) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(grad_y, grad_last, x, dt, log_decay, B, C, kept, chunk):
    *grads, grad_initial = _gradients(x, dt, B)
    with torch.autocast(x.device.type, enabled=False):
        carry = _group_rows(torch.zeros_like(grad_initial) if grad_last is None else grad_last, B.shape[2])
        for chunks, steps in reversed(list(_slabs(x, B, chunk))):
            slab = _prepare(*(t[:, steps] for t in (x, dt, log_decay, B, C)), chunk)
            *pieces, carry = _backward_slab(slab, kept[chunks].transpose(0, 1), grad_y[:, steps], carry)
            for grad, piece in zip(grads, pieces, strict=True):
                grad[:, steps] = _unchunk(piece, grad[:, steps].shape)
        grad_initial.copy_(carry.reshape(grad_initial.shape))
    return *grads, grad_initial


def _gradients(x, dt, B):
    batch, _, heads, channels = x.shape
    shapes = (x.shape, dt.shape, dt.shape, B.shape, B.shape, (batch, heads, channels, B.shape[3]))
    return tuple(x.new_empty(shape) for shape in shapes)


@_backward.register_fake
def _(grad_y, grad_last, x, dt, log_decay, B, C, kept, chunk):
    return _gradients(x, dt, B)


def _setup(ctx, inputs, output):
    x, dt, log_decay, B, C, initial, _, chunk = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, dt, log_decay, B, C, output[2])
    ctx.chunk, ctx.has_initial = chunk, initial is not None


def _differentiate(ctx, grad_y, grad_last, _):
    x, *others = ctx.saved_tensors
    grad_y = torch.zeros_like(x) if grad_y is None else grad_y
    *grads, grad_initial = _backward(grad_y, grad_last, x, *others, ctx.chunk)
    return *grads, grad_initial if ctx.has_initial else None, None, None


_forward.register_autograd(_differentiate, setup_context=_setup)


class _Slab(NamedTuple):
    """K chunks of Q steps, padded with steps that change nothing; R = H / G heads per group.

    x, u : (B, K, G, Q, R P), u = dt x
    dt : (B, K, G, Q, R)
    B, C : (B, K, G, Q, N)
    sums, rest : (B, K, G, Q, R), the log decay from before the chunk to step i, and from step i to the chunk's end
    decay : (B, K, G, R, Q, Q), exp(S_i - S_j), zero above the diagonal
    """

    x: Tensor
    u: Tensor
    dt: Tensor
    B: Tensor
    C: Tensor
    sums: Tensor
    rest: Tensor
    decay: Tensor


def _slabs(x, B, chunk):
    """Slices of chunks and of steps."""
    batch, length, heads, channels = x.shape
    largest = batch * heads * max(chunk * max(chunk, channels), channels * B.shape[3])  # elements per chunk
    count = max(1, (SLAB if x.device.type == "cpu" else SLAB_GPU) // max(1, largest))
    for first in range(0, (length + chunk - 1) // chunk, count):
        last = min(first + count, (length + chunk - 1) // chunk)
        yield slice(first, last), slice(first * chunk, min(length, last * chunk))


def _prepare(x, dt, log_decay, B, C, chunk):
    x, dt, log_decay, B, C = (_chunks(t, chunk, B.shape[2]) for t in (x, dt, log_decay, B, C))
    sums = log_decay.double().cumsum(3)
    rest = (sums[:, :, :, -1:] - sums).to(x.dtype)
    # The difference of two sums that are large because a strong decay precedes both must keep its digits: each sum is
    # taken as two numbers of the tensors' own precision.
    exact = sums.transpose(3, 4)
    high = exact.to(x.dtype)
    exponent = high.unsqueeze(-1) - high.unsqueeze(-2)
    if x.dtype != torch.float64:
        low = (exact - high).to(x.dtype)
        exponent += low.unsqueeze(-1)
        exponent -= low.unsqueeze(-2)
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu_(1)
    decay = exponent.masked_fill_(future, -torch.inf).exp_()
    return _Slab(x, _scale(x, dt), dt, B, C, sums.to(x.dtype), rest, decay)


def _states(slab, state):
    """The states before every chunk (B, K, G, R P, N), and the one after the last."""
    inputs = _scale(slab.u, slab.rest.exp()).mT @ slab.B
    through = _through(slab)
    states = torch.empty_like(inputs)
    for k in range(inputs.shape[1]):
        states[:, k] = state
        state = torch.addcmul(inputs[:, k], through[:, k], state)
    return states, state


def _through(slab):
    """The decay over each whole chunk, for every row of the states: (B, K, G, R P, 1)."""
    channels = slab.x.shape[4] // slab.dt.shape[4]
    return slab.sums[:, :, :, -1].exp().repeat_interleave(channels, dim=3).unsqueeze(4)


def _weights(slab):
    """What an input gives to later outputs of its chunk, (B, K, G, R, Q, Q)."""
    return (slab.C @ slab.B.mT).unsqueeze(3) * slab.decay


def _within(slab):
    """What a chunk's inputs give to its own outputs, (B, K, G, Q, R P)."""
    weights, u = _weights(slab), _split_heads(slab.u, slab)
    y = weights @ u
    if not y.isfinite().all():  # in the product an infinite input or NaN reaches earlier outputs too, as 0 times it
        rows = (weights[..., i : i + 1, : i + 1] @ u[..., : i + 1, :] for i in range(u.shape[-2]))
        y = torch.cat([*rows], -2)
    return _merge_heads(y)


def _across(slab, states):
    """What the state before a chunk gives to its outputs, (B, K, G, Q, R P)."""
    return _scale(slab.C @ states.mT, slab.sums.exp())


def _backward_slab(slab, states, grad_y, carry):
    """Gradients of x, dt, log_decay, B and C of one slab, chunked, and of the state before it; carry is that after."""
    grad_y = _chunks(grad_y, slab.B.shape[3], slab.B.shape[2])
    grad_C, grad_sums, grad_inputs, grad_whole, carry = _backward_across(slab, states, grad_y, carry)
    # what the inputs of a chunk give to the state after it
    faded, back = _scale(slab.u, slab.rest.exp()), slab.B @ grad_inputs.mT
    grad_B, grad_rest = faded @ grad_inputs, _head_dots(faded, back, slab)
    grad_u = _scale(back, slab.rest.exp())
    # what they give to its outputs
    weights, by_head = _weights(slab), _split_heads(grad_y, slab)
    grad_u += _merge_heads(weights.mT @ by_head)
    grad_weights = by_head @ _split_heads(slab.u, slab).mT
    grad_products = (grad_weights * slab.decay).sum(3)
    grad_C += grad_products @ slab.B
    grad_B += grad_products.mT @ slab.C
    # Decays do not touch the diagonal; leaving it out keeps its rounding errors from drowning small gradients.
    grad_exponent = grad_weights.mul_(weights)
    grad_exponent.diagonal(dim1=4, dim2=5).zero_()
    grad_sums += (grad_exponent.sum(5) - grad_exponent.sum(4)).transpose(3, 4)
    # S_i holds every log decay up to i; the rest after i holds every later one
    grad_decay = grad_sums.flip(3).cumsum(3).flip(3) + (grad_rest.cumsum(3) - grad_rest) + grad_whole.unsqueeze(3)
    return _scale(grad_u, slab.dt), _head_dots(grad_u, slab.x, slab), grad_decay, grad_B, grad_C, carry


def _backward_across(slab, states, grad_y, carry):
    """Back through the states before chunks: read by the chunk's outputs, and passed on to the next chunk.

    Returns the gradients of C, of S, of what the inputs of a chunk add to the state after it, of the log decay of the
    whole chunk, and of the state before the slab.
    """
    faded, through = _scale(grad_y, slab.sums.exp()), _through(slab)
    grad_C = faded @ states
    grad_sums = _head_dots(faded, slab.C @ states.mT, slab)
    grad_states = faded.mT @ slab.C
    grad_inputs = torch.empty_like(grad_states)
    for k in reversed(range(grad_states.shape[1])):
        grad_inputs[:, k] = carry
        carry = torch.addcmul(grad_states[:, k], through[:, k], carry)
    by_row = torch.einsum("bkgrn,bkgrn->bkgr", grad_inputs, states) * through.squeeze(4)
    return grad_C, grad_sums, grad_inputs, by_row.unflatten(3, (slab.dt.shape[4], -1)).sum(4), carry


def _chunks(t, chunk, groups):
    """(B, L, ...) -> (B, K, G, Q, what belongs to a group), zeros after the end."""
    t = t.flatten(2)
    t = functional.pad(t, (0, 0, 0, -t.shape[1] % chunk))
    return t.unflatten(1, (-1, chunk)).unflatten(3, (groups, -1)).transpose(2, 3)


def _unchunk(t, shape):
    """Back to (B, L, ...)."""
    return t.transpose(2, 3).flatten(3).flatten(1, 2)[:, : shape[1]].reshape(shape)


def _scale(t, by_head):
    """(B, K, G, Q, R P) times (B, K, G, Q, R)."""
    return (t.unflatten(4, (by_head.shape[4], -1)) * by_head.unsqueeze(5)).flatten(4)


def _head_dots(a, b, slab):
    """Sums over the channels of each head: (B, K, G, Q, R P) twice -> (B, K, G, Q, R)."""
    return (a * b).unflatten(4, (slab.dt.shape[4], -1)).sum(5)


def _split_heads(t, slab):
    """(B, K, G, Q, R P) -> (B, K, G, R, Q, P)."""
    return t.unflatten(4, (slab.dt.shape[4], -1)).transpose(3, 4)


def _merge_heads(t):
    """(B, K, G, R, Q, P) -> (B, K, G, Q, R P)."""
    return t.transpose(3, 4).flatten(4)


def _group_rows(state, groups):
    """(B, H, P, N) -> (B, G, R P, N)."""
    batch, heads, channels, states = state.shape
    return state.reshape(batch, groups, heads // groups * channels, states)
