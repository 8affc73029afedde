"""benchmarks/inference.py runs every form of a model beside SpeechBrain's EncoderASR; no time is asserted."""

import importlib
import json
import subprocess
import sys

import pytest

from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT, SAMPLE

pytest.importorskip("onnxruntime")
SMALL = (("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.n_heads", "2"), ("encoder.d_ffn", "32"))
CLIPS = sorted((SAMPLE / "clips").glob("*.mp3"))[:3]


@pytest.mark.slow
def test_every_contestant_transcribes_the_same(tmp_path):
    """A row for each contestant, its texts as of the model alone and in batches, and the files promised."""
    serenanet = make_random_result(tmp_path / "a", preset("serenanet/small"), *SMALL, ("frontend.gate_size", "8"))
    conformer = make_random_result(tmp_path / "b", preset("conformer_ctc"), *SMALL)
    command = [sys.executable, ROOT / "benchmarks/inference.py", serenanet, "--conformer", conformer]
    command += ["--forms", "eager", "onnx", "int8", "--batch", "2", "--threads", "2", "--repeats", "2"]
    command += ["--out", tmp_path, "--files", *CLIPS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    found = json.loads((tmp_path / "inference.json").read_text())
    assert [c["form"] for c in found["contestants"]] == ["EncoderASR", "eager", "onnx", "int8"]
    assert found["contestants"][3]["bytes"] < found["contestants"][2]["bytes"]
    for row in found["rows"]:
        assert row["rtf"] > 0 and row["memory"]["bytes"] > 0 and len(row["ratios"]) == 2 and any(row["texts"]), row
    base, eager, onnx, _ = found["rows"]
    assert base["ratios"] == [1.0, 1.0] and eager["texts"] == onnx["texts"] != base["texts"]
    assert "| serenanet_small | onnx | " in (tmp_path / "inference.md").read_text() and "WRONG" not in done.stdout
    assert (tmp_path / "inference.png").stat().st_size > 10_000


def test_other_texts_are_found(monkeypatch):
    """A trained model's text that another form changes is wrong, but in 8 bits it is only counted."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    inference = importlib.import_module("inference")
    about = [("a", "EncoderASR", True), ("b", "eager", True), ("b", "onnx", True), ("b", "int8", True)]
    about += [("c", "eager", False), ("c", "onnx", False)]
    contestants = [{"model": model, "form": form, "trained": trained} for model, form, trained in about]
    texts = ["other", "mama", "nana", "mana", "baba", "dada"]
    rows = [
        {"contestant": i, "threads": 1, "batch": 1, "all": [0.5 * (i + 1), 1.0 * (i + 1)], "texts": ["same", text]}
        for i, text in enumerate(texts)
    ]
    inference.judge(rows, contestants, seconds=10.0)
    assert [row["wrong"] for row in rows] == [False, False, True, False, False, False]
    assert [row["different"] for row in rows] == [[], [], [1], [1], [], [1]]
    assert [round(row["edits"], 3) for row in rows] == [0, 0, 0.25, 0.125, 0, 0.25]
    assert rows[1]["rtf"] == pytest.approx(0.15) and rows[1]["ratios"] == [0.5, 0.5]


def test_bad_input_is_a_sentence(tmp_path):
    """Status 2 and one line for a folder that holds no model."""
    command = [sys.executable, ROOT / "benchmarks/inference.py", tmp_path / "nothing", "--files", CLIPS[0]]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and f"error: {tmp_path / 'nothing'}: there is no such folder" in done.stderr
