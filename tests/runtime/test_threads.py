"""Cores are counted as the scheduler and the container allow."""

import os
import subprocess
import sys

import pytest
import torch

from serenanet_modules.runtime.threads import available_cores, share_cores


@pytest.mark.parametrize(("content", "cores"), [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1)])
def test_quota_of_a_container(tmp_path, content, cores):
    (tmp_path / "cpu.max").write_text(content)
    assert available_cores(tmp_path) == (cores or len(os.sched_getaffinity(0)))


def test_quota_of_an_older_container(tmp_path):
    (tmp_path / "cpu").mkdir()
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("100000\n")
    (tmp_path / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert available_cores(tmp_path) == 1
    (tmp_path / "cpu" / "cpu.cfs_quota_us").write_text("-1\n")
    assert available_cores(tmp_path) == len(os.sched_getaffinity(0))


def test_a_share_of_the_cores(monkeypatch):
    monkeypatch.setenv("SERENANET_CORES", "1")
    assert available_cores() == 1
    monkeypatch.setenv("SERENANET_CORES", "1000")
    assert available_cores() <= len(os.sched_getaffinity(0))


def run(code, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("OMP_")} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_threads_follow_the_cores_unless_told(monkeypatch):
    before = torch.get_num_threads()
    try:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        for processes, threads in ((1, available_cores()), (1000, 1)):
            share_cores(processes)
            assert torch.get_num_threads() == threads
        torch.set_num_threads(2)
        monkeypatch.setenv("OMP_NUM_THREADS", "2")
        share_cores(1000)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_waiting_threads_sleep():
    code = "import serenanet_modules, os; print(os.environ['OMP_WAIT_POLICY'])"
    assert run(code) == ["PASSIVE"] and run(code, OMP_WAIT_POLICY="ACTIVE") == ["ACTIVE"]
