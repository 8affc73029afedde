"""What benchmarks/level.py prints."""

import importlib

import numpy as np
import pytest

from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT, make_corpus

SMALL = [("encoder.n_layers", "1"), ("d_model", "32")]


@pytest.fixture
def level(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("level")


def test_each_change_is_heard_each_way(level):
    """A way that hears nothing of what is quiet, and one that always hears."""
    texts, recordings = {"a": "moja mbili", "b": "tatu"}, {"a": np.full(9, 0.5), "b": np.full(9, 0.6)}
    ways = {
        "all": lambda sounds: [["moja mbili", "tatu"][i] for i, _ in enumerate(sounds)],
        "loud": lambda sounds: [
            text if abs(s).max() > 0.1 else "" for text, s in zip(texts.values(), sounds, strict=True)
        ],
    }
    head, _, same, quiet, shifted = level.table(
        texts, recordings, ways, [(0, 0.0), (-40, 0.0), (-40, 0.2)]
    ).splitlines()
    assert head.count("WER") == 2 and "WER, loud" in head
    assert same == "| +0 dB | +0.0 | 0.0 | +0.0 (+0.0 to +0.0) | 0.0 | +0.0 (+0.0 to +0.0) |"
    assert quiet.startswith("| -40 dB | +0.0 | 0.0 | +0.0 (+0.0 to +0.0) | 100.0 | +100.0 (")
    assert shifted.startswith("| -40 dB | +0.2 | 0.0 | +0.0 (+0.0 to +0.0) | 0.0 |")


def test_rounding_keeps_what_sixteen_bits_hold(level):
    assert level.rounded(np.array([0.5, 1.5, 1e-6])).tolist() == [0.5, 1.5, 0.0]


def test_a_model_that_streams(level, tmp_path, capsys):
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *SMALL)
    level.main([str(folder), str(make_corpus(tmp_path / "sw") / "test.tsv")])
    rows = capsys.readouterr().out.splitlines()
    assert "streamed" in rows[0] and len(rows) == 2 + len(level.CHANGES)
