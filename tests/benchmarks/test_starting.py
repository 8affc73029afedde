"""Rows of benchmarks/starting.py: their command lines are ones that the commands take. None is run."""

import importlib
import json
from argparse import Namespace
from pathlib import Path

import pytest

from serenanet_modules import cli
from serenanet_modules.config.settings import check_values, read_command_line
from serenanet_modules.data.recipe import Recipe
from tests.support.tiny import ROOT


def test_encoding_counts_once_for_each_row(tmp_path, monkeypatch):
    """In the row that did it, in those that read its frames, and not twice in one that comes after it."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    starting = importlib.import_module("starting")
    options = Namespace(out=tmp_path, split="dev", unseen=None)
    rates = {"decoder/greedy": {"WER": {"percent": 50.0}, "CER": {"percent": 10.0}}}
    costs = {"maker": (600.0, "02", []), "reader": (600.0, "03", []), "after": (600.0, "09", ["maker"])}
    costs |= {"other": (60.0, "04", []), "none": (None, "05", [])}
    rows = {}
    for name, (cost, finished, after) in costs.items():
        rows[name] = starting.Row(name, {"says": name, "after": after, "steps": []}, options)
        rows[name].run.mkdir(parents=True)
        seconds = {} if cost is None else {"encoder_cache": 2 * cost, "encoder_cache_cpu": cost}
        result = {"seconds": seconds, "finished": finished, "results": {"dev": rates}, "parameters": {"total": 1}}
        (rows[name].run / "result.json").write_text(json.dumps({**result, "trained_parameters": 10**6}))
        told = {"cpu": 1200.0, "status": 0, "counted": True}
        (rows[name].folder / "step1.json").write_text(json.dumps(told))
    minutes = {name: row.line(rows).split(" | ")[-2] for name, row in rows.items()}
    assert minutes == {"maker": "20", "reader": "30", "after": "40", "other": "20", "none": "20"}


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
            else:
                hparams, *_ = read_command_line(Recipe(Path(words[0]).parent), words[1:])
                check_values(hparams.plain(), hparams.source)
                assert hparams.plain()["seed"] == 7, name
