"""What is freed goes back to the machine."""

import os
import platform

import pytest

from serenanet_modules.runtime.memory import hand_back

MEGABYTE = 2**20


def resident():
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="others hand back by themselves")
def test_freed_memory_is_handed_back():
    """Of blocks too small for pages of their own, below one that is still in use."""
    blocks = [bytearray(b"x") * 100_000 for _ in range(600)]
    pin, full = bytearray(b"x") * 100_000, resident()
    del blocks
    kept = resident()
    hand_back()
    assert full - kept < 10 * MEGABYTE and kept - resident() > 40 * MEGABYTE and len(pin) == 100_000
