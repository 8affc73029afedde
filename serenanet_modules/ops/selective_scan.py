"""The selective scan of Mamba: mamba_ssm's function on any machine."""

import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.arguments import check_devices, check_shapes, describe
from serenanet_modules.ops.backends import choose
from serenanet_modules.ops.cpp import scan as cpp_scan
from serenanet_modules.ops.fused import scan as fused_scan
from serenanet_modules.ops.observers import wants_gradients
from serenanet_modules.ops.plain import scan as plain_scan


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
    *,
    initial_state=None,
    backend=None,
):
    """Selective scan over time, with the arguments, meaning and results of mamba_ssm's ``selective_scan_fn``.

    ::

        delta_t = softplus(delta_t + delta_bias)
        h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t
        y_t = (C_t . h_t + D u_t) silu(z_t)

    Every floating-point argument has a gradient, ``initial_state`` too, and so has the last state. Arithmetic is in
    float32, or in float64 where ``u`` is float64, whatever the dtypes of the others; autocast does not touch it. Time
    and memory are linear in L: the backward pass keeps one state for every 16 steps. ``delta = 0`` leaves the state as
    it is, so zeros there (without bias and softplus) freeze it over padding.

    Parameters
    ----------
    u, delta : Tensor
        Input and step size (B, D, L), in any memory layout. Channels that lie next to each other, as in the transpose
        of a linear layer's output (B, L, D), are the fastest on a CPU.
    A : Tensor
        Decay rates (D, N), negative for a stable scan. Complex rates make B, C and the state complex, and y twice the
        real part of the read-out.
    B, C : Tensor
        Input and output projections (B, N, L); or (B, G, N, L) with D divisible by G, where D / G neighbouring
        channels share a group; or (D, N), constant in time. Beside a complex A those with an L are real and have
        2 L numbers in place of L: real and imaginary parts in turns.
    D : Tensor, optional
        Skip weight (D,).
    z : Tensor, optional
        Gate (B, D, L).
    delta_bias : Tensor, optional
        (D,), added to ``delta``.
    delta_softplus : bool
        Whether the sum passes through a softplus.
    return_last_state : bool
        Whether to return the state after the last step too.
    initial_state : Tensor, optional
        State before the first step (B, D, N), by default zeros. The last state of one piece of a sequence is the
        initial state of the next.
    backend : {"fused", "cpp", "torch"}, optional
        By default the environment variable ``SERENANET_OPS_BACKEND``, else the fastest that can run.

    Returns
    -------
    Tensor or (Tensor, Tensor)
        y (B, D, L) in the dtype of ``u``; with ``return_last_state`` also h_L (B, D, N) in float32, or float64 where
        ``u`` is.

    Raises
    ------
    ValueError
        If shapes or devices do not fit together.
    BackendError
        If the backend asked for cannot run this call; the message says why.

    References
    ----------
    Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023, arXiv 2312.00752.

    Examples
    --------
    >>> u = torch.ones(1, 1, 4)
    >>> selective_scan_fn(u, u, torch.zeros(1, 1), u, u)  # no decay: a running sum
    tensor([[[1., 2., 3., 4.]]])

    In two pieces:

    >>> half = torch.ones(1, 1, 2)
    >>> y, state = selective_scan_fn(half, half, torch.zeros(1, 1), half, half, return_last_state=True)
    >>> selective_scan_fn(half, half, torch.zeros(1, 1), half, half, initial_state=state)
    tensor([[[3., 4.]]])
    """
    _check(u, delta, A, B, C, D, z, delta_bias, initial_state)
    groups = max(p.shape[1] if p.dim() == 4 else 1 for p in (B, C))
    B, C = (_grouped(p, groups, A.is_complex()) for p in (B, C))
    core = (u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state)
    name = choose(
        "selective_scan_fn",
        backend,
        {
            "fused": lambda: fused_scan.why_not(u, A, B, C, return_last_state and wants_gradients(*core)),
            "cpp": lambda: "it has no complex numbers" if A.is_complex() else cpp.why_not_for(u),
            "torch": lambda: None,
        },
    )
    if name == "fused":
        y, last = fused_scan.scan(*core, return_last_state)
    else:
        y, last = (cpp_scan if name == "cpp" else plain_scan).scan(*_in_one_precision(*core))
    y = y.to(u.dtype)
    return (y, last) if return_last_state else y


def _check(u, delta, A, B, C, D, z, delta_bias, initial_state):
    if u.dim() != 3 or not u.is_floating_point():
        raise ValueError(f"u must be real and of shape (batch, channels, length); got {describe(u)}.")
    if A.dim() != 2 or A.shape[0] != u.shape[1] or A.shape[1] < 1:
        raise ValueError(f"A must be of shape (channels, states) with {u.shape[1]} channels; got {describe(A)}.")
    (batch, channels, length), states = u.shape, A.shape[1]
    wanted = {
        "delta": (delta, u.shape),
        "z": (z, u.shape),
        "D": (D, (channels,)),
        "delta_bias": (delta_bias, (channels,)),
        "initial_state": (initial_state, (batch, channels, states)),
    }
    check_shapes(wanted)
    length = 2 * length if A.is_complex() else length
    for name, projection in (("B", B), ("C", C)):
        _check_projection(name, projection, (batch, states, length), channels)
    if B.dim() == C.dim() == 4 and B.shape[1] != C.shape[1] and 1 not in (B.shape[1], C.shape[1]):
        raise ValueError(f"B and C must have the same number of groups; got {B.shape[1]} and {C.shape[1]}.")
    check_devices("u", u.device, A=A, B=B, C=C, **{name: tensor for name, (tensor, _) in wanted.items()})


def _check_projection(name, projection, varying, channels):
    batch, states, length = varying
    fits = projection.shape in ((channels, states), varying)
    if projection.dim() == 4:
        _, groups, *_ = projection.shape
        fits = projection.shape == (batch, groups, states, length) and groups > 0 and channels % groups == 0
    if not fits:
        raise ValueError(
            f"{name} must be of shape {varying}, or ({batch}, groups, {states}, {length}) with groups that divide "
            f"{channels} channels, or ({channels}, {states}); got {describe(projection)}."
        )


def _grouped(projection, groups, is_complex):
    """(B, N, L) as (B, G, N, L), complex beside a complex A; (D, N) stays as it is."""
    if projection.dim() == 2:
        return projection
    if projection.dim() == 3:
        projection = projection.unsqueeze(1)
    if is_complex and not projection.is_complex():
        wide = torch.promote_types(projection.dtype, torch.float32)
        projection = torch.view_as_complex(projection.to(wide).unflatten(-1, (-1, 2)).contiguous())
    return projection.expand(-1, groups, -1, -1)


def _in_one_precision(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state):
    real = torch.float64 if u.dtype == torch.float64 else torch.float32
    state = real.to_complex() if A.is_complex() else real
    u, delta, D, z, delta_bias = (_cast(x, real) for x in (u, delta, D, z, delta_bias))
    A, B, C, initial_state = (_cast(x, state) for x in (A, B, C, initial_state))
    return u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state


def _cast(x, dtype):
    # `to` costs a microsecond also where it changes nothing, and there are nine tensors
    return x if x is None or x.dtype == dtype else x.to(dtype)
