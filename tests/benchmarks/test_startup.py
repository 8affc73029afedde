"""What benchmarks/startup.py runs and prints; no time is asserted."""

import importlib
import sys

import pytest

from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import MODEL, ROOT, SAMPLE, make_corpus


@pytest.fixture
def startup(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("startup")


def test_ratios_are_those_of_each_round(startup):
    """Not those of the medians: a machine that slows down meets both sides of a round."""
    costs = [(1.0, 2.0), (10.0, 30.0), (3.0, 3.0)]
    rounds = [{"a": startup.Cost(a, a, 100), "b": startup.Cost(b, 2 * b, 200)} for a, b in costs]
    *_, a, b = startup.table(rounds).splitlines()
    assert a == "| a | 3.00 | 3.00 | 100 |  |" and b == "| b | 3.00 | 6.00 | 200 | a 2.00, 4.00 |"


def test_a_process_that_fails_says_why(startup, tmp_path):
    with pytest.raises(SystemExit, match="no such thing"):
        startup.cost([sys.executable, "-c", "raise SystemExit('no such thing')"], tmp_path, {})


@pytest.mark.slow
def test_one_clip(startup, tmp_path, capsys):
    folder = make_random_result(tmp_path / "1986", preset("serenanet"), *_pairs(MODEL))
    startup.main(["transcribe", str(folder), str(next((SAMPLE / "clips").glob("*.mp3"))), "--rounds", "1"])
    rows = [line.split(" |")[0] for line in capsys.readouterr().out.splitlines()[2:]]
    assert rows == ["| import torch", "| transcribe, here"]


@pytest.mark.slow
def test_the_first_step_ends_the_training(startup, tmp_path):
    corpus = make_corpus(tmp_path / "sw")
    options = startup.parse(
        ["train", "hparams/serenanet.yaml", "--data_folder", str(corpus), "--more", " ".join(MODEL)]
    )
    cost = startup.cost(*startup.contestants(options, tmp_path)["train, here"](0))
    assert cost.wall > 0 < cost.memory and (tmp_path / "here/0/log.txt").is_file()
    assert not (tmp_path / "here/0/result.json").exists()


def _pairs(arguments):
    keys = [key.removeprefix("--") for key in arguments[::2]]
    return list(zip(keys, arguments[1::2], strict=True))
