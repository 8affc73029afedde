"""How much memory this process takes, and took at most; what it holds and does not use."""

import ctypes
import resource
import sys
from pathlib import Path

import torch


def resident():
    """Bytes of this process in memory; where the system does not say so, the most that there ever were."""
    return status("VmRSS") or _most()


def peak(device="cpu"):
    """The most bytes since `forget_peak`: of a GPU's memory, or resident of this process."""
    if torch.device(device).type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return status("VmHWM") or _most()  # Linux's ru_maxrss also counts the parent's at the time of the fork


def forget_peak(device="cpu"):
    """Begin a new peak. Outside of Linux there is one for the whole process, which stays."""
    if torch.device(device).type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


def _most():
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


def status(key):
    """Bytes that Linux's /proc/self/status says for a key, None elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key + ":")), None)


def hand_back():
    """Give freed memory back to the machine, which glibc by itself keeps: here that of the largest batch so far."""
    if (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)) is not None:
        trim(0)
