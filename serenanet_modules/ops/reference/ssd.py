"""Mamba-2's scan, one time step and one head after the other (Dao and Gu 2024, the recurrent form of the SSM)."""

import torch


def mamba_chunk_scan_combined(
    x,
    dt,
    A,
    B,
    C,
    chunk_size=None,
    D=None,
    z=None,
    dt_bias=None,
    initial_states=None,
    seq_idx=None,
    cu_seqlens=None,
    dt_softplus=False,
    dt_limit=(0.0, float("inf")),
    return_final_states=False,
    return_varlen_states=False,
):
    """h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t'; y_t = (h_t C_t + D x_t) silu(z_t); shapes as in `ops`.

    The state before the first step belongs to sequence 0, and a sequence that differs from the one before starts
    from zeros. ``chunk_size`` means nothing here.
    """
    x, dt, A, B, C, D, z, dt_bias, initial_states = (
        None if t is None else t.double() for t in (x, dt, A, B, C, D, z, dt_bias, initial_states)
    )
    batch, length, heads, channels = x.shape
    outputs, histories = [], []
    for b in range(batch):
        for h in range(heads):
            group = h // (heads // B.shape[2])
            start = None if initial_states is None else initial_states[b, h]
            sequence = torch.zeros(length, dtype=torch.long) if seq_idx is None else seq_idx[b]
            step = dt[b, :, h] if dt_bias is None else dt[b, :, h] + dt_bias[h]
            if dt_softplus:
                step = torch.logaddexp(step, torch.zeros_like(step))  # log(exp(step) + 1)
            y, history = _one_head(
                x[b, :, h], step.clamp(*dt_limit), A[h], B[b, :, group], C[b, :, group], start, sequence
            )
            if D is not None:
                y = y + D[h] * x[b, :, h]
            if z is not None:
                y = y * z[b, :, h] * torch.sigmoid(z[b, :, h])
            outputs.append(y)
            histories.append(history)
    histories = torch.stack(histories).unflatten(0, (batch, heads))  # (B, H, L + 1, P, N)
    results = [torch.stack(outputs).unflatten(0, (batch, heads)).transpose(1, 2)]
    if return_final_states:
        results.append(histories[:, :, -1])
    if return_varlen_states:
        ends, empty = cu_seqlens[1:].long(), cu_seqlens.diff() == 0
        states = histories[0].transpose(0, 1)[ends]
        results.append(states.masked_fill(empty[:, None, None, None], 0))
    return results[0] if len(results) == 1 else tuple(results)


def _one_head(x, step, A, B, C, start, sequence):
    """Outputs (L, P), and the states before the first and after every step, (L + 1, P, N)."""
    state = x.new_zeros(x.shape[1], B.shape[1]) if start is None else start
    states, outputs, before = [state], [], 0
    for t in range(len(x)):
        if sequence[t] != before:
            state, before = torch.zeros_like(state), sequence[t]
        state = torch.exp(step[t] * A) * state + step[t] * torch.outer(x[t], B[t])
        states.append(state)
        outputs.append(state @ C[t])
    return torch.stack(outputs) if outputs else torch.zeros_like(x), torch.stack(states)
