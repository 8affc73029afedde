"""What C libraries print by themselves: kept off the screen."""

import os
import sys
import tempfile
from contextlib import contextmanager

NOISE = b"[src/libmpg123/"  # of libsndfile's decoder of mp3, about frames that it passes over


@contextmanager
def without_noise():
    """Around work in C: lines that libmpg123 prints are left out, others are printed afterwards.

    What Python prints through ``sys.stderr`` meanwhile, such as a progress bar, appears at once.
    """
    screen, python = os.dup(2), sys.stderr
    with tempfile.TemporaryFile() as said:
        try:
            if _is_standard(python):
                sys.stderr = open(os.dup(screen), "w", buffering=1, encoding=python.encoding, errors=python.errors)
            os.dup2(said.fileno(), 2)
            yield
        finally:
            os.dup2(screen, 2)
            if sys.stderr is not python:
                sys.stderr.close()
                sys.stderr = python
            said.seek(0)
            for line in said:
                if not line.startswith(NOISE):
                    os.write(screen, line)
            os.close(screen)


def _is_standard(stream):
    """Whether a stream writes to the process's own standard error output."""
    try:
        return stream.fileno() == 2
    except (AttributeError, OSError, ValueError):  # None, or a stand-in without a file
        return False
