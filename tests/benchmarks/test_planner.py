"""What benchmarks/planner.py measures and prints; no time is asserted."""

import importlib

import pytest

from tests.support.tiny import ROOT


@pytest.fixture
def planner(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("planner")


def test_memory_of_the_planner(planner, tmp_path):
    """At 30,000 utterances it is below 200 bytes each, in a process of its own."""
    planner.main(["--sizes", "30000", "--out", str(tmp_path / "out"), "--scratch", str(tmp_path)])
    row = [cell.strip() for cell in (tmp_path / "out" / "planner.md").read_text().splitlines()[-1].split("|")[1:-1]]
    assert row[0] == "30,000" and float(row[4]) > 0 and 40 < int(row[-1]) < 200
    assert (tmp_path / "out" / "planner.png").stat().st_size > 1000
