"""Three languages of three scripts in one training, scored by language, and used without naming one."""

import csv
import json

import pytest

from serenanet_modules import cli
from serenanet_modules.data.units import load_units
from tests.support import layouts
from tests.support.layouts import SCRIPTS
from tests.support.presets import preset
from tests.support.tiny import MODEL, ROOT, TRAINING, Run

RECIPE = ROOT / "recipes/FLEURS"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """(corpus, run) of a training on three languages and a broken one, with tokens."""
    folder = tmp_path_factory.mktemp("fleurs")
    for language, sentences in {**SCRIPTS, "sw_ke": layouts.SENTENCES}.items():
        layouts.fleurs(folder / "corpus", language, sentences)
    (folder / "corpus/data/sw_ke/test.tsv").unlink()
    arguments = [str(RECIPE / "train.py"), *map(str, preset("serenanet/small")), *MODEL, *TRAINING]
    arguments += ["--language", "en_us,ru_ru,sw_ke,th_th", "--data_folder", str(folder / "corpus")]
    arguments += ["--prepared_folder", str(folder / "prepared"), "--output_folder", str(folder / "run")]
    arguments += ["--language_units", "token", "--number_of_epochs", "1", "--beam_size", "0", "--pessl", "null"]
    return folder / "corpus", Run(arguments, folder / "run").done()


def test_a_pooled_training_is_scored_by_language(trained):
    _, run = trained
    assert list(run.result["results"]) == [f"{role}-{code}" for role in ("dev", "test") for code in SCRIPTS]
    assert run.result["data"]["locales"] == list(SCRIPTS)
    rows = list(csv.DictReader((run.folder / "languages.csv").open(encoding="utf-8")))
    measured = {row["code"]: row for row in rows if row["score"]}
    assert set(measured) == set(SCRIPTS)
    for code, row in measured.items():
        found = run.result["results"][f"test-{code}"]["decoder/greedy"]
        assert float(row["score"]) == found["CER" if code == "th_th" else "WER"]["percent"]
    assert "sw_ke is left out: " in run.output and "not measured: sw_ke" in run.output
    assert (run.folder / "languages.png").stat().st_size > 10_000


def test_labels_begin_with_the_language(trained):
    _, run = trained
    units = load_units(run.folder / "save/units")
    assert [units.pieces[mark] for mark in sorted(units.marks)] == [f"<{code}>" for code in SCRIPTS]
    assert run.result["parameters"]["total"] and run.result["units"]["size"] == units.size


def test_the_run_is_measured_on_all_that_is_there(trained, tmp_path, capsys):
    """Error rates are those of the training; no language that is missing keeps the others from being measured."""
    corpus, run = trained
    data = ("--data_folder", str(corpus), "--language", "all", "--out", str(tmp_path))
    assert cli.main(["evaluate", str(run.folder), str(RECIPE), *data, "--device", "cpu"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["results"]
    assert list(scores) == [f"test-{code}" for code in SCRIPTS]
    for name, found in scores.items():
        assert found == run.result["results"][name]["decoder/greedy"]
    printed = capsys.readouterr().out
    assert "not measured: " in printed and "by language: " in printed
