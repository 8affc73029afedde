"""srun and sbatch on a real local Slurm."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.support.processes import command_lines

pytestmark = pytest.mark.slurm

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("local_slurm.sh")
AGREE = """
import torch
from serenanet_modules.runtime import distributed

distributed.start({"device": "cpu"})
total = distributed.sum_(torch.tensor([distributed.rank() + 1.0]))
ranks = distributed.gather_objects([distributed.rank()])
# One write per process: srun mixes the lines of its tasks, not their characters.
print(f"{distributed.rank()}/{distributed.world_size()} {total.item():g} {ranks}\\n", end="")
distributed.stop()
"""


@pytest.fixture
def agree(tmp_path: Path) -> Path:
    """Return a script that prints rank/size, the sum of all ranks + 1, and all ranks."""
    path = tmp_path / "agree.py"
    path.write_text(AGREE)
    return path


def submit(environment: dict[str, str], *command: object) -> str:
    """Run a Slurm command to its end and return what it printed."""
    finished = subprocess.run(
        [str(part) for part in command],
        env=environment | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def test_two_srun_tasks_agree(local_slurm, agree):
    out = submit(local_slurm, "srun", "-n2", sys.executable, agree)
    assert sorted(out.splitlines()) == ["0/2 3 [0, 1]", "1/2 3 [0, 1]"]


def test_one_srun_task_is_not_distributed(local_slurm, agree):
    assert submit(local_slurm, "srun", "-n1", sys.executable, agree) == "0/1 1 [0]\n"


def test_batch_script_is_one_process_and_its_steps_are_two(local_slurm, agree, tmp_path):
    job, log = tmp_path / "job.sh", tmp_path / "log.txt"
    python = f"{sys.executable} {agree}"
    job.write_text(f"#!/bin/bash\nset -e\n{python}\nsrun {python}\nsrun -n1 {python}\n")
    number = submit(local_slurm, "sbatch", "--parsable", "-n2", f"--output={log}", job).strip()
    limit = time.monotonic() + 120
    while submit(local_slurm, "squeue", "--noheader", "--job", number) and time.monotonic() < limit:
        time.sleep(0.2)  # `sbatch --wait` sleeps longer and longer
    alone, *step, single = log.read_text().splitlines()
    assert alone == single == "0/1 1 [0]"
    assert sorted(step) == ["0/2 3 [0, 1]", "1/2 3 [0, 1]"]


def test_a_broken_instance_is_replaced_and_down_leaves_nothing(local_slurm):
    """An instance without its controller and its pid files comes up again, and goes away."""
    with tempfile.TemporaryDirectory() as parent:
        os.chmod(parent, 0o755)  # munged's socket must be within everyone's reach
        folder = Path(parent, "broken")
        conf = subprocess.check_output([SCRIPT, "up", folder], text=True).strip()
        os.kill(int((folder / "slurmctld.pid").read_text()), 9)
        for pid_file in folder.glob("*.pid"):
            pid_file.unlink()
        subprocess.run([SCRIPT, "up", folder], check=True, timeout=120)
        environment = local_slurm | {"SLURM_CONF": conf}
        assert submit(environment, "srun", "-n2", "echo", "up") == "up\nup\n"
        for _ in range(2):
            subprocess.run([SCRIPT, "down", folder], check=True, timeout=120)
        assert not folder.exists()
        assert not [line for line in command_lines() if f"{folder}/" in line]


def test_a_folder_of_someone_else_is_left_alone(local_slurm, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for action, status in (("up", 1), ("down", 0)):
        assert subprocess.run([SCRIPT, action, tmp_path], timeout=60).returncode == status
    assert (tmp_path / "thesis.txt").read_text() == "precious"
