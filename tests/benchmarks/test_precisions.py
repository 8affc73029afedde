"""What benchmarks/precisions.py and use.py print."""

import importlib

import pytest

from tests.support.tiny import ROOT


@pytest.fixture(autouse=True)
def _benchmarks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")


def test_losses_are_compared_seed_by_seed():
    """And their means with each other."""
    runs = {"fp32": [(1.0, 5), (3.0, 7)], "mxfp4": [(1.5, 9), (2.7, 9)]}
    made = {n: [{"loss": a, "CER": b, "cpu": 10.0, "share": 0.5} for a, b in found] for n, found in runs.items()}
    *_, exact, rounded = importlib.import_module("precisions").table(made).splitlines()
    assert exact == "| fp32 | 50 % | 2.000 | 1.000, 1.000 | 1.000 | 1.000 |  | 6.0 | 10 |"
    assert rounded == "| mxfp4 | 50 % | 2.100 | 1.500, 0.900 | 1.200 | 1.050 | 1.25 | 9.0 | 10 |"


def test_ways_are_compared_with_the_first():
    one = {"WER": 20.0, "CER": 5.0, "seconds": 10.0, "audio": 1000.0, "opened": 2**20, "most": 2**22}
    *_, first, second = importlib.import_module("use").table({"fp32": one, "int8": one | {"seconds": 5.0}}).splitlines()
    assert first == "| fp32 | 20.00 | 5.00 | 10.0 | 0.0100 | 1.00 | 1 | 4 |"
    assert second == "| int8 | 20.00 | 5.00 | 5.0 | 0.0050 | 0.50 | 1 | 4 |"
