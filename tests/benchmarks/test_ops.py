"""benchmarks/ops.py runs from end to end and writes what it promises; no time is asserted."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SMALL = ["--sizes", "1", "4", "2", "--repeats", "1", "--threads", "1"]


def run(folder, *options):
    """The benchmark in a process of its own, and what it wrote."""
    command = [sys.executable, ROOT / "benchmarks" / "ops.py", *SMALL, "--out", folder, *options]
    environment = {**os.environ, "SERENANET_OPS_BACKEND": ""}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    return json.loads((folder / "ops.json").read_text()), done.stdout


@pytest.mark.slow
def test_writes_tables_plots_and_ratios(tmp_path):
    """Every contestant at every length has two times and two peaks, or a reason; ours agree with the loop."""
    found, printed = run(tmp_path, "--groups", "scan", "--lengths", "5", "9")
    scan = found["groups"]["scan"]
    assert "ours, torch" in scan["largest relative difference"] and "lean loop" in scan["rivals"]
    for row in scan["rows"]:
        assert "skipped" in row or (row["seconds"] > 0 and row["bytes"] >= 0), row
    contestants = {row["name"] for row in scan["rows"]} | set(scan["absent"])
    assert contestants >= {"ours, cpp", "ours, torch", "transformers", "mamba.py", "associative_scan", "lean loop"}
    assert len(scan["rows"]) == 2 * 2 * len({row["name"] for row in scan["rows"]})
    assert (tmp_path / "ops_scan.png").stat().st_size > 10_000
    table = (tmp_path / "ops.md").read_text()
    assert "| ours, torch |" in table and "ours, torch against lean loop" in printed


@pytest.mark.slow
def test_gives_up_what_takes_too_long_or_too_much(tmp_path):
    """A case over the limits is a line with the reason, and longer ones are not tried."""
    found, _ = run(tmp_path, "--groups", "conv", "--lengths", "2000", "3000", "--limit_gb", "0.02")
    skipped = {row.get("skipped") for row in found["groups"]["conv"]["rows"]}
    assert any(reason and reason.startswith("over 0.02 GB") for reason in skipped), skipped
    assert any(reason and reason.endswith("at a shorter length") for reason in skipped), skipped
