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
BROKEN = ("de_de", "fr_fr", "sw_ke")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Three languages, a broken one, one that cannot be decoded, and one with empty lists."""
    folder = tmp_path_factory.mktemp("fleurs") / "corpus"
    for language, sentences in {**SCRIPTS, **dict.fromkeys(BROKEN, layouts.SENTENCES)}.items():
        layouts.fleurs(folder, language, sentences)
    (folder / "data/sw_ke/test.tsv").unlink()
    for wav in (folder / "data/fr_fr").rglob("*.wav"):
        wav.write_text("no audio")
    for split in ("train", "dev", "test"):
        (folder / f"data/de_de/{split}.tsv").write_text("")
    return folder


@pytest.fixture(scope="module", params=["token", "own"])
def run(request, corpus):
    """A training on them, with a token of each language or units of its own."""
    folder = corpus.parent
    arguments = [str(RECIPE / "train.py"), *map(str, preset("serenanet/small")), *MODEL, *TRAINING]
    arguments += ["--language", ",".join([*SCRIPTS, *BROKEN]), "--data_folder", str(corpus)]
    arguments += ["--prepared_folder", str(folder / "prepared"), "--output_folder", str(folder / request.param)]
    arguments += ["--language_units", request.param, "--number_of_epochs", "1", "--beam_size", "0", "--pessl", "null"]
    return Run(arguments, folder / request.param).done()


def test_a_pooled_training_is_scored_by_language(run):
    assert list(run.result["results"]) == [f"{role}-{code}" for role in ("dev", "test") for code in SCRIPTS]
    assert run.result["data"]["locales"] == list(SCRIPTS)
    rows = list(csv.DictReader((run.folder / "languages.csv").open(encoding="utf-8")))
    measured = {row["code"]: row for row in rows if row["score"]}
    assert set(measured) == set(SCRIPTS)
    for code, row in measured.items():
        found = run.result["results"][f"test-{code}"]["decoder/greedy"]
        assert float(row["score"]) == found["CER" if code == "th_th" else "WER"]["percent"]
    assert "sw_ke is left out: " in run.output and "not measured: sw_ke, fr_fr, de_de" in run.output
    assert (run.folder / "languages.png").stat().st_size > 10_000


def test_labels_say_the_language(run):
    """By a token before them, or by units that no other language has."""
    units = load_units(run.folder / "save/units")
    labels = {code: units.encode(sentences[0], code) for code, sentences in SCRIPTS.items()}
    if run.folder.name == "token":
        told = sorted([*SCRIPTS, "fr_fr"])  # units are learned from transcripts, before audio is decoded
        assert [units.pieces[mark] for mark in sorted(units.marks)] == [f"<{code}>" for code in told]
        assert [units.pieces[row[0]] for row in labels.values()] == [f"<{code}>" for code in SCRIPTS]
    else:
        english, russian, thai = map(set, labels.values())
        assert not units.marks and not (english & russian or english & thai or russian & thai)
    assert run.result["parameters"]["total"] and run.result["units"]["size"] == units.size


def test_the_run_is_measured_on_all_that_is_there(run, corpus, tmp_path, capsys):
    """Error rates are those of the training; no language that is missing keeps the others from being measured."""
    data = ("--data_folder", str(corpus), "--language", "all", "--out", str(tmp_path))
    assert cli.main(["evaluate", str(run.folder), str(RECIPE), *data, "--device", "cpu"]) == 0
    scores = json.loads((tmp_path / "scores.json").read_text())["results"]
    assert list(scores) == [f"test-{code}" for code in SCRIPTS]
    for name, found in scores.items():
        assert found == run.result["results"][name]["decoder/greedy"]
    printed = capsys.readouterr().out
    assert "not measured: " in printed and "by language: " in printed
