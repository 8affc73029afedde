"""TorchScript: a traced network with plain PyTorch for this project's operations, so that the file needs nothing else.

The scans are those of `onnx_ops`, as scripted loops, which keep the length open where a trace would unroll them.
"""

import io
import json
import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

import serenanet_modules.ops  # noqa: F401  registers what is replaced
from serenanet_modules.export.network import check_absent


@torch.jit.script
def selective_scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """u, delta (B, D, L), A (D, N), B, C (B, G, N, L) -> y (B, D, L)."""
    batch, channels, length = u.shape
    groups, states = B.shape[1], B.shape[2]
    signal = [batch, groups, channels // groups, length]
    u, delta = [x.reshape(signal).permute(3, 0, 1, 2) for x in [u, delta]]  # (L, B, G, R)
    B, C = [x.permute(3, 0, 1, 2) for x in [B, C]]
    A = A.reshape(groups, channels // groups, states)
    state = u.new_zeros(batch, groups, channels // groups, states)
    y: list[Tensor] = []
    for t in range(length):
        state = torch.exp(delta[t].unsqueeze(-1) * A) * state + (delta[t] * u[t]).unsqueeze(-1) * B[t].unsqueeze(-2)
        y.append((state @ C[t].unsqueeze(-1)).squeeze(-1))
    return torch.stack(y, -1).reshape(batch, channels, length)


@torch.jit.script
def chunk_scan(x: Tensor, dt: Tensor, log_decay: Tensor, B: Tensor, C: Tensor, steps: int = 64) -> Tensor:
    """x (B, L, H, P), dt, log_decay (B, L, H), B, C (B, L, G, N) -> y (B, L, H, P), in chunks of ``steps``."""
    batch, length, heads, channels = x.shape
    groups, states = B.shape[2], B.shape[3]
    count = (length + steps - 1) // steps
    missing = steps * count - length
    by_head = [batch, count, steps, groups, heads // groups]
    dt, sums = [
        functional.pad(t, [0, 0, 0, missing]).reshape(by_head).permute(0, 1, 3, 4, 2) for t in [dt, log_decay.double()]
    ]
    sums = sums.cumsum(-1)  # (B, K, G, R, Q)
    B, C = [
        functional.pad(t, [0, 0, 0, 0, 0, missing])
        .reshape(batch, count, steps, groups, 1, states)
        .permute(0, 1, 3, 4, 2, 5)
        for t in [B, C]
    ]
    x = functional.pad(x, [0, 0, 0, 0, 0, missing]).reshape(by_head + [channels]).permute(0, 1, 3, 4, 2, 5)
    u = x * dt.unsqueeze(-1).to(x.dtype)
    past = torch.ones(steps, steps, dtype=torch.bool, device=x.device).tril()
    pairs = (sums.unsqueeze(-1) - sums.unsqueeze(-2)).to(x.dtype)
    y = (C @ B.transpose(-1, -2)) * pairs.masked_fill(~past, -float("inf")).exp() @ u  # (B, K, G, R, Q, P)
    rest = (sums[..., -1:] - sums).to(x.dtype).exp().unsqueeze(-1)
    inputs = (u * rest).transpose(-1, -2) @ B  # (B, K, G, R, P, N)
    through = sums[..., -1].to(x.dtype).exp().unsqueeze(-1).unsqueeze(-1)
    state = torch.zeros_like(inputs[:, 0])
    starts: list[Tensor] = []
    for k in range(count):
        starts.append(state)
        state = through[:, k] * state + inputs[:, k]
    across = C @ torch.stack(starts, 1).transpose(-1, -2)
    y = y + across * sums.to(x.dtype).exp().unsqueeze(-1)
    return y.permute(0, 1, 4, 2, 3, 5).reshape(batch, count * steps, heads, channels)[:, :length]


def _scan_torch(u, delta, A, B, C, initial_state, save):
    check_absent(initial_state)
    return selective_scan(u, delta, A, B, C), None, None  # nothing reads the states


def _ssd(x, dt, log_decay, B, C, initial, save, chunk):
    check_absent(initial)
    return chunk_scan(x, dt, log_decay, B, C), None, None


def _conv_torch(x, weight, bias, initial, seq_idx, left, silu, channel_last):
    check_absent(initial, seq_idx)
    padded = functional.pad(x, (left, weight.shape[1] - 1 - left))
    y = functional.conv1d(padded, weight.unsqueeze(1), bias, groups=weight.shape[0])
    return functional.silu(y) if silu else y


REPLACED = {
    torch.ops.serenanet.scan_torch.default: _scan_torch,
    torch.ops.serenanet.ssd.default: _ssd,
    torch.ops.serenanet.conv_torch.default: _conv_torch,
}


class _Replacing(TorchFunctionMode):
    def __torch_function__(self, function, types, args=(), kwargs=None):
        return REPLACED.get(function, function)(*args, **(kwargs or {}))


def write(network, example, path, metadata):
    """Trace a network of audio (B, S) and lengths (B,); any other batch size and length will do too.

    Parameters
    ----------
    network : Module
    example : dict of str to Tensor
        Its arguments.
    path : Path
    metadata : dict
        Stored as the extra file ``metadata.json``.
    """
    with torch.no_grad(), _Replacing(), warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # of checks of shapes
        warnings.simplefilter("ignore", DeprecationWarning)  # of TorchScript
        traced = torch.jit.trace(network, tuple(example.values()), check_trace=False)
    written = io.BytesIO()  # PyTorch's own writer aborts the process where a file cannot grow
    torch.jit.save(traced, written, _extra_files={"metadata.json": json.dumps(metadata)})
    Path(path).write_bytes(written.getbuffer())


class ScriptFile:
    """Runs a written file.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path):
        self._module = torch.jit.load(path)

    @torch.no_grad()
    def __call__(self, audio, lengths):
        """audio (B, S) float32, lengths (B,) int64, arrays -> log-probabilities (B, T, V), frames (B,)."""
        with torch.jit.optimized_execution(False):  # compiling for each shape takes longer than it saves
            return tuple(y.numpy() for y in self._module(torch.from_numpy(audio), torch.from_numpy(lengths)))
