"""A task that the package does not know trains, resumes, evaluates and opens by what users run."""

import json

import pytest

from serenanet_modules.cli import main as serenanet
from tests.support import hooks
from tests.support.folders import copy_without
from tests.support.tiny import ROOT, Run, checkpoints, distance, held_out

HPARAMS = """
extends: {base}
experiment: word_boundaries
brain: !name:tests.support.word_boundaries.WordBoundaryBrain
acoustic: none
d_model: 16
model: !new:tests.support.word_boundary_lobe.WordBoundaries
    n_units: !ref <n_units>
    d_model: !ref <d_model>
"""
WORDS = "mimi wewe sisi ninyi wao anakula wanakula tunasoma kitabu vitabu nyumba shule leo kesho sana".split()
SHORT = "--number_of_epochs 3 --max_batch_labels 300 --num_workers 0 --lr 0.01 --warmup_steps 5 --device=cpu".split()


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A function that starts a run in a folder of its own."""
    home = tmp_path_factory.mktemp("task")
    lines = [" ".join(WORDS[(i * k + k) % len(WORDS)] for k in range(2, 8)) for i in range(80)]
    (home / "text.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (home / "task.yaml").write_text(HPARAMS.format(base=ROOT / "hparams/transformer_lm.yaml"), encoding="utf-8")

    def start(name, *more, recipe="LibriSpeech/LM", given=("--text",), hooks=()):
        command = [str(ROOT / "recipes" / recipe / "train.py"), str(home / "task.yaml"), *given, str(home / "text.txt")]
        folder = home / name
        return Run([*command, "--output_folder", str(folder), *SHORT, *more], folder, hooks)

    return start


@pytest.fixture(scope="module")
def reference(job):
    return job("reference").done()


def test_it_learns(reference):
    errors = [epoch["dev"]["boundary_error"] for epoch in reference.result["history"]]
    assert errors[-1] < errors[0] and reference.result["boundaries"]["held_out"] == pytest.approx(min(errors), abs=1e-3)
    assert "% of characters" in reference.output


def test_it_resumes(job, reference):
    run = job("killed", "--ckpt_interval_minutes", "0.0001", hooks=[hooks.slow])
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    assert distance(job("killed").done().folder, reference.folder) == 0


def test_it_is_evaluated(reference, tmp_path, monkeypatch, capsys):
    """By ``serenanet evaluate``, on the training's own sentences as the training did; once its module is trusted."""
    sentences = held_out(reference.folder / "save", tmp_path / "held_out.txt")
    command = ["evaluate", str(reference.folder), str(sentences), "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert serenanet(command) == 2 and "SERENANET_TRUST=tests.support" in capsys.readouterr().err
    monkeypatch.setenv("SERENANET_TRUST", "tests.support")
    assert serenanet(command) == 0
    expected = reference.result["boundaries"]
    assert f"held_out {expected['held_out']:.4f} % of characters" in capsys.readouterr().out
    assert json.loads((tmp_path / "out/scores.json").read_text())["boundaries"] == expected


def test_folders_that_cannot_be_measured(reference, tmp_path, monkeypatch, capsys):
    """One sentence for what is missing, and for a link that leads out of the folder."""
    monkeypatch.setenv("SERENANET_TRUST", "tests.support")
    text = held_out(reference.folder / "save", tmp_path / "held_out.txt")
    for name in ("weights.safetensors", "save/units/units.json"):
        lacking = copy_without(reference.folder, tmp_path / name.replace("/", "-"), name)
        assert serenanet(["evaluate", str(lacking), str(text), "--device", "cpu"]) == 2
        assert f"{name} is missing" in capsys.readouterr().err
        (lacking / name).symlink_to(reference.folder / name)
        assert serenanet(["evaluate", str(lacking), str(text), "--device", "cpu"]) == 2
        assert f"{name} is a link to" in capsys.readouterr().err
