"""The soak notices what grows, and calls nothing else growth."""

import subprocess
import sys

import pytest

from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT, SAMPLE

sys.path.insert(0, str(ROOT / "benchmarks"))

import soak  # noqa: E402


def rows(count=100, **slopes):
    """Samples in which some things grow by so much a sample, and caches fill in the first quarter."""
    return [
        {what: min(i, count // 4) + slopes.get(what, 0) * i for what in soak.UNITS} | {"count": i} for i in range(count)
    ]


def test_what_grows_is_noticed():
    assert soak.grown(rows()) == {"memory": 0, "files": 0, "disk": 0}
    found = soak.grown(rows(memory=0.1))
    assert found["memory"] == pytest.approx(5) and found["files"] == found["disk"] == 0


def test_what_is_used(tmp_path):
    """An open file, a file on disk and a block of memory are seen: those of a fresh process, which has no freed
    memory to take them from."""
    steps = """
import sys
print(flush=True), input()
file, block = open(sys.argv[1], "wb"), b"x" * (64 * 2**20)
file.write(bytes(2**20)), file.flush()
print(flush=True), input()
"""
    (tmp_path / "a").mkdir()
    command = [sys.executable, "-c", steps, str(tmp_path / "a/file")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        seen = []
        for _ in range(2):
            process.stdout.readline()
            seen.append(soak.used(process.pid, tmp_path))
            process.stdin.write("\n")
            process.stdin.flush()
    before, after = seen
    assert after["disk"] - before["disk"] == 1 and after["files"] - before["files"] == 1
    assert after["memory"] - before["memory"] > 32


def test_plot_and_table(tmp_path):
    runs = {"training": rows(memory=0.1), "server": rows()}
    soak.plot(runs, tmp_path / "soak.png")
    assert (tmp_path / "soak.png").read_bytes()[:4] == b"\x89PNG"
    assert "| training | +5.0 | +0 | +0.00 |" in soak.table({name: soak.grown(r) for name, r in runs.items()})


@pytest.mark.slow
def test_a_server_is_measured(tmp_path):
    """While it answers requests, garbage among them."""
    small = (("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.n_heads", "2"), ("encoder.d_ffn", "32"))
    folder = make_random_result(tmp_path / "run", preset("serenanet/small"), *small)
    clip = sorted((SAMPLE / "clips").glob("*.mp3"))[0]
    found = soak.serving(soak.parse([str(folder), str(clip), "--requests", "20"]))
    assert [row["count"] for row in found] == list(range(20)) and all(row["memory"] > 100 for row in found)
