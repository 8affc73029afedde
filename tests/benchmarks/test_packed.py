"""What benchmarks/packed.py prints; no time is asserted."""

import importlib

from tests.support.tiny import ROOT


def test_pairs_of_trainings(monkeypatch):
    """Ratios are of a round, and weights that differ are counted."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    packed = importlib.import_module("packed")
    files = [
        {"cpu": 10.0, "clock": 20.0, "training": 6.0, "weights": "a"},
        {"cpu": 8.0, "clock": 16.0, "training": 4.0, "weights": "a"},
    ]
    found = {"a file a clip": files, "archives": [run | {"cpu": 9.0, "clock": 16.0} for run in files]}
    *_, first, second, _, hashes = packed.table(found).splitlines()
    assert first == "| a file a clip | 9.00 | 1.000, 1.000 | 1.000 | 18.00 | 1.000 | 5.00 |"
    assert second == "| archives | 9.00 | 0.900, 1.125 | 1.012 | 16.00 | 0.900 | 5.00 |"
    assert hashes == "1 different hashes of the weights"
