"""Locks of folders: one holder, and none when that has died."""

import os
import signal
import time

import pytest
import torch
from safetensors import safe_open

from serenanet_modules.errors import UserError
from serenanet_modules.runtime import files
from serenanet_modules.runtime.files import locked, sweep, write_tensors


def test_folders_behind_links(tmp_path):
    """They are walked as others are; each once, by its own name where it is inside, and none that holds the first."""
    home, elsewhere = tmp_path / "home", tmp_path / "elsewhere"
    for file in (home / "own" / "a.wav", elsewhere / "deep" / "b.wav", elsewhere / ".hidden" / "c.wav"):
        file.parent.mkdir(parents=True)
        file.touch()
    for name, target in {
        **{"0": home / "own", "1": elsewhere / "deep", "2": elsewhere, "file.wav": elsewhere / "deep" / "b.wav"},
        **{"up": tmp_path, "root": "/", "here": home, ".hidden": elsewhere, "round": home / "round"},
    }.items():
        (home / name).symlink_to(target)
    (elsewhere / "back").symlink_to(home)
    found = {str(path.relative_to(home)) for path in files.below(home)}
    assert found == {"own", "own/a.wav", "1", "1/b.wav", "2", "file.wav", "round"}
    assert files.below(tmp_path / "home" / "1") == [home / "1" / "b.wav"]
    assert len(files.below(home, lambda name: name.endswith(".wav"))) == 3


def test_one_holder(tmp_path):
    lock = tmp_path / "new" / ".lock"
    with locked(lock), pytest.raises(UserError, match="taken"), locked(lock, "taken"):
        pass
    with locked(lock, "taken"):
        pass


def test_a_child_that_outlives_its_killed_parent_holds_nothing(tmp_path):
    """As a data loader's worker does for some seconds."""
    lock, ready = tmp_path / ".lock", tmp_path / "ready"
    holder = os.fork()
    if not holder:
        with locked(lock):
            child = os.fork()
            if child:
                ready.write_text(str(child))
            time.sleep(60)
        os._exit(0)
    while not (ready.is_file() and ready.read_text()):
        time.sleep(0.01)
    try:
        with pytest.raises(UserError, match="taken"), locked(lock, "taken"):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with locked(lock, "taken"):
            pass
    finally:
        os.kill(int(ready.read_text()), signal.SIGKILL)


def test_tensors_are_whole_or_not_there(tmp_path, monkeypatch):
    """What a kill leaves of them is swept up, and the file has the permissions of any other."""
    path, other = tmp_path / "a.safetensors", tmp_path / "other"
    other.touch()
    write_tensors(path, {"x": torch.eye(3).T}, {"about": "y"})
    with safe_open(path, "pt") as tensors:
        assert torch.equal(tensors.get_tensor("x"), torch.eye(3)) and tensors.metadata() == {"about": "y"}
    assert path.stat().st_mode == other.stat().st_mode
    before = path.read_bytes()
    child = os.fork()
    if not child:
        monkeypatch.setattr(files.os, "replace", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
        write_tensors(path, {"x": torch.zeros(3)})
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    assert path.read_bytes() == before and len(list(tmp_path.iterdir())) == 3
    sweep(tmp_path)
    assert sorted(tmp_path.iterdir()) == [path, other]
