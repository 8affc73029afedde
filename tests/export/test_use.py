"""Exported files in other programs' hands: the script of docs/inference.md without torch, sherpa-onnx, error rates."""

import difflib
import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from serenanet_modules import cli
from serenanet_modules.data.languages import UNKNOWN, UNKNOWN_SURFACE
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.export.check import Speech
from serenanet_modules.export.onnx_file import OnnxFile
from serenanet_modules.export.sherpa import AsSherpa
from tests.support.tiny import ROOT, SAMPLE, read_tsv

pytestmark = pytest.mark.slow  # an export is
CLIP = SAMPLE / "clips" / read_tsv(SAMPLE / "test.tsv")[0]["path"]


def greedy_text(exports, family, audio):
    """What the model itself says of samples (S,), with the name of what is no unit, as other programs write it."""
    log_probs, frames = exports.eager(family)(audio[None], np.array([len(audio)]))
    return written(exports, family, collapse(log_probs[0, : frames[0]].argmax(-1).tolist())[0])


def written(exports, family, units):
    return exports.opened(family).units.decode(units).replace(UNKNOWN_SURFACE, UNKNOWN)


def test_the_script_of_the_page(exports, tmp_path):
    """The block of docs/inference.md, of at most 20 lines, literally, where torch cannot be imported."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/inference.md").read_text(encoding="utf-8"), re.DOTALL)
    (script,) = (block for block in blocks if "onnxruntime" in block)
    assert len(script.splitlines()) <= 20
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    (tmp_path / "torch.py").write_text("raise ImportError('no torch here')")
    path = exports.file("serenanet", "onnx")
    done = subprocess.run(
        [sys.executable, tmp_path / "script.py", path.parent, CLIP],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONIOENCODING": "utf-8"},
    )
    audio, _ = soundfile.read(CLIP, dtype="float32")
    assert done.stdout.strip() == greedy_text(exports, "serenanet", audio) != "", done.stderr


def _listen(path, samples):
    """What sherpa-onnx makes of samples at 16 kHz with an exported file."""
    sherpa_onnx = pytest.importorskip("sherpa_onnx")
    loader = sherpa_onnx.OfflineRecognizer.from_omnilingual_asr_ctc(str(path), str(path.with_name("tokens.txt")))
    stream = loader.create_stream()
    stream.accept_waveform(16000, samples)
    loader.decode_stream(stream)
    return stream.result


def test_sherpa_onnx(exports):
    """sherpa-onnx hears what the model hears, loud or soft or with an offset, and its times are those of the frames."""
    path = exports.file("serenanet", "sherpa")
    audio = soundfile.read(CLIP, dtype="float32")[0]
    exported = AsSherpa(OnnxFile(path), exports.opened("serenanet").modules["model"])
    for samples in (audio, 0.05 * audio, 2 * audio, audio + 0.1):
        given = samples[None], np.array([len(samples)])
        log_probs, frames = exported(*given)
        expected, _ = exports.eager("serenanet")(*given)
        np.testing.assert_allclose(log_probs, expected, rtol=0, atol=1e-3)
        heard = _listen(path, samples)
        units, starts = collapse(log_probs[0, : frames[0]].argmax(-1).tolist())
        assert heard.text.strip() == written(exports, "serenanet", units) != ""
        np.testing.assert_allclose(heard.timestamps, 0.04 * np.array(starts), atol=1e-3)


def test_sherpa_onnx_in_8_bits(exports):
    """The small file gives nearly the same text, though this model's weights are random and decide by a hair."""
    path = exports.file("serenanet", "sherpa")
    audio = soundfile.read(CLIP, dtype="float32")[0]
    full, small = (_listen(file, audio).text for file in (path, path.with_suffix(".int8.onnx")))
    assert difflib.SequenceMatcher(None, full, small).ratio() > 0.8


@pytest.fixture
def manifest(tmp_path):
    """A manifest of four clips of the sample corpus, and one that is not there."""
    rows = read_tsv(SAMPLE / "test.tsv")[:4]
    lines = [f"{SAMPLE / 'clips' / row['path']}\t{row['sentence']}\n" for row in rows]
    text = "path\ttext\n" + "".join([*lines, "absent.mp3\tbaba\n"])
    (tmp_path / "some.tsv").write_text(text, encoding="utf-8")
    return tmp_path / "some.tsv"


def test_check_prints_error_rates_of_both(exports, manifest, tmp_path, monkeypatch):
    """``--check`` scores the model and the file on the same utterances; a pipe has all lines before each."""
    pipe, errors, had = io.BytesIO(), Speech.errors, []

    def measured(*arguments):
        had.append(len(pipe.getvalue().splitlines()))
        return errors(*arguments)

    monkeypatch.setattr(Speech, "errors", measured)
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(pipe, encoding="utf-8"))
    folder = exports.folder("conmamba")
    arguments = ["export", folder, "--to", "torchscript", "--out", tmp_path / "m.pt", "--check", manifest]
    assert cli.main([str(a) for a in arguments]) == 0
    written, rejects, begun, model, file = pipe.getvalue().decode().splitlines()
    assert begun == "measuring on 4 utterances, 2 times" and had == [3, 4]
    assert written.startswith(f"{tmp_path / 'm.pt'}: ") and (tmp_path / "m.json").is_file()
    assert rejects == "left out of test: 1 missing"
    words = sum(len(row["sentence"].split()) for row in read_tsv(SAMPLE / "test.tsv")[:4])
    rates = [line.split(": ")[1] for line in (model, file)]
    assert model.startswith("WER % of the model: ") and file.startswith("WER % of m.pt: ")
    assert rates[0] == rates[1] and re.search(rf"\[ [1-9]\d* / {words}, ", rates[0])


@pytest.mark.parametrize(
    "options, words",
    [
        (["--to", "torchscript", "--quantize", "int8"], "--quantize int8 is for ONNX files"),
        (["--to", "torchscript", "--out", "model.onnx"], "that ends in .pt"),
        (["--to", "caffe"], "invalid choice: 'caffe'"),
        (["--to", "torchscript", "--check", "nowhere.tsv"], "nowhere.tsv: there is no such file"),
        ([], "--to"),
    ],
)
def test_bad_options(exports, options, words, capsys):
    """One sentence, status 2, nothing written."""
    folder = exports.folder("hmamba-pooling")
    assert cli.main(["export", str(folder), *options]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("error: ") and err.count("\n") == 1 and words in err
