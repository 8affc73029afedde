"""A checkpoint is whole or absent, and a damaged one is passed over."""

import logging
import os
import pickle
import re
import shutil
import sys
import time

import pytest
import torch
from speechbrain.utils.checkpoints import average_checkpoints

from serenanet_modules.errors import UserError
from serenanet_modules.training import checkpoints
from serenanet_modules.training.averaging import choose
from serenanet_modules.training.averaging import saved as tensors_of
from serenanet_modules.training.checkpoints import SUMS, AtomicCheckpointer
from serenanet_modules.training.groups import Frozen, Weights
from serenanet_modules.training.progress import Progress


class Run:
    """A model, an optimizer and progress in a folder; ``value`` stands for all the model knows."""

    def __init__(self, folder):
        self.model = torch.nn.Linear(3, 2)
        self.optimizer = torch.optim.AdamW(self.model.parameters())
        self.progress = Progress(limit=9)
        parts = {"model": self.model, "optimizer": self.optimizer, "progress": self.progress}
        self.checkpointer = AtomicCheckpointer(folder, parts)

    def save(self, value, epoch=None, **options):
        with torch.no_grad():
            self.model.weight.fill_(value)
        self.progress.epoch = int(value)
        meta = {"error": float(value)} | ({} if epoch is None else {"epoch": epoch})
        return self.checkpointer.save_checkpoint(meta, **options)

    @property
    def value(self):
        assert self.progress.epoch == int(self.model.weight[0, 0].item())
        return self.model.weight[0, 0].item()


def recovered(folder):
    """The value that a new process finds, or None."""
    run = Run(folder)
    return run.value if run.checkpointer.recover_if_possible() else None


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_round_trip(tmp_path):
    saved = Run(tmp_path).save(3)
    assert names(tmp_path) == [saved.path.name]
    assert all(path.parent == saved.path and path.is_file() for path in saved.paramfiles.values())
    assert recovered(tmp_path) == 3
    assert recovered(tmp_path / "empty") is None


def test_meta_survives(tmp_path):
    run = Run(tmp_path)
    run.save(2, end_of_epoch=False)
    found = Run(tmp_path).checkpointer.find_checkpoint()
    assert found.meta["error"] == 2.0 and found.meta["end-of-epoch"] is False


def test_the_newest_wins(tmp_path):
    run = Run(tmp_path)
    for value in (1, 5, 2):
        run.save(value)
    assert recovered(tmp_path) == 2


def killed_at(folder, operation):
    """Save 2 in a forked process that dies at its n-th file operation; whether it died."""
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 9
    seen = 0

    def die_in_time(event, arguments):
        nonlocal seen
        if event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree"):
            seen += 1
            if seen == operation:
                os._exit(9)

    run = Run(folder)
    sys.addaudithook(die_in_time)
    run.save(2)
    os._exit(0)


def test_killed_at_any_file_operation(tmp_path):
    Run(tmp_path / "origin").save(1)
    outcomes = []
    for operation in range(1, 1000):
        folder = tmp_path / str(operation)
        shutil.copytree(tmp_path / "origin", folder)
        if not killed_at(folder, operation):
            break
        outcomes.append(recovered(folder))
        Run(folder).save(3)  # what the killed process left is not in the way
        assert recovered(folder) == 3
        assert all(name.startswith("CKPT+") for name in names(folder))
    assert len(outcomes) > 8
    assert set(outcomes) <= {1, 2} and outcomes[0] == 1
    assert outcomes == sorted(outcomes)  # never back to the old one once the new one is in place


@pytest.mark.parametrize("nth", [1, 3, 6, 7])
def test_failed_flush(tmp_path, monkeypatch, nth):
    run, calls = Run(tmp_path), []
    run.save(1)

    def fsync(descriptor, real=os.fsync):
        calls.append(descriptor)
        if len(calls) == nth:
            raise OSError("disk full")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(OSError, match="disk full"):
        run.save(2)
    assert recovered(tmp_path) in ((1, 2) if nth == 7 else (1,))  # the seventh follows the renaming


def test_every_file_and_both_folders_are_flushed_in_order(tmp_path, monkeypatch):
    events = []
    flush, rename = checkpoints._flush, os.rename
    monkeypatch.setattr(checkpoints, "_flush", lambda path: (events.append(path), flush(path)))
    monkeypatch.setattr(os, "rename", lambda a, b: (events.append("rename"), rename(a, b)))
    saved = Run(tmp_path).save(1)
    at = events.index("rename")
    assert {path.name for path in events[:at]} == {*names(saved.path), ".partial"}
    assert events[at - 1].name == ".partial" and events[at + 1 :] == [tmp_path]


@pytest.mark.parametrize("part", ["model", "optimizer", "progress"])
def test_a_saver_that_dies_half_way(tmp_path, part):
    run = Run(tmp_path)
    run.save(1)

    def half(obj, path):
        path.write_bytes(b"half a file")
        raise MemoryError

    run.checkpointer.custom_save_hooks[part] = half
    with pytest.raises(MemoryError):
        run.save(2)
    assert recovered(tmp_path) == 1
    del run.checkpointer.custom_save_hooks[part]
    run.save(4)
    assert recovered(tmp_path) == 4


def flip(path, at):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


FILES = ["CKPT.yaml", "model.ckpt", "optimizer.ckpt", "progress.ckpt", SUMS]
DAMAGE = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "one byte": lambda path: path.write_bytes(path.read_bytes()[:1]),
    "half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "without its last byte": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "garbled": lambda path: path.write_bytes(bytes(255 - b for b in path.read_bytes())),
    "first bit": lambda path: flip(path, 0),
    "a bit in the middle": lambda path: flip(path, path.stat().st_size // 2),
    "last bit": lambda path: flip(path, path.stat().st_size - 1),
}


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_newest_is_skipped_with_a_warning(tmp_path, caplog, file, damage):
    run = Run(tmp_path)
    run.save(1)
    newest = run.save(2).path
    assert sorted(FILES) == names(newest)
    DAMAGE[damage](newest / file)
    with caplog.at_level(logging.WARNING):
        assert recovered(tmp_path) == 1
    warnings = [r.getMessage() for r in caplog.records if newest.name in r.getMessage()]
    assert len(warnings) == 1 and "skipped" in warnings[0]  # once, however often the folder is listed
    run = Run(tmp_path)
    run.checkpointer.save_and_keep_only({"error": 3.0})  # and life goes on
    assert Run(tmp_path).checkpointer.find_checkpoint().meta["error"] == 3.0


def test_a_checkpoint_without_sums_and_all_broken(tmp_path, caplog):
    run = Run(tmp_path)
    for value in (1, 2):
        (run.save(value).path / SUMS).unlink()
    assert recovered(tmp_path) is None
    assert sum("skipped" in r.getMessage() for r in caplog.records) == 2


def test_a_deletion_cut_short_is_no_checkpoint(tmp_path):
    run = Run(tmp_path)
    run.save(1)
    best = run.save(2).path
    run.save(3)
    (best / "optimizer.ckpt").unlink()
    run = Run(tmp_path)
    found = run.checkpointer.find_checkpoints(min_key="error")
    assert [c.meta["error"] for c in found] == [1.0, 3.0]
    assert recovered(tmp_path) == 3
    assert len(list(tmp_path.glob("CKPT+*"))) == 2  # also where nothing is saved any more
    (run.save(4).path / "optimizer.ckpt").unlink()
    run = Run(tmp_path)
    assert run.checkpointer.find_checkpoint().meta["error"] == 3.0
    run.save(5)
    assert len(list(tmp_path.glob("CKPT+*"))) == 3  # what was left of it does not fill the disk for ever


def test_keeps_the_best_and_the_latest(tmp_path, monkeypatch):
    run = Run(tmp_path)
    clock = iter(range(10**9, 10**9 + 100))
    monkeypatch.setattr(time, "time", lambda: float(next(clock)))
    for error in (5, 1, 2, 9, 3, 8, 7):
        run.checkpointer.save_and_keep_only({"error": float(error)}, min_keys=["error"], num_to_keep=2)
    kept = Run(tmp_path).checkpointer.find_checkpoints()
    assert [c.meta["error"] for c in kept] == [7.0, 8.0, 2.0, 1.0]
    best = Run(tmp_path).checkpointer.find_checkpoints(min_key="error", max_num_checkpoints=2)
    assert [c.meta["error"] for c in best] == [1.0, 2.0]


def test_checkpoints_inside_an_epoch_are_deleted_but_never_averaged(tmp_path):
    run = Run(tmp_path)
    run.checkpointer.save_checkpoint({"intra": True}, end_of_epoch=False)
    run.checkpointer.save_and_keep_only({"error": 1.0}, min_keys=["error"], num_to_keep=1)
    assert [c.meta.get("error") for c in run.checkpointer.list_checkpoints()] == [1.0]
    run.checkpointer.save_checkpoint({"intra": True}, end_of_epoch=False)
    assert len(run.checkpointer.find_checkpoints(min_key="error")) == 1


def test_listing_does_not_grow_with_the_number_of_saves(tmp_path, monkeypatch):
    run, calls = Run(tmp_path), []
    listing = AtomicCheckpointer.list_checkpoints
    monkeypatch.setattr(AtomicCheckpointer, "list_checkpoints", lambda self: calls.append(1) or listing(self))
    counts = []
    for epoch in range(4):
        calls.clear()
        run.checkpointer.save_and_keep_only({"error": float(epoch)}, min_keys=["error"])
        counts.append(len(calls))
    assert len(set(counts)) == 1


def test_averaging(tmp_path):
    run = Run(tmp_path)
    for value in (1, 2, 6):
        run.save(value)
    mean = average_checkpoints(run.checkpointer.find_checkpoints(min_key="error"), "model")
    torch.testing.assert_close(mean["weight"], torch.full((2, 3), 3.0))


@pytest.mark.parametrize(("dev", "epochs", "value"), [(0.9, [1, 2, 6], 3.0), (1.0, [1, 2, 6], 3.0), (1.1, [1], 1.0)])
def test_the_mean_where_dev_finds_it_as_good(tmp_path, dev, epochs, value):
    """Dev is read with the mean, which is taken where it is as good as the best one; else that is."""
    run, seen = Run(tmp_path), []
    for epoch in (6, 1, 2):
        run.save(epoch, epoch=epoch)

    def dev_error():
        seen.append(run.model.weight[0, 0].item())
        return dev

    weights, best = Weights(run.model, Frozen()), run.checkpointer.find_checkpoints(min_key="error")
    found = choose(best, weights, "CER", dev_error)
    assert found == {"epochs": epochs, "measure": "CER", "best": 1.0, "mean": dev, "averaged": [1, 2, 6]}
    assert seen == [3.0] and run.model.weight[0, 0].item() == value


def test_a_mean_that_is_no_number_is_not_taken(tmp_path):
    run = Run(tmp_path)
    run.save(1, epoch=1), run.save(2, epoch=2)
    best = run.checkpointer.find_checkpoints(min_key="error")
    assert choose(best, Weights(run.model, Frozen()), "CER", lambda: float("nan"))["epochs"] == [1]


def test_a_single_checkpoint_costs_no_reading_of_dev(tmp_path):
    run = Run(tmp_path)
    best = [run.save(4, epoch=2.5)]
    found = choose(best, Weights(run.model, Frozen()), "CER", None)
    assert found == {"epochs": [2.5], "measure": "CER", "best": 4.0} and run.model.weight[0, 0].item() == 4.0


def test_sound_checkpoints_are_read_once(tmp_path, monkeypatch):
    Run(tmp_path).save(1)
    checkpointer, calls = Run(tmp_path).checkpointer, []
    real = checkpoints.sha256
    monkeypatch.setattr(checkpoints, "sha256", lambda path: calls.append(path) or real(path))
    checkpointer.list_checkpoints()
    first = len(calls)
    checkpointer.list_checkpoints()
    assert first == len(FILES) - 1 == len(calls)


class Code:
    """Whose unpickling makes a file."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_pickled_code_is_refused(tmp_path, part):
    """With sums as they should be, for whoever makes a folder makes them too: one sentence, and nothing has run."""
    saved, mark = Run(tmp_path / "save").save(3), tmp_path / "mark"
    content = torch.load(saved.paramfiles[part], weights_only=True)
    torch.save({**content, "more": Code(mark)}, saved.paramfiles[part])
    (saved.path / SUMS).unlink()
    checkpoints._seal(saved.path)
    with pytest.raises(UserError, match=f"{re.escape(saved.path.name)}: holds more than weights"):
        recovered(tmp_path / "save")
    with pytest.raises(pickle.UnpicklingError):
        tensors_of(saved.paramfiles[part])
    assert not mark.exists()
    torch.load(saved.paramfiles[part], weights_only=False)
    assert mark.exists()  # else this test proves nothing
