"""mamba_ssm's chunked scan of Mamba-2 (Triton)."""

import torch

from serenanet_modules.ops.fused.scan import import_error, no_kernel

MODULE = "mamba_ssm.ops.triton.ssd_combined"
LEAST_CHUNK = 16  # Triton's smallest matrix product


def why_not(x):
    """Why mamba_ssm's kernels cannot take these tensors, or None."""
    return no_kernel(x) or import_error(MODULE, "mamba_chunk_scan_combined")


def scan(x, dt, A, B, C, chunk_size, D, z, dt_bias, initial_states, runs, dt_softplus, dt_limit):
    """y (B, L, H, P) and the last state (B, H, P, N); ``runs`` (B, L) numbers the sequences in a row from 0.

    The kernels join all steps of equal ``seq_idx`` in a chunk, neighbours or not; numbers in a row make the two the
    same. They want one dtype for all factors of a product, and a power of two as the chunk, which changes no result.
    """
    from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined

    common = torch.promote_types(x.dtype, torch.promote_types(B.dtype, C.dtype))
    x, B, C, z = (None if t is None else t.to(common) for t in (x, B, C, z))
    A, D, dt_bias, initial_states = (None if t is None else t.float() for t in (A, D, dt_bias, initial_states))
    return mamba_chunk_scan_combined(
        x,
        dt,
        A,
        B,
        C,
        max(LEAST_CHUNK, 1 << (chunk_size - 1).bit_length()),
        D=D,
        z=z,
        dt_bias=dt_bias,
        initial_states=initial_states,
        seq_idx=None if runs is None else runs.to(torch.int32).contiguous(),
        dt_softplus=dt_softplus,
        dt_limit=tuple(dt_limit),
        return_final_states=True,
    )
