"""benchmarks/attention_beam.py sets our joint search beside SpeechBrain's; no time is asserted."""

import json
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT

TINY = (
    *(("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "32"), ("encoder.kernel_size", "5")),
    *(("attention_decoder.n_layers", "1"), ("attention_decoder.n_heads", "2"), ("attention_decoder.d_ffn", "32")),
)
TEXTS = ["mama anakula ng'ombe wa baba", "baba anakula", "wa mama na baba"]


@pytest.mark.slow
def test_all_searches_of_one_model(tmp_path):
    """A row for each search and beam; ours agrees with itself, and no search is counted twice."""
    folder = make_random_result(tmp_path / "run", preset("conmamba_s2s"), *TINY, units="bpe", texts=TEXTS)
    rng = np.random.default_rng(0)
    for name, seconds in (("a.wav", 0.6), ("b.wav", 0.9)):
        soundfile.write(tmp_path / name, 0.1 * rng.standard_normal(int(seconds * 16000)), 16000)
    command = [sys.executable, ROOT / "benchmarks/attention_beam.py", folder, tmp_path / "a.wav", tmp_path / "b.wav"]
    command += ["--beams", "2", "3", "--repeats", "1", "--out", tmp_path]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    rows = json.loads((tmp_path / "attention_beam.json").read_text())["rows"]
    assert [row["beam"] for row in rows] == [2] * 4 + [3] * 4 and len({row["name"] for row in rows}) == 4
    for row in rows:
        if "alone" in row["name"]:  # the network without a search
            continue
        assert row["seconds"] > 0 and row["equal"] + row["better"] + row["worse"] <= 2, row
        assert row["name"] != "ours" or (row["equal"], row["better"], row["worse"]) == (2, 0, 0)
    lines = (tmp_path / "attention_beam.md").read_text().splitlines()
    assert len([line for line in lines if line.startswith(("| 2 |", "| 3 |"))]) == 8
