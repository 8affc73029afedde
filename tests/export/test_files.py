"""A file gives the model's numbers: any family, any batch, any length."""

import json
import re

import numpy as np
import onnx
import pytest
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic

from serenanet_modules.errors import UserError
from serenanet_modules.export import command
from serenanet_modules.export.check import change_beside
from serenanet_modules.export.network import ConvolvedMelPower
from serenanet_modules.export.onnx_file import OnnxFile
from serenanet_modules.export.torchscript import ScriptFile
from serenanet_modules.lobes.features import LogMel
from tests.support.families import FAMILIES

IN_ONNX = (  # an export takes seconds
    *("serenanet", "conmamba", "hmamba", "conformer-hybrid"),
    *("fast-conformer", "fast-conformer-streaming"),
    *("public-waves", "public-whisper", "public-w2v-bert"),
)
pytestmark = pytest.mark.slow  # an export is
CASES = [(family, "torchscript") for family in FAMILIES] + [(family, "onnx") for family in IN_ONNX]


def opened(exports, family, to):
    return (OnnxFile if to == "onnx" else ScriptFile)(exports.file(family, to))


@pytest.mark.parametrize("n_mels, n_fft, win_length", [(80, 512, 25), (128, 1024, 25), (40, 512, 32)])
def test_features_by_convolution(n_mels, n_fft, win_length):
    """The features are `LogMel`'s, ragged and whatever stands in the padding."""
    torch.manual_seed(1)
    features = LogMel(n_mels, n_fft, win_length=win_length)
    features.mean.fill_(-20.0)
    wavs, lengths = 0.1 * torch.randn(3, 9000), torch.tensor([9000, 4321, 5])
    wavs[1, 4321:] = torch.nan
    expected, expected_frames = features(wavs, lengths)
    features.power = ConvolvedMelPower(features.power)
    x, frames = features(wavs, lengths)
    torch.testing.assert_close(x, expected, rtol=0, atol=5e-3)  # decibels; differences have little power at 0 Hz
    assert torch.equal(frames, expected_frames)


@pytest.mark.parametrize("family, to", CASES)
def test_ragged_batches_of_other_lengths(exports, speech, family, to):
    """Log-probabilities and lengths are the model's, and an utterance's own whatever stands beside it."""
    run, (audio, lengths) = opened(exports, family, to), speech
    log_probs, frames = run(audio, lengths)
    expected, expected_frames = exports.eager(family)(audio, lengths)
    assert frames.tolist() == expected_frames.tolist() and log_probs.dtype == np.float32
    for row, (n, samples) in enumerate(zip(frames, lengths, strict=True)):
        print(f"largest difference {np.abs(log_probs[row, :n] - expected[row, :n]).max():.1e}")
        np.testing.assert_allclose(log_probs[row, :n], expected[row, :n], rtol=0, atol=1e-3)
        alone, _ = run(audio[row : row + 1, :samples], lengths[row : row + 1])
        np.testing.assert_allclose(log_probs[row, :n], alone[0, :n], rtol=0, atol=1e-3)
    assert len(np.unique(log_probs[0, : frames[0]].argmax(-1))) >= 3  # else the above proves little


@pytest.mark.parametrize("family", IN_ONNX)
def test_onnx_stands_alone(exports, family):
    """A valid model of standard operations, whose metadata says what a program must know."""
    path = exports.file(family, "onnx")
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert {node.domain for node in model.graph.node} <= {"", "ai.onnx"}
    facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    assert {p.key: p.value for p in model.metadata_props} == {k: str(v) for k, v in facts.items()}
    units = exports.opened(family).units
    assert facts["sample_rate"] == 16000 and facts["blank_id"] == 0 and facts["n_units"] == units.size
    tokens = path.with_name("tokens.txt").read_text(encoding="utf-8").splitlines()
    assert tokens == [f"{piece} {i}" for i, piece in enumerate(units.pieces)]
    assert [d.dim_param for d in model.graph.output[0].type.tensor_type.shape.dim][:2] == ["batch", "frames"]


def test_torchscript_needs_no_operation_of_ours(exports):
    """The file runs where this package is not installed."""
    graph = str(torch.jit.load(exports.file("hmamba", "torchscript")).inlined_graph)
    assert "serenanet::" not in graph and graph.count("prim::Loop") >= 4


def test_int8(exports, speech):
    """Weights of matrix products are bytes; shapes stay, and most labels."""
    path = exports.file("conformer-hybrid", "onnx")
    small = path.with_suffix(".int8.onnx")
    assert small.stat().st_size < path.stat().st_size
    kinds = [node.op_type for node in onnx.load(small).graph.node]
    assert "MatMulInteger" in kinds and "DynamicQuantizeLinear" not in kinds
    log_probs, frames = OnnxFile(small)(*speech)
    expected, _ = exports.eager("conformer-hybrid")(*speech)
    assert log_probs.shape == expected.shape and np.isfinite(log_probs).all()
    same = [y[:n].argmax(-1) == z[:n].argmax(-1) for y, z, n in zip(log_probs, expected, frames, strict=True)]
    assert np.concatenate(same).mean() > 0.9


def test_what_stands_beside_an_utterance_is_not_heard_in_8_bits(exports, tmp_path):
    """Silence, noise and padding; scales of whole tensors would let it through."""
    path = exports.file("conformer-hybrid", "onnx")
    quantize_dynamic(path, tmp_path / "x.onnx", op_types_to_quantize=["MatMul"], weight_type=QuantType.QUInt8)
    beside = [change_beside(OnnxFile(file)) for file in (path.with_suffix(".int8.onnx"), tmp_path / "x.onnx")]
    print(f"largest change {beside[0]:.1e}, with scales of tensors {beside[1]:.1e}")
    assert beside[0] < 1e-3 < 1e-2 < beside[1]


def test_the_report(exports):
    """File, size and difference; for the copy in 8 bits its labels."""
    first, second = exports.lines("conformer-hybrid", "onnx")
    assert (
        "model.onnx: " in first
        and " MB, largest difference from the model in 7 batches " in first
        and "(tolerance 0.001)" in first
    )
    assert "model.int8.onnx: " in second and "% of frames have the model's best label" in second
    assert all(re.search(r", effect of other utterances in a batch \d\.\de-\d\d", line) for line in (first, second))


def test_a_file_that_differs_is_not_written(exports, tmp_path, monkeypatch):
    """The comparison decides, and leaves nothing behind."""
    monkeypatch.setattr(command, "TOLERANCE", 0.0)
    with pytest.raises(UserError, match="is not written, as it differs from the model by "):
        command.export(exports.folder("conmamba"), "torchscript", out=tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_a_model_that_cannot_be_traced(exports, tmp_path, monkeypatch):
    """One sentence names the encoder and the format."""

    def impossible(*_):
        raise RuntimeError("data-dependent\nand more")

    opened = exports.opened("conmamba")
    monkeypatch.setattr(type(opened.modules["model"].acoustic.encoder), "forward", impossible)
    with pytest.raises(UserError, match="ConMambaEncoder cannot be written --to torchscript: data-dependent$"):
        command.export(exports.folder("conmamba"), "torchscript", out=tmp_path)
