"""The scans of both formats are those of `ops`, and their work grows as the length does."""

import json

import onnx
import onnxruntime
import pytest
import torch

from serenanet_modules.export import onnx_ops, torchscript
from serenanet_modules.ops.plain import scan as plain_scan
from serenanet_modules.ops.plain import ssd as plain_ssd


def onnx_function(function):
    """An onnxscript function as one of tensors."""
    session = onnxruntime.InferenceSession(function.to_model_proto().SerializeToString())
    names = [value.name for value in session.get_inputs()]
    return lambda *x: torch.from_numpy(session.run(None, {n: t.numpy() for n, t in zip(names, x, strict=True)})[0])


@pytest.mark.parametrize("selective_scan", [onnx_function(onnx_ops.selective_scan), torchscript.selective_scan])
@pytest.mark.parametrize("groups, length", [(1, 1), (2, 2), (1, 37), (2, 400)])
def test_selective_scan(selective_scan, groups, length):
    """Equal for any length and groups, with decays that forget at once and hardly ever."""
    u, delta = torch.randn(3, 4, length), 5 * torch.rand(3, 4, length)
    A = -torch.tensor([[1e-4, 0.1, 20.0]]) * torch.rand(4, 1)
    B, C = torch.randn(2, 3, groups, 3, length)
    expected, _ = plain_scan.scan(u, delta, A, B, C, None, None, None, False, None)
    torch.testing.assert_close(selective_scan(u, delta, A, B, C), expected, rtol=1e-4, atol=1e-4)


def from_zeros(chunk_scan):
    """The scan of ONNX, which takes a state, without one."""
    return lambda x, dt, log_decay, B, C: chunk_scan(x, dt, log_decay, B, C, torch.zeros(*x[:, 0].shape, B.shape[3]))


@pytest.mark.parametrize("chunk_scan", [from_zeros(onnx_function(onnx_ops.chunk_scan)), torchscript.chunk_scan])
@pytest.mark.parametrize("groups, length", [(1, 1), (2, 64), (1, 65), (2, 300)])
def test_chunk_scan(chunk_scan, groups, length):
    """Equal for lengths around a chunk; a decay of -1000 forgets all that was."""
    x, dt = torch.randn(2, length, 4, 3), torch.rand(2, length, 4)
    log_decay = -9 * torch.rand(2, length, 4)
    log_decay[:, length // 2] = -1000
    B, C = torch.randn(2, 2, length, groups, 5)
    expected, _ = plain_ssd.scan(x, dt, log_decay, B, C)
    torch.testing.assert_close(chunk_scan(x, dt, log_decay, B, C), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kernel", ["scan_torch", "ssd", "conv_torch"])
def test_every_custom_operation_is_translated(kernel):
    """What the plain backend runs has a counterpart in both formats."""
    operation = getattr(torch.ops.serenanet, kernel).default
    assert operation in onnx_ops.TRANSLATIONS and operation in torchscript.REPLACED


def computed(path, seconds, tmp_path):
    """Bytes that all nodes of a model write, those inside loops each time, from onnxruntime's own record."""
    options = onnxruntime.SessionOptions()
    options.enable_profiling, options.intra_op_num_threads = True, 1
    options.profile_file_prefix = str(tmp_path / "profile")
    session = onnxruntime.InferenceSession(path, options)
    audio = 0.1 * torch.randn(1, 16000 * seconds)
    session.run(None, {"audio": audio.numpy(), "lengths": torch.tensor([audio.shape[1]]).numpy()})
    events = json.loads(open(session.end_profiling(), encoding="utf-8").read())
    return sum(int(e["args"]["output_size"]) for e in events if "output_size" in e.get("args", {}))


@pytest.mark.slow
@pytest.mark.parametrize("family", ["conmamba"])
def test_mamba_runs_in_linear_time(exports, family, tmp_path):
    """Four times the audio makes four times the numbers, scans included."""
    path = exports.file(family, "onnx")
    assert sum(node.op_type == "Scan" for node in onnx.load(path).graph.node) == 2  # one a direction
    short, long = (computed(path, seconds, tmp_path) for seconds in (15, 60))
    assert 3.6 * short < long < 4.2 * short
