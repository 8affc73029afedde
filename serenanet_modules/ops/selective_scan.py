"""The selective scan of Mamba in plain PyTorch: blocked, linear in time, with a backward of its own.

    h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t        y_t = C_t . h_t + D u_t

(Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023.) The scan walks in
blocks of ``BLOCK`` steps: decays and inputs of a block are formed at once, each step is one in-place
``addcmul``, and the read-out with C is one batched product. The forward pass keeps only the state at the
start of each block; the backward pass recomputes a block from it. No decay is ever divided by, so large
``delta`` cannot overflow, and memory is O((L / BLOCK + BLOCK) B D N).
"""

import torch
from torch.nn import functional

BLOCK = 16


def selective_scan_fn(
    u,
    delta,
    A,
    B,
    C,
    D=None,
    z=None,
    delta_bias=None,
    delta_softplus=False,
    return_last_state=False,
):
    """Selective scan with mamba_ssm's argument order and meaning.

    Parameters
    ----------
    u, delta : Tensor
        Input and step size (B, D, L).
    A : Tensor
        Decay rates (D, N), negative.
    B, C : Tensor
        Input and output projections (B, N, L), or (B, G, N, L) with D divisible by G.
    D : Tensor, optional
        Skip weight (D,).
    z : Tensor, optional
        Gate (B, D, L); the output is multiplied by ``silu(z)``.
    delta_bias : Tensor, optional
        (D,), added to ``delta`` before the softplus.
    delta_softplus : bool
        Whether ``delta`` passes through a softplus.
    return_last_state : bool
        Whether to return the state after the last step too.

    Returns
    -------
    Tensor or (Tensor, Tensor)
        Output (B, D, L) in the dtype of ``u``; with ``return_last_state`` also (B, D, N) in float32 or float64.

    Examples
    --------
    >>> u = torch.ones(1, 1, 3)
    >>> selective_scan_fn(u, u, torch.zeros(1, 1), u, u)  # no decay: a running sum
    tensor([[[1., 2., 3.]]])
    """
    compute = torch.promote_types(u.dtype, torch.float32)
    x = u.to(compute)
    step = delta.to(compute)
    if delta_bias is not None:
        step = step + delta_bias.to(compute)[:, None]
    if delta_softplus:
        step = functional.softplus(step)
    channels = u.shape[1]
    y, last = _Scan.apply(
        x.permute(2, 0, 1),
        step.permute(2, 0, 1),
        A.to(compute),
        _per_channel_group(B.to(compute), channels),
        _per_channel_group(C.to(compute), channels),
    )
    y = y.permute(1, 2, 0)
    if D is not None:
        y = y + x * D.to(compute)[:, None]
    if z is not None:
        y = y * functional.silu(z.to(compute))
    y = y.to(u.dtype)
    return (y, last) if return_last_state else y


def _per_channel_group(projection, channels):
    """(B, N, L) -> (L, B, 1, N), shared by all channels; (B, G, N, L) -> (L, B, D, N)."""
    if projection.dim() == 3:
        return projection.permute(2, 0, 1).unsqueeze(2)
    groups = projection.shape[1]
    return projection.permute(3, 0, 1, 2).repeat_interleave(channels // groups, dim=2)


class _Scan(torch.autograd.Function):
    """u, delta (L, B, D); A (D, N); B, C (L, B, D or 1, N) -> y (L, B, D), last state (B, D, N)."""

    @staticmethod
    def forward(ctx, u, delta, A, B, C):
        length, batch, channels = u.shape
        state = u.new_zeros(batch, channels, A.shape[1])
        y = torch.empty_like(u, memory_format=torch.contiguous_format)
        starts = []
        for block in _blocks(length):
            starts.append(state)
            _, states = _run_block(u[block], delta[block], A, B[block], state)
            y[block] = (states * C[block]).sum(-1)
            state = states[-1].clone()
        ctx.save_for_backward(u, delta, A, B, C, *starts)
        return y, state

    @staticmethod
    def backward(ctx, grad_y, grad_last):
        u, delta, A, B, C, *starts = ctx.saved_tensors
        grad_u, grad_delta = torch.empty_like(u), torch.empty_like(delta)
        grad_A, grad_B, grad_C = torch.zeros_like(A), torch.empty_like(B), torch.empty_like(C)
        carry = grad_last  # gradient of the state that leaves the block, (B, D, N)
        for block, start in zip(reversed(list(_blocks(len(u)))), reversed(starts), strict=True):
            decay, states = _run_block(u[block], delta[block], A, B[block], start)
            grad_C[block] = (states * grad_y[block].unsqueeze(-1)).sum_to_size(C[block].shape)
            grad_state = grad_y[block].unsqueeze(-1) * C[block]  # (K, B, D, N)
            for k in range(len(grad_state) - 1, -1, -1):
                grad_state[k] += carry
                carry = decay[k] * grad_state[k]
            before = torch.cat([start.unsqueeze(0), states[:-1]])
            grad_exponent = grad_state * before * decay  # with respect to delta_t A
            weighted_u = (delta[block] * u[block]).unsqueeze(-1)
            grad_B[block] = (grad_state * weighted_u).sum_to_size(B[block].shape)
            grad_product = (grad_state * B[block]).sum(-1)  # with respect to delta_t u_t
            grad_u[block] = grad_product * delta[block]
            grad_delta[block] = grad_product * u[block] + (grad_exponent * A).sum(-1)
            grad_A += (grad_exponent * delta[block].unsqueeze(-1)).sum((0, 1))
        return grad_u, grad_delta, grad_A, grad_B, grad_C


def _blocks(length):
    return (slice(start, min(start + BLOCK, length)) for start in range(0, length, BLOCK))


def _run_block(u, delta, A, B, state):
    """Decays and states of one block, both (K, B, D, N)."""
    decay = torch.exp(delta.unsqueeze(-1) * A)
    states = (delta * u).unsqueeze(-1) * B
    for k in range(len(states)):
        states[k].addcmul_(decay[k], state)
        state = states[k]
    return decay, states
