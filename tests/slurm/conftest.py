"""A real single-machine Slurm for the tests in this folder."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("local_slurm.sh")


def why_not() -> str:
    """Return what a local Slurm lacks on this machine, "" if nothing."""
    path = os.environ["PATH"] + ":/usr/sbin"
    programs = [name for name in ("munged", "slurmctld") if not shutil.which(name, path=path)]
    if programs:
        return f"{' and '.join(programs)} not installed (Debian: munge, slurm-wlm)"
    return "" if os.geteuid() == 0 else "a local Slurm needs root"


@pytest.fixture(scope="session")
def local_slurm() -> Iterator[dict[str, str]]:
    """Start Slurm with one node of two CPUs; yields the environment for srun and sbatch."""
    if why_not():
        pytest.skip(why_not())
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    folder = Path(tempfile.gettempdir()) / f"serenanet-slurm-{worker}"
    # Two test runs on one machine take turns.
    with open(f"{folder}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            started = subprocess.run([SCRIPT, "up", folder], capture_output=True, text=True, timeout=180)
            assert started.returncode == 0, started.stderr
            yield _outside_slurm() | {"SLURM_CONF": started.stdout.strip()}
        finally:
            subprocess.run([SCRIPT, "down", folder], check=True, timeout=120)


def _outside_slurm() -> dict[str, str]:
    """Return the environment without a surrounding job's or launcher's variables."""
    launch = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    return {name: value for name, value in os.environ.items() if not name.startswith("SLURM_") and name not in launch}
