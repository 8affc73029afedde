"""Selective scan in plain PyTorch: blocked, linear in time, with a backward of its own.

The scan walks in blocks of ``BLOCK`` steps: decays and inputs of a block are formed at once, each step is one in-place
``addcmul``, and the read-out with C is one batched product. The forward pass keeps only the state at the start of each
block; the backward pass recomputes a block from it. No decay is ever divided by, so large steps cannot overflow, and
memory is O((L / BLOCK + BLOCK) B D N).
"""

import math

import torch
from torch.nn import functional

from serenanet_modules.ops.observers import custom_op, wants_gradients

BLOCK = 16
LOG2_E = math.log2(math.e)
SERIAL = 2**15  # elements up to which PyTorch gives an elementwise operation to one thread
SHARED = 2**18  # elements of a state from which on several threads pay
ARGUMENTS = "Tensor u, Tensor delta, Tensor A, Tensor B, Tensor C"


def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state):
    """Scan on any device, all tensors in one precision; A, B, C and the state may be complex.

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
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    tensors = (u, delta, A, B, C, initial_state)
    y, last, _ = _forward(*tensors, wants_gradients(*tensors))
    if D is not None:
        y = torch.addcmul(y, u, D[:, None])
    if z is not None:
        y = y * functional.silu(z)
    return y, last


@custom_op(
    "serenanet::scan_torch",
    mutates_args=(),
    schema=f"({ARGUMENTS}, Tensor? initial_state, bool save) -> (Tensor, Tensor, Tensor)",
)
def _forward(u, delta, A, B, C, initial_state, save):
    """y (B, D, L), last state (B, D, N), and with ``save`` the states at block starts (L / BLOCK + 2, B, D, N)."""
    y, last, saved = _forward_outputs(u, A, save)
    state = torch.zeros_like(last) if initial_state is None else initial_state
    with torch.autocast(u.device.type, enabled=False):
        values, deltas, inward, outward = map(_time_major, (u, delta, B, C))
        read = torch.empty_like(values)
        for i, steps in enumerate(_blocks(u)):
            if save:
                saved[i] = state
            _, states = _run_block(values[:, steps], deltas[:, steps], A, _rows(inward, steps), state)
            read[:, steps] = _real(_contract(states, _rows(outward, steps)))
            state = states[:, -1]
        last.copy_(state)
        y.copy_(read.mT)
    saved[-(-u.shape[2] // BLOCK) :] = 0
    return y, last, saved


@_forward.register_fake
def _(u, delta, A, B, C, initial_state, save):
    return _forward_outputs(u, A, save)


def _forward_outputs(u, A, save):
    (batch, channels, length), states = u.shape, A.shape[1]
    blocks = length // BLOCK + 2 if save else 0  # at least 2: compilers and export treat sizes 0 and 1 apart
    state = A.new_empty(batch, channels, states)
    return torch.empty_like(u), state, A.new_empty(blocks, batch, channels, states)


@custom_op(
    "serenanet::scan_torch_backward",
    mutates_args=(),
    schema=f"(Tensor grad_y, Tensor? grad_last, Tensor saved, {ARGUMENTS}) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(grad_y, grad_last, saved, u, delta, A, B, C):
    """Gradients of u, delta, A, B, C and the initial state."""
    grad_u, grad_delta, grad_A, grad_B, grad_C, carry = _backward_outputs(u, delta, A, B, C)
    for grad in (grad_A, grad_B, grad_C, carry):
        grad.zero_()
    if grad_last is not None:
        carry += grad_last
    with torch.autocast(u.device.type, enabled=False):
        deltas, values, outers, inward, outward = map(_time_major, (delta, u, grad_y, B, C))
        grad_deltas, grad_values = torch.empty_like(deltas), torch.empty_like(values)
        for i, steps in reversed(list(enumerate(_blocks(u)))):
            step, value, outer = deltas[:, steps], values[:, steps], outers[:, steps]
            Bs, Cs = _rows(inward, steps), _rows(outward, steps)
            decay, states = _run_block(value, step, A, Bs, saved[i])
            if A.is_complex():
                outer = 2 * outer  # y is twice the real part
            _add_gradient(grad_C, steps, outer, states.conj())
            grad_state = _carry_back(_spread(outer, Cs.conj()), decay.conj(), carry)
            _add_gradient(grad_B, steps, step * value, grad_state)
            product = _contract(grad_state, Bs.conj()).real  # with respect to delta_t u_t
            exponent = grad_state.mul_(decay.conj())
            exponent[:, 1:].mul_(states[:, :-1].conj())
            exponent[:, 0].mul_(saved[i].conj())  # now with respect to delta_t A
            _add_gradient(grad_A, steps, step, exponent)
            grad_values[:, steps] = product * step
            grad_deltas[:, steps] = product * value + _contract(exponent, A.conj()).real
        grad_u.copy_(grad_values.mT)
        grad_delta.copy_(grad_deltas.mT)
    return grad_u, grad_delta, grad_A, grad_B, grad_C, carry


@_backward.register_fake
def _(grad_y, grad_last, saved, u, delta, A, B, C):
    return _backward_outputs(u, delta, A, B, C)


def _backward_outputs(u, delta, A, B, C):
    (batch, channels, _), states = u.shape, A.shape[1]
    parameters = (torch.empty_like(x, memory_format=torch.contiguous_format) for x in (A, B, C))
    return torch.empty_like(u), torch.empty_like(delta), *parameters, A.new_empty(batch, channels, states)


def _keep(ctx, inputs, output):
    *tensors, initial_state, _ = inputs
    ctx.has_initial_state = initial_state is not None
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(output[2], *tensors)


def _differentiate(ctx, grad_y, grad_last, _):
    saved, *tensors = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    *grads, grad_start = _backward(grad_y, grad_last, saved, *tensors)
    return *grads, grad_start if ctx.has_initial_state else None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


def _blocks(u):
    length = u.shape[2]
    return (slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


def _time_major(signal):
    """(B, D, L) -> (B, L, D), (B, G, N, L) -> (B, L, G, N), contiguous; (D, N) as it is, constant in time."""
    return signal if signal.dim() == 2 else signal.movedim(-1, 1).contiguous()


def _rows(projection, steps):
    """Some steps of what `_time_major` gave."""
    return projection if projection.dim() == 2 else projection[:, steps]


def _run_block(u, delta, A, B, state):
    """Decays and states of one block, both (B, K, D, N)."""
    decay = _decay(delta, A)
    states = _spread(delta * u, B)
    for a, h, h0 in zip(*_pieces(decay, states), *_pieces(state, dim=1), strict=True):
        for a_t, h_t in zip(a.unbind(1), h.unbind(1), strict=True):
            h0 = h_t.addcmul_(a_t, h0)
    return decay, states


def _decay(delta, A):
    """exp(delta A), (B, K, D, N); PyTorch's exp2 takes less than half the time of its exp on a CPU."""
    if A.is_complex():
        return (delta.unsqueeze(-1) * A).exp_()
    return (delta.unsqueeze(-1) * (A * LOG2_E)).exp2_()


def _carry_back(grad_states, decay, carry):
    """Adds to the gradient of each state (B, K, D, N) what comes through the next one; ``carry`` moves to the start."""
    for a, g, c in zip(*_pieces(decay, grad_states), *_pieces(carry, dim=1), strict=True):
        for a_t, g_t in zip(reversed(a.unbind(1)), reversed(g.unbind(1)), strict=True):
            torch.mul(g_t.add_(c), a_t, out=c)
    return grad_states


def _pieces(*tensors, dim=2):
    """Cut (B, …, D, N) along its channels, small enough on a CPU that a step is not shared out to threads.

    Waking a thread takes longer than a step of a middling state; a large one is worth it.
    """
    shape = tensors[0].shape
    step = shape[0] * shape[-2] * shape[-1]
    count = max(1, -(-step // SERIAL)) if tensors[0].device.type == "cpu" and step < SHARED else 1
    return (x.chunk(count, dim) for x in tensors)


def _spread(x, projection):
    """x (B, K, D) times a projection, without a sum: (B, K, D, N)."""
    if projection.dim() == 2:
        return x.unsqueeze(-1) * projection
    batch, steps, groups, n = projection.shape
    product = x.view(batch, steps, groups, x.shape[2] // groups, 1) * projection.unsqueeze(3)
    return product.view(*x.shape, n)


def _contract(states, projection):
    """Sum over the states (B, K, D, N) times a projection: (B, K, D)."""
    if projection.dim() == 2:
        return (states * projection).sum(-1)
    groups, n = projection.shape[2:]
    # A row times a matrix: of a matrix times a column, BLAS makes a much slower loop.
    return torch.bmm(projection.reshape(-1, 1, n), _by_group(states, groups).transpose(1, 2)).view(states.shape[:3])


def _by_group(states, groups):
    """(B, K, D, N) as one matrix (D / G, N) for each time and group."""
    batch, steps, channels, n = states.shape
    return states.view(batch * steps * groups, channels // groups, n)


def _add_gradient(grad, steps, x, states):
    """Adds the gradient of a projection that met x (B, K, D) and states (B, K, D, N)."""
    if grad.dim() == 2:
        grad += (x.unsqueeze(-1) * states).sum((0, 1))
        return
    rows = grad[..., steps].movedim(-1, 1)
    x = x.to(states.dtype).reshape(rows[..., 0].numel(), 1, x.shape[2] // grad.shape[1])
    rows.copy_(torch.bmm(x, _by_group(states, grad.shape[1])).view(rows.shape))


def _real(y):
    """What a complex scan reads out: twice the real part, the sum with the conjugate states."""
    return 2 * y.real if y.is_complex() else y


def update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices):
    """One step, with heads: ``state`` (B or pool, H, P, N) changes in place, y (B, H, P) is returned."""
    compute = torch.promote_types(torch.promote_types(state.dtype, x.dtype), torch.float32)
    x, dt, A, B, C = (t.to(compute) for t in (x, dt, A, B, C))
    if dt_bias is not None:
        dt = dt + dt_bias.to(compute)
    if dt_softplus:
        dt = functional.softplus(dt)
    B, C = (p.repeat_interleave(state.shape[1] // p.shape[1], dim=1).unsqueeze(2) for p in (B, C))  # (B, H, 1, N)
    decay, drive = torch.exp(dt.unsqueeze(-1) * A), (dt * x).unsqueeze(-1) * B
    if state_batch_indices is None:
        old = state.clone() if torch.is_grad_enabled() and decay.requires_grad else state  # the product keeps it
        new, valid = decay * old.to(compute) + drive, None
        state.copy_(new)
    else:
        new, valid = _update_pool(state, decay, drive, state_batch_indices.long())
    y = (new * C).sum(-1)
    if D is not None:
        y = y + x * D.to(compute)
    if z is not None:
        y = y * functional.silu(z.to(compute))
    return y if valid is None else y.where(valid, y.new_zeros(()))


def _update_pool(state, decay, drive, indices):
    """New states (B, H, P, N) of the rows named, written to the pool, and which rows are not padding (B, 1, 1)."""
    valid = (indices >= 0).view(-1, 1, 1)
    rows = indices.clamp(min=0)
    old = state[rows].to(decay.dtype)
    new = torch.where(valid.unsqueeze(-1), decay * old + drive, old)
    # Padding writes what the first row that is none writes, to the same place: no branch on data, no race.
    writer = torch.where(valid.view(-1), torch.arange(len(rows), device=rows.device), valid.view(-1).int().argmax())
    state[rows[writer]] = new[writer].to(state.dtype)
    return new, valid
