"""benchmarks/decoding.py, hotwords.py and heard.py on a few log-probabilities; no time is asserted."""

import importlib
import subprocess
from argparse import Namespace
from collections import Counter
from functools import partial

import numpy as np
import pytest

from serenanet_modules.decoding import ngram
from tests.support.fake_units import FakeUnits
from tests.support.tiny import ROOT

TEXTS = {"dev": ["ab ba", "ba ab"], "test": ["ab ba ab", "ba"]}


@pytest.fixture
def benchmark(monkeypatch):
    """A benchmark by its name."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module


def said(units, text):
    """Log-probabilities of a text, a frame a letter and a blank behind each."""
    labels = [label for letter in text for label in (units.pieces.index(letter.replace(" ", "▁")), 0)]
    rows = np.full((len(labels), units.size), -9.0, np.float32)
    rows[np.arange(len(labels)), labels] = 0.0
    return rows


@pytest.fixture
def found(benchmark, tmp_path):
    """What was heard of four utterances without an error, by letters."""
    units = FakeUnits(["<blank>", "▁", "a", "b"], "▁")
    ngram.estimate(TEXTS["dev"], 2, tmp_path / "lm.arpa")
    utterances = {
        split: [(f"{split}-{i}", text, 1.0, [said(units, text)]) for i, text in enumerate(texts)]
        for split, texts in TEXTS.items()
    }
    return benchmark("heard").Heard(units, tmp_path / "lm.arpa", tmp_path, utterances)


def test_the_table(benchmark, found, monkeypatch):
    """A row for each contestant, with its error rate and interval; one is wrong in one word of four."""
    decoding = benchmark("decoding")
    monkeypatch.setattr(decoding, "GRID", [(0.5, 0.0)])
    peer = Namespace(grid=[(0.5, 0.0), (1.0, 0.0)], decode=lambda *_: (0.5, ["ab ba ab", "ab"]))
    contestants = decoding.own(decoding.Ours(found), lexicon=True) | {"pyctcdecode": peer}
    head, _, _, _, *rows = decoding.table(contestants, found, Namespace(beams=[4], repeats=1)).splitlines()
    assert head == "2 utterances, 2 s; greedy WER 0.0"
    cells = {row.split(" | ")[0].lstrip("| "): row.strip("| ").split(" | ") for row in rows}
    assert list(cells) == list(contestants) and "ours, lexicon" in cells
    for name in set(cells) - {"pyctcdecode"}:
        assert cells[name][4] == "0.0 (0.0 to 0.0)" and cells[name][5].startswith("-25.0 (")
    assert cells["pyctcdecode"][1:4] == ["0.5, 0", "4", "250.00 [250.00..250.00]"]
    assert cells["pyctcdecode"][4].startswith("25.0 (0.0 to 100.0)")
    assert cells["ours without a language model"][1] == ""


def test_an_environment_that_is_not_whole_is_made_anew(benchmark, tmp_path, monkeypatch):
    """An installation that failed leaves none; nor does one of other packages count, nor a folder of something else."""
    decoding, made, fails = benchmark("decoding"), [], [True, False, False]

    def create(folder, **options):
        made.append(options["clear"])
        (folder / "lib/python3.12/site-packages").mkdir(parents=True, exist_ok=True)
        (folder / "pyvenv.cfg").touch()

    def install(command, check):
        if fails.pop(0):
            raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(decoding.venv, "create", create)
    monkeypatch.setattr(decoding.subprocess, "run", install)
    with pytest.raises(subprocess.CalledProcessError):
        decoding.environment(tmp_path / "peers")
    for _ in range(2):
        assert decoding.environment(tmp_path / "peers") == tmp_path / "peers/bin/python"
    assert made == [True, True]
    monkeypatch.setattr(decoding, "PACKAGES", ("other==1",))
    decoding.environment(tmp_path / "peers")
    assert made == [True] * 3
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter").touch()
    with pytest.raises(SystemExit, match="something else"):
        decoding.environment(tmp_path / "mine")


def test_hotwords_are_counted(benchmark, found):
    """Those that were said and are heard; with too large a weight, also one that was not said."""
    hotwords = benchmark("hotwords")
    test = found.utterances["test"]
    make = partial(hotwords.make, found.units, {})
    plain, heavy = (hotwords.tried(make, test, [(["ab"], ["bb"])], weight) for weight in (0.0, 1000.0))
    assert (plain.found, plain.false, hotwords.total(plain.words).errors) == (1.0, 0.0, 0)
    assert heavy.false > 0 and heavy.beside(plain).startswith("1000 | ")
    rare, absent = hotwords.drawn([("a", "abab moja", 1.0, [])], Counter(["baba", "abab"]), 1)[0]
    assert (sorted(rare), absent) == (["abab", "moja"], ["baba"])


def test_what_is_heard_is_kept(benchmark, tiny, tmp_path, monkeypatch):
    """By the run on dev and test; the second time nobody listens."""
    heard = benchmark("heard")
    o = heard.parser("").parse_args(
        [str(tiny[1]), str(ROOT / "recipes/CommonVoice/sw"), "--data-folder", str(tiny[0]), "--kept", str(tmp_path)]
    )
    with heard.heard(o) as first:
        assert {split: len(rows) for split, rows in first.utterances.items()} == {"dev": 3, "test": 3}
        assert first.utterances["dev"][0][3][0].shape[1] == first.units.size and first.arpa.is_file()
    monkeypatch.setattr(heard, "hear", None)
    with heard.heard(o) as second:
        assert [u[:3] for u in second.utterances["test"]] == [u[:3] for u in first.utterances["test"]]
