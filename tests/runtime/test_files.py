"""Locks of folders: one holder, and none when that has died."""

import os
import signal
import time

import pytest
from filelock import Timeout

from serenanet_modules.runtime.files import locked


def test_one_holder(tmp_path):
    with locked(tmp_path / "new" / ".lock"), pytest.raises(Timeout), locked(tmp_path / "new" / ".lock", wait=False):
        pass
    with locked(tmp_path / "new" / ".lock", wait=False):
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
        with pytest.raises(Timeout), locked(lock, wait=False):
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with locked(lock, wait=False):
            pass
    finally:
        os.kill(int(ready.read_text()), signal.SIGKILL)
