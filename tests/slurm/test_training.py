"""Trainings as jobs of the shipped batch scripts, which are told to stop, and go on."""

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.tiny import PAIRS, ROOT, Run, checkpoints, command, decoded, distance, make_corpus

pytestmark = pytest.mark.slurm

TOLD = """
import os, runpy, sys, time
from pathlib import Path
from serenanet_modules.training.loop import RecipeBrain

fit_batch = RecipeBrain.fit_batch

first = "SLURM_RESTART_COUNT" not in os.environ

def wait(self, batch):
    if self.step == 4 and first:
        Path(self.hparams.output_folder, "training").touch()
        while self.signal is None:
            time.sleep(0.05)
    return fit_batch(self, batch)

RecipeBrain.fit_batch = wait
sys.argv = sys.argv[1:] + ["--fsdp"] * first
runpy.run_path(sys.argv[0], run_name="__main__")
"""
TOGETHER = """
import sys, time
from pathlib import Path
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.faults import in_a_sentence
from serenanet_modules.runtime.lifeline import ending_together

folder = Path(sys.argv[1])
distributed.start({"device": "cpu"})
with ending_together(), in_a_sentence(folder):
    (folder / str(distributed.rank())).touch()
    if not distributed.is_main():
        time.sleep(60)
    distributed.barrier()
"""
ACTS = """#!/bin/bash
trap 'echo saved; exit 138' USR1
echo "start ${SLURM_RESTART_COUNT:-0}: $*"
if [ "${SLURM_RESTART_COUNT:-0}" = 0 ] && [ "$1" = wait ]; then while true; do sleep 0.1; done; fi
"""


@pytest.fixture(name="script")
def _script(tmp_path):
    def write(text):
        file = tmp_path / "script"
        file.write_text(text)
        file.chmod(0o755)
        return file

    return write


def test_two_nodes_make_room_and_go_on(sbatch, script, tmp_path):
    """Another job takes their place: they save a checkpoint, wait, go on by themselves, and end as one process does.

    Before it each has a part of the weights (``--fsdp``), and after it all of them.
    """
    corpus = make_corpus(tmp_path / "sw")
    folder = tmp_path / "nodes"
    words = [sys.executable, script(TOLD), *command(corpus, folder)]
    job = sbatch(ROOT / "slurm/several_nodes.sh", *words)
    job.until((folder / "training").exists)
    urgent = sbatch("--partition=urgent", "--nodes=2", "--ntasks-per-node=4", "--wrap", "true")
    assert urgent.ended() == "COMPLETED"
    assert len(checkpoints(folder)) == 1 and "Stopped by SIGTERM; the same command resumes from here" in job.printed
    job.start_again()
    assert job.ended() == "COMPLETED", job.printed
    assert "Resuming in epoch 1 after" in job.printed and "Traceback" not in job.printed
    assert json.loads((folder / "result.json").read_text())["processes"] == 2
    one = tmp_path / "one"
    Run(command(corpus, one, *PAIRS), one).done()
    assert distance(folder, one) < 1e-6
    for split in ("dev", "test"):
        assert decoded(folder, split) == decoded(one, split)


def test_a_dead_node_ends_the_others(sbatch, script, tmp_path):
    """All of a job that runs on a node is gone at once: the main process, on the other one, says so and ends."""
    job = sbatch(ROOT / "slurm/several_nodes.sh", sys.executable, script(TOGETHER), tmp_path)
    job.until(lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists())
    for process in of_node("127.0.0.2", job.number):
        os.kill(process, signal.SIGKILL)
    job.until(lambda: "error: process 0 stops because process 1 has ended (killed, or for the reason" in job.printed)
    job.run("scancel", job.number)
    assert job.ended() in ("FAILED", "CANCELLED", "NODE_FAIL")


def of_node(node, number):
    """Processes of a job on a node: its tasks, and Slurm's, which watch them."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            variables = (folder / "environ").read_text().split("\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # ended meanwhile
            continue
        if {f"SLURM_JOB_ID={number}", f"SLURMD_NODENAME={node}"} <= set(variables):
            found |= {int(folder.name), parent}
    return found


def test_a_job_that_is_told_to_stop_goes_on(sbatch, script):
    """SIGUSR1, which Slurm sends before a job's limit, puts it into the queue again; scancel ends it."""
    job = sbatch(ROOT / "slurm/one_node.sh", script(ACTS), "wait")
    job.until(lambda: "start 0: wait" in job.printed)
    job.run("scancel", "--signal=USR1", job.number)
    job.start_again()
    assert job.ended() == "COMPLETED" and "saved\n" in job.printed and "start 1: wait" in job.printed
    job = sbatch(ROOT / "slurm/one_node.sh", script(ACTS), "wait")
    job.until(lambda: "start 0: wait" in job.printed)
    job.run("scancel", job.number)
    assert job.ended() == "CANCELLED" and "start 1" not in job.printed


def test_a_sweep(sbatch, script, tmp_path):
    """Each task of an array has a line of the file; one without a line says so."""
    sweep = tmp_path / "sweep.txt"
    sweep.write_text("--experiment a --lr 0.1\n--experiment b --lr 0.2\n")
    job = sbatch("--array=1-3", f"--output={tmp_path}/%a.txt", ROOT / "slurm/array.sh", sweep, script(ACTS), "go")
    printed = {i: tmp_path / f"{i}.txt" for i in (1, 2, 3)}
    job.until(lambda: all(file.exists() and file.read_text() for file in printed.values()))
    assert printed[1].read_text() == "start 0: go --experiment a --lr 0.1\n"
    assert printed[2].read_text() == "start 0: go --experiment b --lr 0.2\n"
    assert printed[3].read_text() == f"error: {sweep} has no line 3; give --array=1-2\n"
