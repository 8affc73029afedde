"""A folder is scored on any corpus as its training scored it on its own."""

import csv
import json
import shutil

import pytest

from serenanet_modules import cli
from serenanet_modules.data.manifest import read_manifest
from tests.support.folders import copy_without
from tests.support.tiny import ROOT, prepared_manifest

RECIPE = ROOT / "recipes/CommonVoice/sw"


@pytest.fixture
def evaluate(capsys):
    """``evaluate(*arguments) -> (status, stdout, stderr)``."""

    def run(*arguments):
        capsys.readouterr()
        status = cli.main(["evaluate", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


def of_training(folder, split, decoder):
    return json.loads((folder / "result.json").read_text())["results"][split][decoder]


def scores(folder):
    return json.loads((folder / "scores.json").read_text())["results"]


@pytest.mark.parametrize("split, more, decoder", [("test", (), "greedy"), ("dev", ("--lm", "auto"), "prefix-beam+lm")])
def test_a_recipes_corpus(evaluate, tiny, tmp_path, split, more, decoder):
    """Rates, counts and intervals are those of the training's evaluation; files hold what they were made of."""
    corpus, folder = tiny
    out = tmp_path / "out"
    status, printed, _ = evaluate(folder, RECIPE, "--data_folder", corpus, "--split", split, "--out", out, *more)
    name = "test" if split == "test" else "test-dev"
    expected = of_training(folder, split, f"decoder/{decoder}")
    assert status == 0 and scores(out) == {name: expected}
    for measure, rate in expected.items():
        (line,) = [line for line in printed.splitlines() if line.split()[:2] == [name, measure]]
        found = line.split()
        assert float(found[2]) == pytest.approx(rate["percent"], abs=0.006)
        assert [int(n) for n in found[6:9]] == [rate[kind] for kind in ("substitutions", "deletions", "insertions")]
    trained = json.loads((folder / "result.json").read_text())["confidence"][f"decoder/{decoder}"]["sets"][split]
    found = json.loads((out / "scores.json").read_text())["confidence"][name]
    assert found == {"decoder": f"decoder/{decoder}", **trained} and found["raw"]["words"] > 0
    (line,) = [line.split() for line in printed.splitlines() if f"decoder/{decoder} " in line]
    assert line[:4] == [name, f"decoder/{decoder}", "raw", str(found["raw"]["words"])]
    assert float(line[6]) == pytest.approx(found["raw"]["ece"], abs=0.0006)
    with open(out / f"decoded_{name}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 3 and all(row["reference"] for row in rows)
    assert (out / f"wer_{name}.txt").read_text().startswith("%WER ")


def test_manifests(evaluate, tiny, tmp_path):
    """A prepared manifest, a release's list, one's own without splits, and one with a bad file, which is left out."""
    corpus, folder = tiny
    prepared = prepared_manifest(corpus, folder)
    expected = of_training(folder, "test", "decoder/greedy")
    assert evaluate(folder, prepared, "--out", tmp_path / "a")[0] == 0
    assert scores(tmp_path / "a") == {"test": expected}

    assert evaluate(folder, corpus / "test.tsv", "--out", tmp_path / "c")[0] == 0  # of files in clips/
    assert scores(tmp_path / "c") == {"test": expected}

    rows = read_manifest(prepared, "test")
    lines = ["path,text", *(f"{prepared.parent / u.path},{u.text.upper()}!" for u in rows)]
    (tmp_path / "own.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert evaluate(folder, tmp_path / "own.csv", "--out", tmp_path / "b")[0] == 0
    assert scores(tmp_path / "b") == {"test": expected}

    (tmp_path / "own.csv").write_text("\n".join([*lines, "absent.wav,baba"]) + "\n", encoding="utf-8")
    status, printed, _ = evaluate(folder, tmp_path / "own.csv")
    assert status == 0 and "3 utterances" in printed and "left out of test: 1 missing" in printed


def test_phonemes_are_scored_as_phones_and_words(evaluate, phonemic, tmp_path):
    """With the lexicon words count too; without it the greedy phones are those of the training."""
    corpus, folder = phonemic
    arguments = (RECIPE, "--data_folder", corpus, "--out", tmp_path / "out")
    assert evaluate(folder, *arguments)[0] == 0
    words = scores(tmp_path / "out")["test"]
    assert set(words) == {"WER", "CER", "PER"}
    assert {m: words[m] for m in ("WER", "CER")} == of_training(folder, "test", "decoder/lexicon-beam")

    phones = copy_without(folder, tmp_path / "run", "save/lexicon.tsv")
    shutil.rmtree(tmp_path / "out")
    assert evaluate(phones, *arguments)[0] == 0
    assert scores(tmp_path / "out") == {"test": of_training(folder, "test", "decoder/greedy")}


def test_refusals(evaluate, tiny, tmp_path):
    corpus, folder = tiny
    (tmp_path / "m.csv").write_text("path,text,split\na.wav,baba,dev\nb.wav,mama,train\n")
    for arguments, words in (
        ((RECIPE,), "--data_folder"),
        ((RECIPE, "--data_folder", corpus, "--split", "test-other"), "--split may be dev, test, train"),
        ((tmp_path / "m.csv",), "holds no test utterances; --split may be dev, train"),
        ((tmp_path / "m.csv", "--language", "sw"), "--language: only a recipe has options"),
        ((tmp_path / "no.csv",), "no such file"),
    ):
        status, out, err = evaluate(folder, *arguments)
        assert (status, out) == (2, "") and words in err and err.count("\n") == 1
