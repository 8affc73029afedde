"""One step of a state-space model, for streaming: mamba_ssm's function on any machine."""

from serenanet_modules.ops import cpp
from serenanet_modules.ops.arguments import check_devices, check_shapes
from serenanet_modules.ops.backends import choose
from serenanet_modules.ops.cpp import scan as cpp_scan
from serenanet_modules.ops.fused import scan as fused_scan
from serenanet_modules.ops.observers import wants_gradients
from serenanet_modules.ops.plain import scan as plain_scan


def selective_state_update(
    state,
    x,
    dt,
    A,
    B,
    C,
    D=None,
    z=None,
    dt_bias=None,
    dt_softplus=False,
    state_batch_indices=None,
    *,
    backend=None,
):
    """One time step, ``state`` changed in place, with the arguments and meaning of mamba_ssm's function of this name.

    ::

        dt = softplus(dt + dt_bias)
        state = exp(dt A) state + dt B x
        y = (C . state + D x) silu(z)

    Mamba has no heads: leave H out everywhere. Mamba-2 has: expand its one number per head, as in
    ``A[:, None, None].expand(H, P, N)``. Steps over time equal `selective_scan_fn` and `mamba_chunk_scan_combined`.
    Arithmetic is in float32, or in float64 where the state is; any dtypes may meet.

    Parameters
    ----------
    state : Tensor
        (B, D, N), or (B, H, P, N); written to.
    x, dt : Tensor
        Input and step size (B, D), or (B, H, P).
    A : Tensor
        Decay rates (D, N), or (H, P, N); negative for a stable step.
    B, C : Tensor
        Input and output projections (B, N), or (B, G, N) with H divisible by G.
    D : Tensor, optional
        Skip weight (D,), or (H, P).
    z : Tensor, optional
        Gate in the shape of ``x``.
    dt_bias : Tensor, optional
        (D,), or (H, P), added to ``dt``.
    dt_softplus : bool
        Whether the sum passes through a softplus.
    state_batch_indices : Tensor, optional
        Integers (B,): the row of ``state``, then a pool with any number of rows, of each row of the batch. No row may
        be named twice; a negative one marks padding, whose output is zero and which changes no state.
    backend : {"fused", "cpp", "torch"}, optional
        By default the environment variable ``SERENANET_OPS_BACKEND``, else the fastest that can run. Only ``torch``
        has gradients, and is chosen where one is needed.

    Returns
    -------
    Tensor
        y in the shape and dtype of ``x``.

    Raises
    ------
    ValueError
        If shapes or devices do not fit together, or an index exceeds the pool.
    BackendError
        If the backend asked for cannot run this call; the message says why.

    References
    ----------
    Gu and Dao 2023, arXiv 2312.00752; Dao and Gu 2024, arXiv 2405.21060.

    Examples
    --------
    >>> import torch
    >>> state = torch.zeros(1, 1, 1)
    >>> one, rate = torch.ones(1, 1), torch.zeros(1, 1)  # no decay: a running sum
    >>> [float(selective_state_update(state, one, one, rate, one, one)) for _ in range(3)]
    [1.0, 2.0, 3.0]
    """
    heads = state.dim() == 4
    core = [state, x, dt, A, B, C, D, z, dt_bias]
    if not heads:
        where = (1, 1, 1, 0, None, None, 0, 1, 0)  # of the head, in each
        core = [t if t is None or i is None else t.unsqueeze(i) for t, i in zip(core, where, strict=True)]
    core[4], core[5] = (p.unsqueeze(1) if p.dim() == 2 else p for p in core[4:6])
    _check(*core, state_batch_indices, heads)
    needs_gradient = wants_gradients(*core)
    name = choose(
        "selective_state_update",
        backend,
        {
            "fused": lambda: fused_scan.update_why_not(state, needs_gradient),
            "cpp": lambda: "its single step has no gradients" if needs_gradient else cpp.why_not_for(state),
            "torch": lambda: None,
        },
    )
    update = {"fused": fused_scan, "cpp": cpp_scan, "torch": plain_scan}[name].update
    y = update(*core, dt_softplus, state_batch_indices).to(x.dtype)
    return y if heads else y.squeeze(1)


def _check(state, x, dt, A, B, C, D, z, dt_bias, indices, heads):
    """All as if there were heads, one of them for Mamba."""
    if state.dim() != 4:
        raise ValueError(f"state must have 3 or 4 dimensions; got shape {tuple(state.shape)}.")
    pool, head_count, width, states = state.shape
    batch = x.shape[0] if indices is not None and x.dim() else pool
    groups = B.shape[1] if B.dim() == 3 else 0
    wanted = {
        "x": (x, (batch, head_count, width)),
        "dt": (dt, (batch, head_count, width)),
        "A": (A, (head_count, width, states)),
        "B": (B, (batch, groups, states)),
        "C": (C, (batch, groups, states)),
        "D": (D, (head_count, width)),
        "z": (z, (batch, head_count, width)),
        "dt_bias": (dt_bias, (head_count, width)),
    }
    check_shapes(wanted, "" if heads else " (one head, left out by the caller)")
    check_devices("the state", state.device, **{name: tensor for name, (tensor, _) in wanted.items()})
    if groups < 1 or head_count % groups:
        raise ValueError(
            f"The number of heads, {head_count}, must be divisible by that of groups of B and C, {groups}."
        )
    if indices is not None and (indices.shape != (batch,) or indices.is_floating_point()):
        raise ValueError(f"state_batch_indices must be {batch} integers; got {tuple(indices.shape)} {indices.dtype}.")
