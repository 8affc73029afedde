"""The operations of `ops` in ONNX: depthwise convolution, Mamba's scan, Mamba-2's scan.

Both scans are linear in time, and the length stays open. Mamba's is an ONNX `Scan` that carries the state, the only one
in memory. (Blocks side by side would need √L iterations but form each step twice: of 375 to 6000 steps of 256 channels
onnxruntime then took 1.4 times as long.) Mamba-2's is products of matrices within chunks of `CHUNK` steps, and a `Scan`
from chunk to chunk. As in `ops/plain`, nothing is divided by a decay and no positive number is exponentiated.
"""

import operator

import torch
from onnxscript import FLOAT, graph, script
from onnxscript import opset18 as op

import serenanet_modules.ops  # noqa: F401  registers what is translated
from serenanet_modules.export.network import check_absent

OPSET = 18
CHUNK = 64  # steps of Mamba-2's scan in one product of matrices


# the ranks must be known to whoever runs a Scan
Signal = FLOAT["B", "D", "L"]
Rates = FLOAT["D", "N"]
Projection = FLOAT["B", "G", "N", "L"]
Heads = FLOAT["B", "L", "H", "P"]
Steps = FLOAT["B", "L", "H"]
Grouped = FLOAT["B", "L", "G", "N"]
State = FLOAT["B", "H", "P", "N"]


@script()
def selective_scan(u: Signal, delta: Signal, A: Rates, B: Projection, C: Projection) -> Signal:
    """u, delta (B, D, L), A (D, N), B, C (B, G, N, L) -> y (B, D, L)."""
    zero = op.Constant(value_ints=[0])
    minus = op.Constant(value_ints=[-1])
    groups = op.Shape(B, start=1, end=2)
    states = op.Shape(A, start=1, end=2)
    channels = op.Div(op.Shape(A, start=0, end=1), groups)  # of a group, R
    signal = op.Concat(zero, groups, channels, minus, axis=0)
    u_steps = op.Transpose(op.Reshape(u, signal), perm=[3, 0, 1, 2])  # (L, B, G, R)
    d_steps = op.Transpose(op.Reshape(delta, signal), perm=[3, 0, 1, 2])
    B_steps = op.Transpose(B, perm=[3, 0, 1, 2])  # (L, B, G, N)
    C_steps = op.Transpose(C, perm=[3, 0, 1, 2])
    rates = op.Reshape(A, op.Concat(groups, channels, states, axis=0))

    @graph()
    def step(state, u_t, d_t, B_t, C_t):
        decay = op.Exp(op.Mul(op.Unsqueeze(d_t, minus), rates))
        drive = op.Mul(op.Unsqueeze(op.Mul(d_t, u_t), minus), op.Unsqueeze(B_t, op.Constant(value_ints=[-2])))
        new = op.Add(op.Mul(decay, state), drive)
        y_t = op.Squeeze(op.MatMul(new, op.Unsqueeze(C_t, minus)), minus)
        return new, y_t

    start = op.Concat(op.Shape(u, start=0, end=1), groups, channels, states, axis=0)
    start = op.Expand(op.Constant(value_floats=[0.0]), start)
    last, y = op.Scan(start, u_steps, d_steps, B_steps, C_steps, body=step, num_scan_inputs=4)
    return op.Reshape(op.Transpose(y, perm=[1, 2, 3, 0]), op.Shape(u))


@script()
def chunk_scan(x: Heads, dt: Steps, log_decay: Steps, B: Grouped, C: Grouped, before_all: State) -> tuple[Heads, State]:
    """x (B, L, H, P), dt, log_decay (B, L, H), B, C (B, L, G, N), state (B, H, P, N) -> y (B, L, H, P), last state."""
    zero = op.Constant(value_ints=[0])
    one = op.Constant(value_ints=[1])
    minus = op.Constant(value_ints=[-1])
    chunk = op.Constant(value_ints=[CHUNK])
    time = op.Constant(value_ints=[4])
    batch = op.Shape(x, start=0, end=1)
    length = op.Shape(x, start=1, end=2)
    channels = op.Shape(x, start=3, end=4)
    groups = op.Shape(B, start=2, end=3)
    states = op.Shape(B, start=3, end=4)
    heads = op.Div(op.Shape(x, start=2, end=3), groups)  # of a group, R
    count = op.Div(op.Sub(op.Add(length, chunk), one), chunk)  # chunks, K
    missing = op.Sub(op.Mul(count, chunk), length)
    # steps of size 0 at the end leave the state alone
    pads = op.Concat(zero, zero, zero, zero, zero, missing, zero, zero, axis=0)
    x_chunks = op.Reshape(op.Pad(x, pads), op.Concat(batch, count, chunk, groups, heads, channels, axis=0))
    shape = op.Concat(batch, count, chunk, groups, one, states, axis=0)
    B_chunks = op.Transpose(op.Reshape(op.Pad(B, pads), shape), perm=[0, 1, 3, 4, 2, 5])  # (B, K, G, 1, Q, N)
    C_chunks = op.Transpose(op.Reshape(op.Pad(C, pads), shape), perm=[0, 1, 3, 4, 2, 5])
    pads = op.Concat(zero, zero, zero, zero, missing, zero, axis=0)
    shape = op.Concat(batch, count, chunk, groups, heads, axis=0)
    dt_chunks = op.Transpose(op.Reshape(op.Pad(dt, pads), shape), perm=[0, 1, 3, 4, 2])  # (B, K, G, R, Q)
    decays = op.Transpose(op.Reshape(op.Pad(log_decay, pads), shape), perm=[0, 1, 3, 4, 2])
    u = op.Mul(op.Transpose(x_chunks, perm=[0, 1, 3, 4, 2, 5]), op.Unsqueeze(dt_chunks, minus))  # (B, K, G, R, Q, P)
    # the difference of two large sums must keep its digits
    sums = op.CumSum(op.Cast(decays, to=11), op.Constant(value_int=4))
    whole = op.Slice(sums, minus, chunk, time)  # (B, K, G, R, 1)
    pairs = op.Cast(op.Sub(op.Unsqueeze(sums, minus), op.Unsqueeze(sums, time)), to=1)  # (B, K, G, R, Q, Q)
    position = op.Range(op.Constant(value_int=0), op.Constant(value_int=CHUNK), op.Constant(value_int=1))
    past = op.GreaterOrEqual(op.Unsqueeze(position, one), op.Unsqueeze(position, zero))  # (Q, Q)
    decay = op.Exp(op.Where(past, pairs, op.Constant(value_float=-1e9)))
    weights = op.Mul(op.MatMul(C_chunks, op.Transpose(B_chunks, perm=[0, 1, 2, 3, 5, 4])), decay)
    within = op.MatMul(weights, u)  # (B, K, G, R, Q, P)
    rest = op.Unsqueeze(op.Exp(op.Cast(op.Sub(whole, sums), to=1)), minus)
    inputs = op.MatMul(op.Transpose(op.Mul(u, rest), perm=[0, 1, 2, 3, 5, 4]), B_chunks)  # (B, K, G, R, P, N)
    inputs = op.Transpose(inputs, perm=[1, 0, 2, 3, 4, 5])
    through = op.Transpose(op.Unsqueeze(op.Exp(op.Cast(whole, to=1)), minus), perm=[1, 0, 2, 3, 4, 5])

    @graph()
    def carry(before, inputs_k, through_k):
        after = op.Add(op.Mul(through_k, before), inputs_k)
        kept = op.Identity(before)
        return after, kept

    start = op.Reshape(before_all, op.Concat(batch, groups, heads, channels, states, axis=0))
    last, starts = op.Scan(start, inputs, through, body=carry, num_scan_inputs=2)
    starts = op.Transpose(starts, perm=[1, 0, 2, 3, 5, 4])  # (B, K, G, R, N, P)
    across = op.Mul(op.MatMul(C_chunks, starts), op.Unsqueeze(op.Exp(op.Cast(sums, to=1)), minus))
    y = op.Transpose(op.Add(within, across), perm=[0, 1, 4, 2, 3, 5])  # (B, K, Q, G, R, P)
    y = op.Reshape(y, op.Concat(batch, op.Mul(count, chunk), op.Mul(groups, heads), channels, axis=0))
    return op.Slice(y, zero, length, one), op.Reshape(last, op.Shape(before_all))


def _scan_torch(u, delta, A, B, C, initial_state, save):
    check_absent(initial_state)
    y = selective_scan(u, delta, A, B, C)
    return y, op.Identity(y), op.Identity(y)  # nothing reads the states


def _ssd(x, dt, log_decay, B, C, initial, save, chunk):
    if initial is None:
        shape = op.Concat(op.Shape(x, start=0, end=1), op.Shape(x, start=2), op.Shape(B, start=3), axis=0)
        initial = op.Expand(op.Constant(value_floats=[0.0]), shape)
    y, last = chunk_scan(x, dt, log_decay, B, C, initial)
    return y, last, op.Identity(y)  # nothing reads the states between


def _conv_torch(x, weight, bias, initial, seq_idx, left, silu, channel_last):
    check_absent(seq_idx)
    channels, width = weight.shape
    if initial is not None:  # what came before stands in the place of the first zeros
        x, pads = op.Concat(initial, x, axis=2), [0, 0]
    else:
        pads = [left, width - 1 - left]
    y = op.Conv(x, op.Unsqueeze(weight, op.Constant(value_ints=[1])), bias, group=channels, pads=pads)
    return op.Mul(y, op.Sigmoid(y)) if silu else y


def _squeeze(x, dim):
    """PyTorch leaves a dimension that is not 1 alone, ONNX refuses."""
    return op.Squeeze(x, op.Constant(value_ints=[dim])) if x.shape[dim] == 1 else op.Identity(x)


def _floor_division(a, b):
    """Python's ``a // b`` of sizes, also of negative ones, which ONNX rounds towards zero."""
    return op.Div(op.Sub(a, op.Mod(a, b)), b)


TRANSLATIONS = {
    operator.floordiv: _floor_division,
    torch.ops.aten.squeeze.dim: _squeeze,
    torch.ops.serenanet.scan_torch.default: _scan_torch,
    torch.ops.serenanet.ssd.default: _ssd,
    torch.ops.serenanet.conv_torch.default: _conv_torch,
}
