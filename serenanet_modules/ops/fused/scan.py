"""mamba_ssm's selective scan (CUDA) and its single step (Triton)."""

import functools
import importlib

import torch
from torch.nn import functional

from serenanet_modules.ops.observers import constant

MOST_STATES = 256  # of the CUDA kernel


@constant
def import_error(module: str, *names: str) -> str | None:
    """Why an operation of mamba_ssm cannot be had, or None; ``names`` must be neither missing nor None there."""
    return _import_error(module, *names)


@functools.cache
def _import_error(module, *names):
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a missing or broken CUDA extension shows in many ways
        return (
            f"{module} cannot be imported ({type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''})"
        )
    missing = [name for name in names if getattr(imported, name, None) is None]
    return f"{module} was installed without {missing[0]}" if missing else None


def no_kernel(x):
    """Why no kernel of mamba_ssm can take a call with this tensor, or None."""
    if x.device.type != "cuda":
        return f"it runs on a CUDA device, and the tensors are on {x.device}"
    if x.dtype == torch.float64:
        return "it has no float64"
    return "it takes no empty tensors" if 0 in x.shape else None


def why_not(u, A, B, C, last_state_needs_gradient):
    """Why mamba_ssm's scan cannot take these tensors, or None; B and C as `scan` takes them."""
    if reason := no_kernel(u):
        return reason
    if A.shape[1] > MOST_STATES:
        return f"it takes at most {MOST_STATES} states, not {A.shape[1]}"
    if B.dim() != C.dim() and max(p.shape[1] for p in (B, C) if p.dim() == 4) > 1:
        return "of B and C, one is constant and the other has several groups"
    if last_state_needs_gradient:
        return "its last state carries no gradient"
    return import_error("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn", "selective_scan_cuda")


def scan(u, delta, A, B, C, D, z, delta_bias, delta_softplus, initial_state, return_last_state):
    """mamba_ssm's scan; an initial state's share, which the kernel lacks, is added to its results.

    Without inputs the state decays by exp(A (delta_1 + ... + delta_t)) up to time t, and the scan is linear in it.
    """
    from mamba_ssm.ops.selective_scan_interface import selective_scan_fn

    delta, z = (None if x is None else x.to(u.dtype) for x in (delta, z))
    weight = torch.complex64 if A.is_complex() else torch.float32
    A = A.to(weight)
    own_B, own_C = (_as_the_kernel_takes(p, u.dtype, weight) for p in (B, C))
    D, delta_bias = (None if x is None else x.float() for x in (D, delta_bias))
    arguments = (u, delta, A, own_B, own_C, D, None if initial_state is not None else z, delta_bias, delta_softplus)
    result = selective_scan_fn(*arguments, return_last_state)
    y, last = result if return_last_state else (result, None)
    if initial_state is None:
        return y, last
    step = delta.float() if delta_bias is None else delta.float() + delta_bias[:, None]
    total = (functional.softplus(step) if delta_softplus else step).cumsum(-1)  # (B, D, L)
    start = initial_state.to(weight)
    y = y.float() + _read_out_of_the_past(start, total, A, C.to(weight))
    if z is not None:
        y = y * functional.silu(z.float())
    if last is not None:
        last = last + start * torch.exp(total[..., -1:] * A)
    return y, last


def _as_the_kernel_takes(projection, signal, weight):
    """Constant ones in the dtype of A, others in that of u; complex numbers as neighbours in time."""
    if projection.dim() == 2:
        return projection.to(weight)
    if projection.is_complex():
        projection = torch.view_as_real(projection).flatten(-2)
    return projection.to(signal)


def _read_out_of_the_past(start, total, A, C):
    """sum_n C_n exp(A_n total) start_n: (B, D, L), one state after the other so that memory has no factor N."""
    y = 0
    for n in range(A.shape[1]):
        read = C[:, n, None] if C.dim() == 2 else C[:, :, n].repeat_interleave(A.shape[0] // C.shape[1], dim=1)
        term = read * torch.exp(total * A[:, n, None]) * start[:, :, n, None]
        y = y + (2 * term.real if term.is_complex() else term)
    return y


def update_why_not(state, needs_gradient):
    """Why mamba_ssm's single step cannot take this state, or None."""
    return (
        no_kernel(state)
        or ("it has no gradients" if needs_gradient else None)
        or import_error("mamba_ssm.ops.triton.selective_state_update", "selective_state_update")
    )


def update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices):
    """mamba_ssm's single step, which wants D and dt_bias, with heads."""
    from mamba_ssm.ops.triton.selective_state_update import selective_state_update

    zeros = x.new_zeros(1, 1, dtype=torch.float32).expand(state.shape[1:3])
    D, dt_bias = (zeros if p is None else p for p in (D, dt_bias))
    return selective_state_update(state, x, dt, A, B, C, D, z, dt_bias, dt_softplus, state_batch_indices)
