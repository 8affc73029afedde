"""Epochs, early stopping, and where a resumed run picks up."""

import json
import logging

import pytest
import torch
from speechbrain.utils.checkpoints import Checkpointer

from serenanet_modules.training.progress import Progress


def resumed(progress, folder, end_of_epoch, **options):
    """A new Progress that has loaded what ``progress`` saved."""
    Checkpointer(folder, {"progress": progress}).save_checkpoint(end_of_epoch=end_of_epoch)
    new = Progress(**{"limit": progress.limit, "patience": progress.patience, **options})
    Checkpointer(folder, {"progress": new}).recover_if_possible()
    return new


def test_counts_to_the_limit():
    progress = Progress(limit=3)
    assert not progress.finished
    assert list(progress) == [1, 2, 3]
    assert progress.finished and list(progress) == []


def test_resume_at_the_end_of_an_epoch(tmp_path):
    progress = Progress(limit=4)
    epochs = iter(progress)
    assert [next(epochs), next(epochs)] == [1, 2]
    progress.add({"loss": torch.tensor(3.5)})
    progress.infeasible = ["a"]
    new = resumed(progress, tmp_path, end_of_epoch=True)
    assert new.means == {"loss": 3.5}
    epochs = iter(new)
    assert next(epochs) == 3
    assert new.means == {} and new.batches == 0 and new.infeasible == []  # each epoch starts with sums of its own
    assert list(epochs) == [4]


def test_resume_inside_an_epoch(tmp_path):
    progress = Progress(limit=4)
    epochs = iter(progress)
    assert [next(epochs), next(epochs)] == [1, 2]
    progress.add({"loss": torch.tensor(3.5), "ctc": torch.tensor(1.0)})
    progress.infeasible = ["a"]
    progress.dev_errors, progress.seconds, progress.cpu_seconds = [40.0], 12.5, 20.25
    new = resumed(progress, tmp_path, end_of_epoch=False)
    epochs = iter(new)
    assert next(epochs) == 2
    assert new.infeasible == ["a"]
    new.add({"loss": torch.tensor(1.5), "ctc": torch.tensor(2.0)})
    assert new.means == {"loss": 2.5, "ctc": 1.5}  # over all batches of the epoch, before and after
    assert (new.dev_errors, new.seconds, new.cpu_seconds) == ([40.0], 12.5, 20.25)
    assert list(epochs) == [3, 4]
    assert new.means == {}


def test_resume_inside_the_last_epoch(tmp_path):
    progress = Progress(limit=2)
    epochs = iter(progress)
    assert [next(epochs), next(epochs)] == [1, 2]
    assert list(resumed(progress, tmp_path / "inside", end_of_epoch=False)) == [2]
    assert list(resumed(progress, tmp_path / "after", end_of_epoch=True)) == []


def test_a_higher_limit_goes_on(tmp_path):
    progress = Progress(limit=2)
    assert list(progress) == [1, 2]
    assert list(resumed(progress, tmp_path, end_of_epoch=True, limit=4)) == [3, 4]


@pytest.mark.parametrize("limit", [1, 2, 4])
def test_another_limit_is_said(tmp_path, caplog, limit):
    """Once: the next checkpoint knows the new one; a checkpoint that says nothing of it is no news."""
    caplog.set_level(logging.WARNING)
    new = resumed(Progress(limit=2), tmp_path / "a", end_of_epoch=True, limit=limit)
    new.compare_limits()
    told = f"number_of_epochs was 2 before and is {limit} now: the learning rate now falls to its end at epoch {limit}"
    assert caplog.messages == ([told] if limit != 2 else []) and new.limit == limit
    resumed(new, tmp_path / "b", end_of_epoch=True).compare_limits()
    file = next((tmp_path / "b").glob("*/progress.ckpt"))
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "limit"}))
    older = Progress(limit=7)
    Checkpointer(tmp_path / "b", {"progress": older}).recover_if_possible()
    older.compare_limits()
    assert len(caplog.messages) == (limit != 2) and older.limit == 7


def test_stops_early_and_stays_stopped(tmp_path):
    progress = Progress(limit=9, patience=2)
    for epoch in progress:
        progress.judge([5.0, 4.0, 4.0, 4.5, 0.0][epoch - 1], loss=1.0)
    assert progress.epoch == 4 and progress.stopped_early
    assert list(resumed(progress, tmp_path, end_of_epoch=True)) == []


@pytest.mark.parametrize(
    ("errors", "patience", "stopped"),
    [
        ([], 1, False),
        ([5.0], 1, False),
        ([5.0, 5.0], 1, True),  # a tie is no improvement
        ([5.0, 4.9], 1, False),
        ([5.0, 6.0, 4.9], 2, False),
        ([5.0, 6.0, 5.0], 2, True),
        ([5.0] * 50, 0, False),
    ],
)
def test_stopping_rule(errors, patience, stopped):
    progress = Progress(limit=100, patience=patience)
    progress.dev_errors, progress.dev_losses = errors, [1.0] * len(errors)
    assert progress.stopped_early is stopped


def test_a_falling_loss_is_patient():
    """On the all-blank plateau, where the error stays at 100 %, a falling loss keeps a training alive."""
    progress = Progress(limit=6, patience=2)
    for epoch in progress:
        progress.judge(error=100.0, loss=[5.0, 4.0, 3.0, 3.1, 3.2, 3.3][epoch - 1])
    assert progress.epoch == 5


def test_dev_is_read_within_an_epoch(tmp_path):
    """The epoch comes again until it is whole, its losses are of what was read since, and patience counts readings."""
    progress, seen = Progress(limit=2, patience=3), []
    for epoch in progress:
        seen.append((epoch, progress.read, dict(progress.sums)))
        progress.add({"loss": torch.tensor(1.0)})
        progress.read += 40
        progress.judge(9.0, loss=1.0, whole=progress.read == 80)
    assert seen == [(1, 0, {}), (1, 40, {}), (2, 0, {}), (2, 40, {})] and progress.stopped_early
    progress = Progress(limit=1)
    next(iter(progress))
    progress.read = 40
    progress.judge(9.0, loss=1.0, whole=False)
    assert not progress.finished
    new = resumed(progress, tmp_path, end_of_epoch=True, limit=1)  # as the checkpoint after a reading of dev says
    assert (new.read, new.judged, next(iter(new))) == (40, 40, 1)


def test_the_last_epoch_is_not_finished_within():
    """So that a training whose hours are over ends inside of it, too, as inside any other."""
    progress = Progress(limit=2)
    for _ in progress:
        progress.read = 40
        assert not progress.finished
        progress.judge(9.0, loss=1.0)
    assert progress.finished


def test_other_steps_are_said(tmp_path, caplog):
    """Where steps have other numbers of micro-batches than before, how to keep them is said, where it can be done."""
    progress = Progress(limit=2)
    progress.count_micro_batches(accumulation=2, processes=1)
    new = resumed(progress, tmp_path, end_of_epoch=False)
    new.count_micro_batches(accumulation=1, processes=2)
    assert "optimizer step" not in caplog.text
    new.count_micro_batches(accumulation=2, processes=2)
    assert "has 4 micro-batches now, and had 2 before; --grad_accumulation_factor 1 keeps 2" in caplog.text
    new.count_micro_batches(accumulation=1, processes=3)
    assert "has 3 micro-batches now, and had 4 before\n" in caplog.text
