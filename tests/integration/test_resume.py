"""However a run ends, the same command ends with the weights of a run that was never disturbed."""

import random
import signal

import pytest

from tests.support.hooks import improving, killed_before_deleting, slow
from tests.support.tiny import PAIRS, checkpoints, log, same

EVERY_STEP = ("--ckpt_interval_minutes", 0.0005)


def test_killed_again_and_again(train, reference):
    """SIGKILL mid-epoch, at moments that nobody chose, costs no exactness."""
    for _ in range(4):
        run = train(*PAIRS, *EVERY_STEP)
        seen = set(checkpoints(run.folder))
        run.until(lambda seen=seen, run=run: len(set(checkpoints(run.folder)) - seen) > 0)
        signal.sigtimedwait([], random.uniform(0, 0.05))
        run.kill()
    run = train(*PAIRS, *EVERY_STEP).done()
    assert "Resuming " in log(run.folder)
    assert same(run, reference)


def test_killed_between_saving_and_deleting(train, tmp_path):
    """SIGKILL when the last epoch is saved and what it makes superfluous is there still: no checkpoint too many."""
    whole = train(*PAIRS, folder=tmp_path / "whole", hooks=[improving]).done()
    run = train(*PAIRS, hooks=[improving, killed_before_deleting])
    assert run.wait() == -signal.SIGKILL
    assert (len(checkpoints(run.folder)), len(checkpoints(whole.folder))) == (3, 2)
    run = train(*PAIRS, hooks=[improving]).done()
    assert same(run, whole) and len(checkpoints(run.folder)) == 2


def test_killed_in_validation(train, reference):
    """SIGKILL during validation: the epoch's end is done again, not skipped."""
    run = train(*PAIRS, *EVERY_STEP, hooks=[slow])
    run.until((run.folder / "validating").exists)
    run.kill()
    assert same(train(*PAIRS).done(), reference)


def test_dev_is_read_within_an_epoch(train, reference):
    """After each two steps, and at the end; that and a kill while it is read change no weight."""
    often = (*PAIRS, "--validate_every", 2, "--beam_size", 0)
    run = train(*often, *EVERY_STEP, hooks=[slow])
    run.until((run.folder / "validating").exists)
    run.kill()
    history = train(*often).done().result["history"]
    assert [epoch["steps"] for epoch in history] == [2, 4, 5, 7, 9, 10, 12, 14, 15]
    assert [0 < epoch["epoch"] % 1 < 1 for epoch in history] == [True, True, False] * 3
    assert [epoch["weights"] for epoch in history[2::3]] == [e["weights"] for e in reference.result["history"]]


@pytest.mark.parametrize(("number", "stage"), [(signal.SIGTERM, "training"), (signal.SIGINT, "validating")])
def test_signals_save_and_exit(train, reference, number, stage):
    """Signals end a run with 128 + their number; in training nothing is lost."""
    run = train(*PAIRS, hooks=[slow])
    run.until((run.folder / stage).exists)
    run.send(number)
    assert run.wait() == 128 + number, run.output
    assert "Traceback" not in run.output and "stopping after this step, with a checkpoint" in run.output
    assert signal.Signals(number).name in log(run.folder)
    if stage == "training":
        assert len(checkpoints(run.folder)) == 1
    assert same(train(*PAIRS).done(), reference)


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGINT])
def test_signals_to_a_group(train, reference, number):
    """Slurm, timeout and Ctrl-C signal all processes: the data loaders' workers leave it to the main one."""
    run = train(*PAIRS, "--num_workers", 2, hooks=[slow])
    run.until((run.folder / "training").exists)
    run.send(number, group=True)
    assert run.wait() == 128 + number, run.output
    assert "Traceback" not in run.output
    assert len(checkpoints(run.folder)) == 1
    assert same(train(*PAIRS).done(), reference)


def test_broken_newest_checkpoint(train, reference):
    """A truncated newest checkpoint is named in a warning, and the one before it is used."""
    run = train(*PAIRS, *EVERY_STEP, hooks=[slow])
    run.until((run.folder / "validating").exists)
    run.kill()
    sound = checkpoints(run.folder)
    run = train(*PAIRS, *EVERY_STEP, hooks=[slow])
    run.until(lambda: set(checkpoints(run.folder)) - set(sound))
    run.kill()
    newest = checkpoints(run.folder)[-1]
    with open(newest / "model.ckpt", "r+b") as file:
        file.truncate(100)
    run = train(*PAIRS).done()
    assert f"{newest} is broken (model.ckpt is damaged) and is skipped" in log(run.folder)
    assert same(run, reference)


def test_when_the_hours_are_over(train, reference):
    """A run without time left ends well inside its first epoch, with a checkpoint and error rates; the next goes on."""
    run = train(*PAIRS, "--max_hours", 1e-6, "--beam_size", 0).done()
    assert (run.result["ended_by"], run.result["steps"], len(checkpoints(run.folder))) == ("max_hours", 1, 1)
    assert {"dev", "test"} <= run.result["results"].keys() and "Traceback" not in run.output
    assert "max_hours are over in epoch 1; the same command goes on from here" in log(run.folder)
    run = train(*PAIRS).done()
    assert run.result["ended_by"] == "number_of_epochs"
    assert same(run, reference)
