"""The main job as two tasks of an srun step."""

import subprocess
import sys

import pytest

from tests.support.tiny import PAIRS, ROOT, Run, command, decoded, distance, make_corpus

pytestmark = pytest.mark.slurm


def test_srun_trains_like_one_process(local_slurm, tmp_path):
    """Plain ``srun -n2 python train.py`` ends with the weights of one process that accumulates two micro-batches."""
    corpus = make_corpus(tmp_path / "sw")
    folder = tmp_path / "srun"
    finished = subprocess.run(
        ["srun", "-n2", sys.executable, *command(corpus, folder)],
        env=local_slurm | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    one = tmp_path / "one"
    Run(command(corpus, one, *PAIRS), one).done()
    assert distance(folder, one) < 1e-5
    for split in ("dev", "test"):
        assert decoded(folder, split) == decoded(one, split)
