"""Data that cannot be trained on: named, counted, and harmless."""

import shutil

import pytest
import torch

from tests.support.hooks import VICTIM, poison, record, recorded
from tests.support.tiny import log, make_corpus, read_tsv, train_log, weights, write_tsv

SHORT = ("--number_of_epochs", 1, "--beam_size", 0)


def test_not_a_number_changes_no_weight(train):
    """One utterance that is not a number: its step changes nothing, all others train, and the log names it."""
    run = train(*SHORT, hooks=[poison, record]).done()
    batches, steps = recorded(run.folder)
    assert len(batches) == len(steps)
    for batch, step in zip(batches, steps, strict=True):
        assert step["changed"] == (VICTIM not in batch["ids"])
    assert f"non-finite loss: {VICTIM}\n" in log(run.folder)
    assert all(tensor.isfinite().all() for tensor in weights(run.folder).values())
    assert "nan" not in train_log(run.folder)[0]


@pytest.mark.parametrize("arguments, hooks", [((0,), [poison]), ((2, "--lr", 1e12, "--warmup_steps", 0), [])])
def test_patience_ends(train, arguments, hooks):
    """More steps without a finite gradient than the patience allows end the run with one sentence."""
    run = train(*SHORT, "--nonfinite_patience", *arguments, hooks=hooks)
    assert run.wait() == 2
    assert "nonfinite_patience" in run.output.splitlines()[-1]
    assert "Traceback" not in run.output
    assert not (run.folder / "result.json").exists()


def test_infeasible_utterances_are_named(train, tmp_path):
    """A text with more labels than there are frames is left out, counted and named, and the rest trains."""
    release = make_corpus(tmp_path / "release")
    rows = read_tsv(release / "train.tsv")
    assert rows[0]["path"] == f"{VICTIM}.mp3"
    rows[0]["sentence"] = " ".join(["habari"] * 40)
    write_tsv(release / "train.tsv", rows)
    run = train(*SHORT, "--preparation.frames_per_character", "0.0", corpus=release, hooks=[record]).done()
    assert f"1 utterance left out, with fewer frames than labels: {VICTIM}\n" in log(run.folder)
    assert all(step["changed"] for step in recorded(run.folder)[1])
    assert all(torch.isfinite(tensor).all() for tensor in weights(run.folder).values())


def test_rejected_clips_do_not_stop_the_job(train, tmp_path):
    """A missing and a broken clip are listed, and the job goes on without them; its output in a file has no bars."""
    release = make_corpus(tmp_path / "release")
    names = [row["path"] for row in read_tsv(release / "train.tsv")]
    (release / "clips" / names[1]).unlink()
    shutil.copy(__file__, release / "clips" / names[2])
    run = train(*SHORT, corpus=release).done()
    (rejects,) = (release / "prepared").glob("*/rejects.tsv")
    assert names[1] in rejects.read_text() and names[2] in rejects.read_text()
    assert run.result["data"]["splits"]["train"]["utterances"] == len(names) - 2
    assert "%|" not in run.output and "it/s" not in run.output
