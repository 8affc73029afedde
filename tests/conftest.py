"""What every test shares: one calm thread per process, a Ctrl-C that is heard, and no log that another one opened."""

import logging
import os
import signal

# A suite in the background of a script inherits an ignored Ctrl-C, and so would every command that a test interrupts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A suite that make runs is no make itself: one that a test starts would say which folder it leaves.
for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
    os.environ.pop(name, None)

# Before torch is imported: several test processes share two cores, and a thread that spins while
# it waits takes the core from the one it waits for.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks the hub
# What torch.compile keeps on disk does not know that the shapes of a custom operation's results have changed.
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")

import pytest  # noqa: E402
import torch  # noqa: E402

torch.set_num_threads(1)

from speechbrain.utils.importutils import LazyModule  # noqa: E402

# hypothesis asks every module for __file__; SpeechBrain's lazy ones would import what may be absent
LazyModule.__file__ = None

pytest_plugins = ["tests.support.recognisers", "tests.support.trains", "tests.support.order"]


@pytest.fixture(autouse=True)
def _no_log_of_another():
    """A command that a test runs here may let all loggers write to what is the error output at that moment."""
    before, level = [*logging.root.handlers], logging.root.level
    yield
    logging.root.handlers[:] = [handler for handler in logging.root.handlers if handler in before]
    logging.root.setLevel(level)
