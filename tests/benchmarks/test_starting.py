"""Rows of benchmarks/starting.py: their command lines are ones that the commands take. None is run."""

import importlib
from argparse import Namespace
from pathlib import Path

import pytest

from serenanet_modules import cli
from serenanet_modules.config.settings import check_values, read_command_line
from serenanet_modules.data.recipe import Recipe
from tests.support.tiny import ROOT


@pytest.mark.parametrize("file", ["starting.yaml", "systems.yaml"])
def test_rows_are_commands_that_can_be_run(file, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    monkeypatch.chdir(ROOT)
    starting = importlib.import_module("starting")
    options = Namespace(file=f"benchmarks/{file}", data="data", out="out", set=["encoder=folder"])
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
