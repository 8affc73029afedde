"""The scan of Mamba-2 (SSD): mamba_ssm's function on any machine."""

import functools
import math

import torch
from torch.nn import functional

from serenanet_modules.ops import cpp
from serenanet_modules.ops.arguments import check_devices, check_shapes, describe
from serenanet_modules.ops.backends import choose
from serenanet_modules.ops.cpp import ssd as cpp_ssd
from serenanet_modules.ops.fused import ssd as fused_ssd
from serenanet_modules.ops.plain import ssd as plain_ssd

FORGOTTEN = -1000.0  # a log decay whose exponential is 0 in every dtype, while sums of it stay exact enough
ANY_STEP = (-math.inf, math.inf)


def mamba_chunk_scan_combined(
    x,
    dt,
    A,
    B,
    C,
    chunk_size,
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
    *,
    backend=None,
):
    """Mamba-2's scan over time, with the arguments, meaning and results of mamba_ssm's function of this name.

    For every head, with a state of P x N numbers and a decay that all of them share::

        dt_t = clamp(softplus(dt_t + dt_bias), *dt_limit)
        h_t = exp(dt_t A) h_{t-1} + dt_t x_t B_t'
        y_t = (h_t C_t + D x_t) silu(z_t)

    Every floating-point argument has a gradient, ``initial_states`` too, and so have the final and the varlen states
    (mamba_ssm has none for the latter). On the backends ``cpp`` and ``torch`` arithmetic is in float32, or in float64
    where ``x`` is float64, whatever the dtypes of the others, and autocast does not touch it. On ``fused`` it is
    Triton's: products of float32 are TF32 unless ``TRITON_F32_DEFAULT=ieee`` is set before the first call, and 16-bit
    inputs round the states between chunks.

    Parameters
    ----------
    x : Tensor
        Input (B, L, H, P): H heads of P channels.
    dt : Tensor
        Step size (B, L, H).
    A : Tensor
        Decay rates (H,), negative.
    B, C : Tensor
        Input and output projections (B, L, G, N); H / G neighbouring heads share a group.
    chunk_size : int
        Steps that ``fused`` and ``torch`` handle in one matrix product; results do not depend on it. ``fused`` takes
        the next power of two, ``torch`` at most 64; ``cpp`` has no use for it.
    D : Tensor, optional
        Skip weight (H,) or (H, P).
    z : Tensor, optional
        Gate (B, L, H, P).
    dt_bias : Tensor, optional
        (H,), added to ``dt``.
    initial_states : Tensor, optional
        State before the first step (B, H, P, N), by default zeros.
    seq_idx : Tensor, optional
        Integers (B, L): which of several sequences packed into one row a step belongs to. The state is forgotten where
        it differs from the step before; before the first step it counts as 0, so that ``initial_states`` serves a row
        that begins with 0.
    cu_seqlens : Tensor, optional
        Integers (S + 1,): where the S sequences of a batch of one begin, and the end of the last. Used for
        ``return_varlen_states`` only.
    dt_softplus : bool
        Whether the step size passes through a softplus.
    dt_limit : (float, float)
        Smallest and largest step size, after the softplus.
    return_final_states : bool
        Whether to return h_L.
    return_varlen_states : bool
        Whether to return the state at the end of each packed sequence. That of an empty sequence is zeros.
    backend : {"fused", "cpp", "torch"}, optional
        By default the environment variable ``SERENANET_OPS_BACKEND``, else the fastest that can run.

    Returns
    -------
    Tensor or tuple of Tensor
        y (B, L, H, P) in the dtype of ``x``; then, as asked for, the final states (B, H, P, N) in float32, or float64
        where ``x`` is, and the varlen states (S, H, P, N) in the dtype of ``C``.

    Raises
    ------
    ValueError
        If shapes or devices do not fit together.
    BackendError
        If the backend asked for cannot run this call; the message says why.

    References
    ----------
    Dao and Gu, "Transformers are SSMs: Generalized Models and Efficient Algorithms Through Structured State Space
    Duality", 2024, arXiv 2405.21060.

    Examples
    --------
    >>> x = torch.ones(1, 4, 1, 1)
    >>> ones = torch.ones(1, 4, 1)
    >>> y = mamba_chunk_scan_combined(x, ones, torch.zeros(1), x, x, chunk_size=2)  # no decay: a running sum
    >>> y.flatten()
    tensor([1., 2., 3., 4.])

    Two sequences in one row:

    >>> two = torch.tensor([[0, 0, 0, 1]])
    >>> mamba_chunk_scan_combined(x, ones, torch.zeros(1), x, x, chunk_size=2, seq_idx=two).flatten()
    tensor([1., 2., 3., 1.])
    """
    _check(x, dt, A, B, C, chunk_size, D, z, dt_bias, initial_states, seq_idx)
    reasons = {"fused": lambda: fused_ssd.why_not(x), "cpp": lambda: cpp.why_not_for(x), "torch": lambda: None}
    name = choose("mamba_chunk_scan_combined", backend, reasons)
    run = {"fused": fused_ssd.scan, "cpp": _cpp, "torch": _plain}[name]
    runs = None if seq_idx is None else _changes(seq_idx).cumsum(1)
    if return_varlen_states:
        _check_packing(x, seq_idx, cu_seqlens)
        dt = _step_size(dt.to(_precision(x)), dt_bias, dt_softplus, dt_limit)
        y, last, varlen = _scan_packed(run, x, dt, A, B, C, chunk_size, D, initial_states, runs, cu_seqlens)
        y = y if z is None else y * functional.silu(z.to(_precision(x)))
    else:
        y, last = run(x, dt, A, B, C, chunk_size, D, z, dt_bias, initial_states, runs, dt_softplus, dt_limit)
    results = [y.to(x.dtype)]
    if return_final_states:
        results.append(last)
    if return_varlen_states:
        results.append(varlen.to(C.dtype))
    return results[0] if len(results) == 1 else tuple(results)


def _check(x, dt, A, B, C, chunk_size, D, z, dt_bias, initial_states, seq_idx):
    if x.dim() != 4 or not x.is_floating_point() or 0 in x.shape[2:]:
        raise ValueError(f"x must be real and of shape (batch, length, heads, channels); got {describe(x)}.")
    batch, length, heads, channels = x.shape
    if B.dim() != 4 or B.shape[:2] != x.shape[:2] or 0 in B.shape[2:] or heads % B.shape[2]:
        raise ValueError(
            f"B must be of shape ({batch}, {length}, groups, states) with groups that divide {heads} heads; "
            f"got {describe(B)}."
        )
    wanted = {
        "dt": (dt, x.shape[:3]),
        "A": (A, (heads,)),
        "C": (C, B.shape),
        "D": (D, (heads,) if D is not None and D.dim() == 1 else (heads, channels)),
        "z": (z, x.shape),
        "dt_bias": (dt_bias, (heads,)),
        "initial_states": (initial_states, (batch, heads, channels, B.shape[3])),
        "seq_idx": (seq_idx, (batch, length)),
    }
    check_shapes(wanted)
    for name, (tensor, _) in wanted.items():
        if tensor is not None and tensor.is_floating_point() == (name == "seq_idx"):
            raise ValueError(
                f"{name} must be of {'an integer' if name == 'seq_idx' else 'a real'} dtype; got {tensor.dtype}."
            )
    check_devices("x", x.device, B=B, **{name: tensor for name, (tensor, _) in wanted.items()})
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1; got {chunk_size}.")


def _check_packing(x, seq_idx, cu_seqlens):
    if cu_seqlens is None:
        raise ValueError("return_varlen_states needs cu_seqlens, the boundaries of the packed sequences; got None.")
    if cu_seqlens.dim() != 1 or len(cu_seqlens) < 1 or cu_seqlens.is_floating_point():
        raise ValueError(f"cu_seqlens must be integers of shape (sequences + 1,); got {describe(cu_seqlens)}.")
    if len(x) != 1:
        raise ValueError(f"return_varlen_states needs a batch of one row that holds all sequences; got {len(x)} rows.")
    if seq_idx is None and len(cu_seqlens) > 2:
        raise ValueError(
            f"{len(cu_seqlens) - 1} packed sequences need seq_idx, which keeps their states apart; got None."
        )


def _cpp(x, dt, A, B, C, chunk_size, *options):
    return _in_one_precision(cpp_ssd.scan, x, dt, A, B, C, *options)


def _plain(x, dt, A, B, C, chunk_size, *options):
    return _in_one_precision(functools.partial(plain_ssd.scan, chunk_size=chunk_size), x, dt, A, B, C, *options)


def _in_one_precision(scan, x, dt, A, B, C, D, z, dt_bias, initial_states, runs, dt_softplus, dt_limit):
    tensors = (x, dt, A, B, C, D, z, initial_states)
    x, dt, A, B, C, D, z, initial_states = (None if t is None else t.to(_precision(x)) for t in tensors)
    dt = _step_size(dt, dt_bias, dt_softplus, dt_limit)
    log_decay = (dt * A).clamp(min=FORGOTTEN)
    if runs is not None:
        log_decay = log_decay.masked_fill(_changes(runs).unsqueeze(2), FORGOTTEN)
    if D is not None and D.dim() == 1:
        D = D.unsqueeze(1).expand(x.shape[2:])
    y, last = scan(x, dt, log_decay, B, C, D, initial_states)
    return (y if z is None else y * functional.silu(z)), last


def _precision(x):
    return torch.float64 if x.dtype == torch.float64 else torch.float32


def _step_size(dt, dt_bias, dt_softplus, dt_limit):
    if dt_bias is not None:
        dt = dt + dt_bias.to(dt.dtype)
    if dt_softplus:
        dt = functional.softplus(dt)
    return dt.clamp(*dt_limit)


def _changes(index):
    """(B, L): where a step's number differs from that of the step before, which is 0 for the first."""
    return index != functional.pad(index[:, :-1], (1, 0))


def _scan_packed(run, x, dt, A, B, C, chunk_size, D, initial_states, runs, cu_seqlens):
    """Scan without gate, and the states at the end of each sequence (S, H, P, N).

    Every sequence is followed by N steps of size 0, which leave its state alone, and with the unit vectors as C, so
    that their outputs are the state's columns. So any backend gives these states, with gradients.
    """
    length, states, ends = x.shape[1], B.shape[3], cu_seqlens[1:].long()
    if length == 0 or len(ends) == 0:
        y, last = run(x, dt, A, B, C, chunk_size, D, None, None, initial_states, runs, False, ANY_STEP)
        return y, last, x.new_zeros(len(ends), *x.shape[2:], states, dtype=_precision(x))
    # both in the extended row: where each step goes, and where each sequence's end is read out
    steps = torch.arange(length, device=x.device)
    steps = steps + states * torch.searchsorted(ends, steps, right=True)
    columns = torch.arange(states, device=x.device)
    reads = ends.unsqueeze(1) + states * torch.arange(len(ends), device=x.device).unsqueeze(1) + columns
    source = torch.zeros(length + reads.numel(), dtype=torch.long, device=x.device)
    source[steps] = torch.arange(length, device=x.device)
    source[reads] = (ends - 1).clamp(min=0).unsqueeze(1)
    extra = torch.ones(len(source), dtype=torch.bool, device=x.device)
    extra[steps] = False
    unit = torch.zeros(len(source), 1, states, dtype=C.dtype, device=x.device)
    unit[reads, 0, columns] = 1
    x, dt, B, C = (t.index_select(1, source) for t in (x, dt, B, C))
    x, dt = x.masked_fill(extra[:, None, None], 0), dt.masked_fill(extra[:, None], 0)
    C = torch.where(extra[:, None, None], unit, C)
    runs = None if runs is None else runs.index_select(1, source)
    y, last = run(x, dt, A, B, C, chunk_size, D, None, None, initial_states, runs, False, ANY_STEP)
    read = y[0, reads].permute(0, 2, 3, 1)  # (S, N, H, P) -> (S, H, P, N)
    empty = (cu_seqlens.diff() == 0)[:, None, None, None]
    return y.index_select(1, steps), last, read.masked_fill(empty, 0)
