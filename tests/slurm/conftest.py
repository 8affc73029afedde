"""A real single-machine Slurm for the tests in this folder."""

import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.processes import command_lines

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
    """Start Slurm with two nodes of four CPUs; yields the environment for srun and sbatch."""
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


class Job:
    """A batch job of the local Slurm.

    Parameters
    ----------
    environment : dict
        From `local_slurm`.
    output : Path
        What it prints.
    *words : object
        Of the command line, behind ``sbatch``.
    """

    def __init__(self, environment, output, *words):
        self.environment, self.output = environment | {"PYTHONPATH": str(SCRIPT.parents[2])}, output
        self.number = self.run("sbatch", "--parsable", f"--output={output}", *words).strip()

    def run(self, *command):
        """What another command of Slurm prints."""
        done = subprocess.run(
            [str(c) for c in command], env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def until(self, condition, seconds=90):
        """Wait until ``condition()`` holds."""
        limit = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < limit, self.printed
            time.sleep(0.05)

    def start_again(self):
        """Wait until it is in the queue once more, and let it begin at once.

        Not before Slurm's own processes of the start before are gone, or it takes their end for that of the new one.
        """
        self.until(lambda: "BeginTime" in self.run("squeue", "--noheader", "--format=%r", f"--jobs={self.number}"))
        self.until(lambda: not any(f"slurmstepd: [{self.number}." in line for line in command_lines()))
        self.run("scontrol", "update", f"jobid={self.number}", "StartTime=now")

    def ended(self):
        """Its state, once it has left the queue."""
        told = lambda: self.run("scontrol", "show", "job", self.number).split("JobState=")[1].split()[0]  # noqa: E731
        self.until(lambda: told() not in ("PENDING", "RUNNING", "COMPLETING"))
        return told()

    @property
    def printed(self):
        return self.output.read_text(encoding="utf-8") if self.output.exists() else ""


@pytest.fixture
def sbatch(local_slurm, tmp_path):
    """Submit a job: ``sbatch(*words) -> Job``; what is left in the queue is cancelled in the end."""
    yield lambda *words: Job(local_slurm, tmp_path / f"job{time.monotonic_ns()}.txt", *words)
    subprocess.run(["scancel", "--user=root"], env=local_slurm, timeout=30)
