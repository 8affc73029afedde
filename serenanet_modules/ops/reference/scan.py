"""Selective scan and its single step, one time step after the other (Gu and Dao 2023, equations 2 and 3)."""

import torch


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
    initial_state=None,
):
    """h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t; y_t = (C_t . h_t + D u_t) silu(z_t); shapes as in `ops`."""
    u, delta, D, z, delta_bias = (_double(x) for x in (u, delta, D, z, delta_bias))
    A, B, C, state = (_double(x) for x in (A, B, C, initial_state))
    (batch, channels, length), states = u.shape, A.shape[1]
    if state is None:
        state = torch.zeros(batch, channels, states, dtype=A.dtype, device=A.device)
    delta = _step_size(delta, None if delta_bias is None else delta_bias[:, None], delta_softplus)
    outputs = []
    for t in range(length):
        decay = torch.exp(delta[:, :, t, None] * A)
        drive = (delta[:, :, t] * u[:, :, t])[..., None] * _at(B, t, channels, A.is_complex())
        state = decay * state + drive
        y = (state * _at(C, t, channels, A.is_complex())).sum(-1)
        outputs.append(2 * y.real if y.is_complex() else y)
    y = torch.stack(outputs, dim=-1) if outputs else torch.zeros_like(u)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * z * torch.sigmoid(z)
    return (y, state) if return_last_state else y


def selective_state_update(
    state, x, dt, A, B, C, D=None, z=None, dt_bias=None, dt_softplus=False, state_batch_indices=None
):
    """One step for each row of the batch, number by number over heads; writes to ``state`` and returns the output."""
    heads = state.dim() == 4
    output = torch.zeros(x.shape, dtype=torch.float64)
    for b in range(x.shape[0]):
        row = b if state_batch_indices is None else int(state_batch_indices[b])
        if row < 0:
            continue  # padding
        for h in range(state.shape[1] if heads else 1):

            def of(tensor, index=h):
                """A tensor without a batch, at this head."""
                return None if tensor is None else _double(tensor[index] if heads else tensor)

            old = of(state[row])
            step = _step_size(of(dt[b]), of(dt_bias), dt_softplus)
            group = h // (state.shape[1] // B.shape[1]) if B.dim() == 3 else None
            Bs, Cs = (_double(p[b] if group is None else p[b, group]) for p in (B, C))
            new = torch.exp(step[:, None] * of(A)) * old + (step * of(x[b]))[:, None] * Bs
            y = new @ Cs
            if D is not None:
                y = y + of(D) * of(x[b])
            if z is not None:
                y = y * of(z[b]) * torch.sigmoid(of(z[b]))
            (state[row, h] if heads else state[row]).copy_(new)
            (output[b, h] if heads else output[b]).copy_(y)
    return output


def _double(x):
    if x is None:
        return None
    return x.to(torch.complex128 if x.is_complex() else torch.float64)


def _step_size(delta, bias, softplus):
    if bias is not None:
        delta = delta + bias
    return torch.logaddexp(delta, torch.zeros_like(delta)) if softplus else delta  # log(exp(delta) + 1)


def _at(projection, t, channels, is_complex):
    """B_t or C_t for every channel: from (D, N), (B, N, L) or (B, G, N, L); complex numbers as neighbours in time."""
    if projection.dim() == 2:
        return projection
    if is_complex:
        projection = torch.complex(projection[..., 0::2], projection[..., 1::2])
    if projection.dim() == 3:
        projection = projection.unsqueeze(1)
    group = torch.arange(channels, device=projection.device) // (channels // projection.shape[1])
    return projection[:, group, :, t]
