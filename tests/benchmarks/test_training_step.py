"""What benchmarks/training_step.py prints; no time is asserted."""

import importlib
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from serenanet_modules.config.hparams import Hparams
from tests.support.tiny import ROOT


def test_a_part_that_nobody_has_is_no_row(monkeypatch, capsys):
    """Parts of some contestants stand in the table, those of none do not; ratios are to the first."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    training_step = importlib.import_module("training_step")
    none = dict.fromkeys(training_step.PARTS, 0.0)
    medians = {
        "serenanet": none | {"CAR": 0.001, "encoder": 0.1, "step": 0.2},
        "conmamba": none | {"encoder": 0.3, "step": 0.4},
        "hmamba": none | {"encoder": 0.3, "step": 0.1},
    }
    training_step.report(medians, SimpleNamespace(out=None))
    rows = [line.split("|")[1].strip() for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert rows[2:] == ["encoder", "CAR", "step"]
    training_step.report(medians, SimpleNamespace(out=None))
    assert "Times as fast as serenanet: conmamba 0.50, hmamba 2.00." in capsys.readouterr().out


def test_shares_of_the_peak(monkeypatch, capsys):
    """Operations over time and peak; of a contestant without a count the cells are empty."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    training_step = importlib.import_module("training_step")
    none = dict.fromkeys(training_step.PARTS, 0.0)
    medians = {"a": none | {"step": 0.5, "operations": 2e9, "peak": 1e10}, "b": none | {"step": 0.5}}
    training_step.report(medians, SimpleNamespace(out=None))
    told = capsys.readouterr().out
    assert "| GFLOP | 2.0 |  |" in told and "| share of the peak | 40% |  |" in told


def test_a_profile_is_no_part_of_a_steps_time(monkeypatch):
    """Its steps are run on the same clock once the others are told."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    training_step, clocks = importlib.import_module("training_step"), []
    acoustic = SimpleNamespace(features=None, frontend=None, encoder=None)
    modules = SimpleNamespace(model=SimpleNamespace(acoustic=acoustic, car=None))
    brain = SimpleNamespace(modules=modules, hparams=SimpleNamespace(spec_augment=None), fit_batch=lambda batch: None)
    monkeypatch.setattr(training_step, "trainer", lambda options: (brain, range(100)))
    monkeypatch.setattr(training_step.Clock, "watch", lambda clock, *_: clocks.append(clock))
    monkeypatch.setattr(training_step, "profiled", lambda *_: clocks[0].steps[-1].update(encoder=1.0) or {"mm": 1.0})
    found = training_step.measure(SimpleNamespace(device="cpu", compile=["blocks"], batches=1, steps=1, operators=1))
    assert found["encoder"] == 0 and found["operators"] == {"mm": 1.0}


@pytest.mark.parametrize("masked", [False, True])
def test_operations_of_attention_are_counted(monkeypatch, masked):
    """Two products forward, five backward, of 2 B H T² D operations each."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    measure = importlib.import_module("measure")
    q, k, v = (torch.randn(2, 4, 30, 8, requires_grad=True) for _ in range(3))
    mask = torch.ones(30, 30, dtype=torch.bool) if masked else None
    once = 2 * 2 * 4 * 30**2 * 8
    attention = functional.scaled_dot_product_attention
    with torch.no_grad():
        assert measure.operations(lambda: attention(q, k, v, mask)) == 2 * once
    assert measure.operations(lambda: attention(q, k, v, mask).sum().backward()) == 7 * once


@pytest.mark.parametrize(
    ("name", "millions"),
    [("conformer_9m", 9.3), ("conformer_19m", 19), ("torchaudio_conformer", 1.73), ("torchaudio_conformer_9m", 9.0)],
)
def test_other_models_are_as_large_as_they_say(monkeypatch, name, millions):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    hparams = Hparams.load(ROOT / "benchmarks" / f"{name}.yaml", {})
    needed = {"dataset": "none", "locale": "none", "data_folder": "none", "n_units": "32"}
    hparams.override(list(needed.items()))
    model = hparams.build()["model"]
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, rel=0.03)
