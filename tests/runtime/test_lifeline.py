"""A process without a sign of life ends those that wait for it, with a sentence; a farewell does not."""

import subprocess
import sys

import pytest

from tests.support.tiny import ROOT

CODE = """
import socket, threading
from serenanet_modules.runtime import lifeline
lifeline.SIGN, lifeline.SILENT = 0.05, 3
ours, theirs = socket.socketpair()
ours.settimeout(lifeline.SIGN)
leaving = threading.Event()
if {beats}:
    threading.Thread(target=lifeline._send_signs, args=([theirs], leaving), daemon=True).start()
    threading.Timer(0.5, lambda: theirs.sendall({last})).start()
lifeline._watch(1, ours, leaving)
print("went on")
"""


@pytest.mark.parametrize(
    ("beats", "last", "status", "said"),
    [
        (False, "b''", 1, "process 1 has given no sign of life for 0 s (stopped?); the same command goes on"),
        (True, "lifeline.BYE", 0, ""),
    ],
    ids=["stopped", "farewell"],
)
def test_signs_of_life(beats, last, status, said):
    code = CODE.format(beats=beats, last=last)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout) == (status, "" if status else "went on\n"), done.stderr
    assert said in done.stderr and done.stderr.count("\n") == bool(said)
