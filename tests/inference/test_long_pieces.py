"""Minutes in one piece: with limited context an encoder takes memory for the sound, and little for its own work."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.families import FAMILIES, make_result

MOST = 0.38e6  # bytes for a second of audio, an hour within 2 GB; the distances of full attention would be 0.9e6 more
SCRIPT = """
import sys
from pathlib import Path
from serenanet_modules.cli import main
status = main(["transcribe", *sys.argv[1:], "--device", "cpu", "--piece-seconds", "3600", "--batch-seconds", "3600"])
assert not status
peak = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
print("\\npeak", 1024 * int(peak[0].split()[1]))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux says the peak of a process's memory")
def test_memory_grows_with_the_sound_alone(tmp_path):
    """Of the whole process, from opening the model to the text."""
    folder = make_result(tmp_path / "run", *FAMILIES["fast-conformer-window"])
    noise, peaks = np.random.default_rng(0).normal(0, 0.1, 16000 * 10), []
    for seconds in (60, 660):
        soundfile.write(tmp_path / "long.wav", np.tile(noise, seconds // 10), 16000)
        command = [sys.executable, "-c", SCRIPT, folder, tmp_path / "long.wav"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        peaks.append(int(said.split()[-1]))
    print(f"{(peaks[1] - peaks[0]) / 600e6:.2f} MB for a second")
    assert peaks[1] - peaks[0] <= 600 * MOST
