"""What `serenanet demo` does with the training that it starts."""

import os
import signal
import subprocess
import sys

from tests.support.serving import until

SAVING = """
import pathlib, signal, sys, time
def save(*_):
    time.sleep(1.0)
    pathlib.Path(sys.argv[2]).touch()
    sys.exit(130)
signal.signal(signal.SIGINT, save)
pathlib.Path(sys.argv[1]).touch()
time.sleep(600)
"""
DEMO = """
import sys
from serenanet_modules.cli import demo
from serenanet_modules.runtime import ending
demo.COMMAND = sys.argv[1:]
sys.exit(ending.status_of(demo._train))
"""


def test_an_interrupted_training_saves(tmp_path):
    """Ctrl-C, which the terminal sends to both processes, ends the demo when its training has saved."""
    begun, saved = tmp_path / "begun", tmp_path / "saved"
    (tmp_path / "training.py").write_text(SAVING, encoding="utf-8")
    command = [sys.executable, "-c", DEMO, str(tmp_path / "training.py"), str(begun), str(saved)]
    with subprocess.Popen(command, start_new_session=True) as demo:
        until(begun.exists, "the training to begin", 120)
        os.killpg(demo.pid, signal.SIGINT)
        assert demo.wait(120) == 130
    assert saved.exists()
