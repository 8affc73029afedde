"""Rows of benchmarks/starting.py: their command lines are ones that the commands take. None is run."""

import importlib
import json
from argparse import Namespace
from pathlib import Path

import pytest

from serenanet_modules import cli
from serenanet_modules.config.settings import check_values, read_command_line
from serenanet_modules.data.audio import seconds
from serenanet_modules.data.recipe import Recipe
from tests.support.tiny import ROOT

RATES = {"decoder/greedy": {"WER": {"percent": 50.0}, "CER": {"percent": 10.0}}}


def _minutes(tmp_path, monkeypatch, costs):
    """The column of CPU minutes; a row has a step of 20, and as told: what encoding cost, its end, and ``after``."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    starting = importlib.import_module("starting")
    options = Namespace(out=tmp_path, split="dev", unseen=None)
    rows = {}
    for name, (cost, finished, after) in costs.items():
        rows[name] = starting.Row(name, {"says": name, "after": after, "steps": []}, options)
        rows[name].run.mkdir(parents=True)
        seconds = {} if cost is None else {"encoder_cache": 2 * cost, "encoder_cache_cpu": cost}
        result = {"seconds": seconds, "finished": finished, "results": {"dev": RATES}, "parameters": {"total": 1}}
        (rows[name].run / "result.json").write_text(json.dumps({**result, "trained_parameters": 10**6}))
        told = {"cpu": 1200.0, "status": 0, "counted": True}
        (rows[name].folder / "step1.json").write_text(json.dumps(told))
    return {name: int(row.line(rows).split(" | ")[-2]) for name, row in rows.items()}


def test_encoding_counts_once_for_each_row(tmp_path, monkeypatch):
    """In the row that did it, in those that read its frames, and not twice in one that comes after it."""
    costs = {"maker": (600.0, "02", []), "reader": (600.0, "03", []), "after": (600.0, "09", ["maker"])}
    costs |= {"other": (60.0, "04", []), "none": (None, "05", [])}
    minutes = _minutes(tmp_path, monkeypatch, costs)
    assert minutes == {"maker": 20, "reader": 30, "after": 40, "other": 20, "none": 20}


def test_rows_of_a_chain_count_once(tmp_path, monkeypatch):
    """What a row's ``after`` came after counts too, and what that has read; once, also where two ways lead there."""
    costs = {"maker": (600.0, "01", []), "first": (600.0, "02", []), "second": (None, "03", ["first"])}
    costs |= {"third": (600.0, "04", ["second"]), "both": (None, "05", ["third", "first"])}
    minutes = _minutes(tmp_path, monkeypatch, costs)
    assert minutes == {"maker": 20, "first": 30, "second": 50, "third": 70, "both": 90}


@pytest.mark.parametrize("file", ["starting.yaml", "systems.yaml", "techniques.yaml"])
def test_rows_are_commands_that_can_be_run(file, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.chdir(ROOT)
    starting = importlib.import_module("starting")
    options = Namespace(file=f"benchmarks/{file}", data="data", out="out", seed=7, set=["encoder=folder"])
    rows = starting.read_rows(options)
    assert len(rows) >= 20
    for name, row in rows.items():
        assert set(row.entry.get("after", [])) <= rows.keys(), name
        for program, *words in row.commands():
            if program == starting.SERENANET:
                cli._parser().parse_args(words)
            elif Path(words[0]).parent.name == "benchmarks":
                importlib.import_module(Path(words[0]).stem).arguments(words[1:])
            else:
                hparams, *_ = read_command_line(Recipe(Path(words[0]).parent), words[1:])
                check_values(hparams.plain(), hparams.source)
                assert hparams.plain()["seed"] == 7, name


def test_a_corpus_with_less_speech(tmp_path, monkeypatch, capsys):
    """Utterances of train are drawn by the seed, up to the minutes; dev, test and clips are those of the corpus."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    shorter, corpus = importlib.import_module("shorter"), ROOT / "tests/sample/CommonVoice/sw"
    drawn = {}
    for name, seed, minutes in (("one", 1, 2), ("again", 1, 2), ("more", 1, 4), ("other", 2, 2)):
        asked = [str(corpus), "--minutes", str(minutes), "--seed", str(seed), "--out", str(tmp_path / name)]
        shorter.main(shorter.arguments(asked))
        head, *drawn[name] = (tmp_path / name / "train.tsv").read_text(encoding="utf-8").splitlines()
        paths = [row.split("\t")[head.split("\t").index("path")] for row in drawn[name]]
        length = sum(seconds(tmp_path / name / "clips" / path) for path in paths) / 60
        assert minutes - 0.2 < length <= minutes
        assert (tmp_path / name / "test.tsv").read_bytes() == (corpus / "test.tsv").read_bytes()
    assert drawn["one"] == drawn["again"] == drawn["more"][: len(drawn["one"])] != drawn["other"]
    assert f"{len(drawn['one'])} of " in capsys.readouterr().out
