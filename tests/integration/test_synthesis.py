"""A training begins on a synthetic corpus, which holds no sentence of the real dev and test sets."""

from serenanet_modules import cli
from tests.support.tiny import SAMPLE, Run, command, decoded, make_corpus, read_tsv


def test_training_on_synthetic_speech(tmp_path):
    corpus = tmp_path / "synthetic"
    line = ["synthesise", SAMPLE / "train.tsv", "--locale", "sw", "--out", corpus, "--sentences", 30, "--voices", 9]
    line += ["--dev-share", 0.1, "--test-share", 0.1, "--exclude", SAMPLE]
    assert cli.main([*map(str, line)]) == 0
    rows = {split: read_tsv(corpus / f"{split}.tsv") for split in ("train", "dev", "test")}
    assert {split: len(found) for split, found in rows.items()} == {"train": 24, "dev": 3, "test": 3}
    held_out = {row["sentence"] for split in ("dev", "test") for row in read_tsv(SAMPLE / f"{split}.tsv")}
    assert not held_out & {row["sentence"] for found in rows.values() for row in found}
    run = Run(command(corpus, tmp_path / "run", "--number_of_epochs", 1), tmp_path / "run").done()
    assert len(decoded(run.folder, "test")) == 3
    assert run.result["data"]["in_place"] == 30 and not run.result["data"]["warnings"]
    more = ("--number_of_epochs", 1, "--pretrained", run.folder)
    real = Run(command(make_corpus(tmp_path / "sw"), tmp_path / "real", *more), tmp_path / "real").done()
    taken = real.result["pretrained"]
    assert taken["gave"] == "weights" and taken["parts"]["encoder"]["loaded"] and not taken["parts"]["encoder"]["new"]
