"""How many cores this process may use."""

import math
import os
from pathlib import Path

import torch

CGROUP = Path("/sys/fs/cgroup")
CORES = "SERENANET_CORES"  # environment variable: cores that are this process's, of those it sees


def available_cores(cgroup=CGROUP):
    """Cores that the scheduler, a container's quota and ``SERENANET_CORES`` leave to this process; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(cores, _quota(cgroup), int(os.environ.get(CORES, cores)))))


def _quota(cgroup):
    """Cores that a container may keep busy (cgroup version 2, then 1); infinite where nothing says so."""
    try:
        limit, period = (cgroup / "cpu.max").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        try:
            folder = cgroup / "cpu"
            limit, period = ((folder / f"cpu.cfs_{n}_us").read_text(encoding="ascii") for n in ("quota", "period"))
        except OSError:
            return math.inf
    return math.inf if limit.strip() in ("max", "-1") else int(limit) / int(period)


def share_cores(processes=1):
    """Give torch this process's share of the cores, unless OMP_NUM_THREADS says how many threads to use.

    Parameters
    ----------
    processes : int
        Processes of this run on this machine that see the same cores.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, available_cores() // processes))


def best_device():
    """Where to compute if nobody says: a GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else "cpu"
