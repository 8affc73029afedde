"""What benchmarks/preparing.py measures and prints; no time is asserted."""

import importlib

import pytest

from tests.support.tiny import ROOT, make_corpus


@pytest.fixture
def preparing(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("preparing")


def test_reading_in_turns(preparing, tmp_path):
    """Files and archives are read in each round; the files' own ratio is 1."""
    make_corpus(tmp_path, sizes={"train": 4, "dev": 2, "test": 2})
    asked = [str(ROOT / "recipes/CommonVoice/sw"), "--data-folder", str(tmp_path), "--rounds", "2"]
    seconds, audio = preparing.in_turns(preparing.parse([*asked, "--scratch", str(tmp_path)]))
    assert set(seconds) == set(preparing.WAYS) and all(len(s) == 2 and min(s) > 0 for s in seconds.values())
    files, archives = preparing.reading((seconds, audio)).splitlines()[2:4]
    assert files.endswith("| 1.00, 1.00 | 1.00 |") and archives.startswith("| archives |")


def test_the_slowest_process_counts(preparing):
    found = {1: {"cpu": [4.0], "clock": 9.0}, 2: {"cpu": [2.5, 1.5], "clock": 6.0}}
    assert preparing.preparing(found).splitlines()[-1] == "| 2 | 2.50, 1.50 | 2.50 | 1.60 | 6.0 |"


@pytest.mark.parametrize("between", ["", "\n"])
def test_processes_that_print_side_by_side(preparing, between):
    text = between.join(['{"cpu": 1.0, "clock": 2.0}', '{"cpu": 3.0, "clock": 1.0}'])
    assert [told["cpu"] for told in preparing.told_by(text)] == [1.0, 3.0]
