"""Memory that a process holds and does not use."""

import ctypes


def hand_back():
    """Give freed memory back to the machine, which glibc by itself keeps: here that of the largest batch so far."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
