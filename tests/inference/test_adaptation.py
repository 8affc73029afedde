"""A model learns from corrected recordings by one command, and the better of both is what is left."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from serenanet_modules import cli
from serenanet_modules.inference import adaptation
from serenanet_modules.inference.adaptation import Adaptation, Plan, better
from serenanet_modules.inference.formats import write
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runtime.files import sha256
from tests.support.tiny import SAMPLE, read_tsv


@pytest.fixture(scope="module")
def corrections(tiny, recognizer, tmp_path_factory):
    """A folder as the page leaves it: recordings that no training had, and beside each an ELAN file."""
    folder = tmp_path_factory.mktemp("corrections")
    for row in read_tsv(SAMPLE / "train.tsv")[-8:]:
        clip = SAMPLE / "clips" / row["path"]
        (folder / row["path"]).write_bytes(clip.read_bytes())
        (heard,) = recognizer.transcribe([clip])
        eaf = write(heard, "eaf", row["path"]).replace(heard.segments[0].text, row["sentence"])
        (folder / row["path"]).with_suffix(".eaf").write_text(eaf, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def adapted(tiny, corrections, tmp_path_factory):
    """The folder that the command has made."""
    out = tmp_path_factory.mktemp("adapted") / "new"
    line = [
        "adapt",
        tiny[1],
        corrections,
        "--out",
        out,
        "--epochs",
        1,
        "--device",
        "cpu",
        "--beam_size",
        0,
        "--lm",
        "null",
    ]
    assert cli.main([*map(str, line)]) == 0
    return out


def test_a_folder_as_any_other(adapted, tiny, recognizer, clips):
    """It is opened, writes the same units, and holds nothing that only a training needs."""
    opened = Recognizer.from_folder(adapted)
    assert opened.units.pieces == recognizer.units.pieces
    assert len(opened.transcribe(clips[:2])) == 2
    assert not [*adapted.rglob("CKPT*"), *adapted.rglob("training")]


def test_what_it_says(adapted, tiny):
    """Error rates of both models on held-out recordings of both kinds, and which was kept."""
    about = json.loads((adapted / "adapted.json").read_text(encoding="utf-8"))
    assert set(about["sets"]) == {"corrected", "old"} and about["kept"] in ("adapted", "old")
    assert about["seconds"]["train"] > 0 and about["seconds"]["old"] > 0
    kept_old = sha256(adapted / "weights.safetensors") == sha256(tiny[1] / "weights.safetensors")
    assert kept_old == (about["kept"] == "old")


def test_the_old_model_stays_where_the_new_is_worse(tiny, tmp_path):
    """Then its files stand in the new folder, and what is printed says so."""
    sets = {
        "corrected": {
            "difference": 0.1,
            "before": {"percent": 10.0, "hits": 5, "substitutions": 1, "deletions": 1},
            "after": {"percent": 10.1},
            "interval_95": [-1, 1],
        }
    }
    cases = {(11, 0): "old", (10, 5): "adapted", (9, 9): "adapted", (10, 6): "old"}
    assert {after: better((10, 5), after) for after in cases} == cases
    adaptation_of = Adaptation(tiny[1], tmp_path / "new", Plan(), "cpu")
    adaptation_of.training.mkdir(parents=True)
    adaptation_of._place(tiny[1], {"kept": "old"})
    names = ("weights.safetensors", "hyperparams.yaml", "save/units/units.json")
    assert [sha256(tmp_path / "new" / name) for name in names] == [sha256(tiny[1] / name) for name in names]
    about = {"kept": "old", "measure": "WER", "sets": sets, "seconds": {"train": 60.0, "old": 0.0}, "left_out": {}}
    lines = list(adaptation.report(about, tmp_path / "new"))
    assert "held out      words" in lines[1] and "7 words are too few to measure by" in lines[3]
    assert "holds the old model, unchanged" in lines[-1] and any("give it with --data" in line for line in lines)


def test_a_stopped_adaptation_goes_on(tiny, corrections, tmp_path):
    """The same command finds its training; with other recordings or settings it begins anew."""

    def begun(paths, **plan):
        found = Adaptation(tiny[1], tmp_path / "new", Plan(**plan), "cpu")
        found.read(paths)
        found._begin()
        return found.training / "mark"

    begun([corrections]).write_text("", encoding="utf-8")
    assert begun([corrections]).is_file()
    assert not begun([corrections], epochs=3).is_file()


def test_where_audio_is_kept(tiny, tmp_path):
    """Where the model's training has prepared; of a model from another machine beside NEW, not in the hub's cache."""
    own = Adaptation(tiny[1], tmp_path / "new", Plan(), "cpu")
    assert own.prepared == Path(own.plain["prepared_folder"])
    cached = tmp_path / "hub" / "models--owner--name" / "snapshots" / "0123"
    shutil.copytree(tiny[1], cached, ignore=shutil.ignore_patterns("save", "checksums.json"))
    text = (cached / "hyperparams.yaml").read_text(encoding="utf-8")
    assert str(own.prepared) in text
    elsewhere = text.replace(str(own.prepared), str(tmp_path / "elsewhere"))
    (cached / "hyperparams.yaml").write_text(elsewhere, encoding="utf-8")
    assert Adaptation(cached, tmp_path / "new", Plan(), "cpu").prepared == tmp_path / "prepared"


def test_refusals(tiny, corrections, adapted, tmp_path, capsys):
    """Each in a sentence: no recogniser, nothing corrected, a folder that is there, or finished."""
    empty = tmp_path / "list.csv"
    with open(empty, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["path", "text"], [corrections / "none.mp3", ""]])
    new = [tiny[1], corrections]
    lines = {
        "has no hyperparams.yaml": [corrections, corrections, "--out", tmp_path / "a"],
        "no row has a text": [tiny[1], empty, "--out", tmp_path / "b"],
        "holds the finished result of an earlier call; give another": [*new, "--out", adapted],
        "holds an input of this command; give another": [*new, "--out", tiny[1]],
        "holds a training; give another": [adapted, corrections, "--out", tiny[1]],
    }
    for told, line in lines.items():
        assert cli.main(["adapt", *map(str, line)]) == 2
        assert told in capsys.readouterr().err


def test_recordings_that_are_not_there(tiny, corrections, tmp_path, capsys):
    """One sentence before any training where all are missing; those that are there are learned from and measure."""
    heard, wrong = tmp_path / "heard", tmp_path / "wrong"
    wrong.mkdir()
    shutil.copytree(corrections, heard, ignore=shutil.ignore_patterns("*.mp3"))
    line = ["adapt", tiny[1], heard, "--audio-folder", wrong, "--out", tmp_path / "new"]
    assert cli.main([*map(str, line)]) == 2
    told = capsys.readouterr()
    assert f"error: none of the 8 corrected recordings is in {wrong}; give the folder that holds" in told.err
    assert told.err.count("\n") == 1 and not told.out and not (tmp_path / "new").exists()
    for name in sorted(corrections.glob("*.mp3"))[:3]:
        shutil.copy(name, wrong)
    found = Adaptation(tiny[1], tmp_path / "new", Plan(), "cpu")
    found.read([heard], audio_folder=wrong)
    assert found.pool.left_out["missing"] == 5
    new = [c for c in found.pool.candidates if c.path.parent == wrong]
    assert {c.split for c in new} == {"train", "dev-corrected", "test-corrected"} and len(new) == 3
