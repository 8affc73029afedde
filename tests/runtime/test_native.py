"""Messages of C libraries while they work."""

import os
import subprocess
import sys

import pytest

from serenanet_modules.runtime.native import without_noise


def test_noise_is_left_out_and_nothing_else(capfd):
    """Lines of libmpg123 go, others come afterwards; an error changes nothing."""
    with pytest.raises(KeyError), without_noise():
        os.write(2, b"[src/libmpg123/layer3.c:1] error: too large\nout of memory\n")
        raise KeyError
    os.write(2, b"after\n")
    assert "libmpg123" not in (found := capfd.readouterr().err)
    assert "out of memory\n" in found and found.endswith("after\n")


def test_python_prints_at_once():
    """In a process of its own, whose standard error output is Python's."""
    program = "import os, sys\nfrom serenanet_modules.runtime.native import without_noise\n"
    program += "with without_noise():\n    os.write(2, b'of C\\n')\n    print('of Python', file=sys.stderr)\n"
    program += "print('last', file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == "of Python\nof C\nlast\n"
