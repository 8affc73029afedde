"""``serenanet ablate --sbatch`` on a real local Slurm, with runs that end in a moment."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from serenanet_modules.ablation.schedule import Schedule
from serenanet_modules.ablation.slurm import SlurmJobs
from serenanet_modules.errors import UserError
from tests.support.ablations import FakeRun

pytestmark = pytest.mark.slurm

TEMPLATE = Path(__file__).parents[2] / "slurm/one_node.sh"


@pytest.fixture
def template(local_slurm, tmp_path, monkeypatch):
    """The shipped batch script on the local Slurm, which has room for two jobs of it."""
    for name in [name for name in os.environ if name not in local_slurm]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_CONF", local_slurm["SLURM_CONF"])
    file = tmp_path / "slurm.sh"
    file.write_text(TEMPLATE.read_text())
    yield file
    subprocess.run(["scancel", "--user=root"], timeout=30)


def carry_out(runs, template):
    schedule = Schedule(runs, SlurmJobs(template), 0.2)
    return schedule, {outcome.run.name: (outcome.state, outcome.detail) for outcome in schedule.carry_out()}


@pytest.fixture(name="run")
def _run(tmp_path):
    return lambda name, act="ok", needs=None: FakeRun(name, tmp_path / name, act, needs)


def test_jobs_wait_for_what_they_need(template, run):
    """All are submitted at once; what needs a failed run is cancelled by Slurm and skipped; the rest is done."""
    good, bad = run("good", "pause"), run("bad", "fail")
    runs = [good, bad, run("after", needs=good), run("vain", needs=bad)]
    _, ended = carry_out(runs, template)
    assert {name: state for name, (state, _) in ended.items()} == {
        "good": "finished",
        "bad": "failed",
        "after": "finished",
        "vain": "skipped",
    }
    assert ended["bad"][1] == "error: the disk is full" and ended["vain"][1] == "bad failed"
    assert not runs[3].starts
    assert (runs[2].folder / "result.json").stat().st_mtime >= (good.folder / "result.json").stat().st_mtime


def test_jobs_outlive_whoever_submitted_them(template, run, capsys):
    """Ctrl-C leaves the jobs in the queue; the same call waits for those, and submits none twice."""
    runs = [run("slow", "wait")]

    def interrupt():
        limit = time.monotonic() + 60
        while not (runs[0].folder / "ready").exists() and time.monotonic() < limit:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    sender = threading.Thread(target=interrupt)
    sender.start()
    schedule, ended = carry_out(runs, template)
    sender.join()
    job = (runs[0].folder / "job.txt").read_text().split()[0]
    assert schedule.signals and ended == {} and f"scancel {job}" in capsys.readouterr().out
    stopper = threading.Timer(1.0, lambda: subprocess.run(["scancel", job]))
    stopper.start()
    schedule, ended = carry_out(runs, template)
    assert ended["slow"][0] == "failed" and (runs[0].folder / "checkpoint").exists()
    assert f"job {job}, submitted before" in capsys.readouterr().out and len(runs[0].starts) == 1
    _, ended = carry_out(runs, template)
    assert ended["slow"][0] == "finished" and len(runs[0].starts) == 2


def test_refused_jobs_are_failures(template, run):
    """A template that Slurm refuses fails each run with what sbatch says."""
    template.write_text('#!/bin/bash\n#SBATCH --partition=nowhere\nexec "$@"\n')
    _, ended = carry_out([run("a"), run("b")], template)
    assert [state for state, _ in ended.values()] == ["failed", "failed"]
    assert "sbatch refused a: " in ended["a"][1]
    template.unlink()
    with pytest.raises(UserError, match="--sbatch: there is no file"):
        SlurmJobs(template)
