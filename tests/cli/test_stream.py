"""``serenanet stream``: text as it grows, the final text, and how late it was."""

import io
import os
import re
import signal
import subprocess
import sys
import types

import numpy as np
import pytest

from serenanet_modules import cli
from serenanet_modules.data.audio import load
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT, SAMPLE

CLIP = SAMPLE / "clips/common_voice_sw_00000601.mp3"
TINY = [("d_model", "16"), ("n_mels", "40"), ("features.n_fft", "512"), ("encoder.n_layers", "1")]
LATENCY = (
    r"latency: algorithmic \S+ ms \(look-ahead 42.5 \+ chunk \S+\), compute p50 .* ms, p95 .* ms; RTF .* over .* s\n"
)


@pytest.fixture(scope="module")
def causal(tmp_path_factory):
    """A result folder that streams."""
    return make_random_result(tmp_path_factory.mktemp("causal") / "run", preset("conmamba_causal/small"), *TINY)


@pytest.fixture(scope="module")
def text(causal):
    """What its model makes of the clip."""
    (transcript,) = Recognizer.from_folder(causal).transcribe([CLIP])
    assert len(transcript.text) > 5
    return transcript.text


def pcm():
    return (load(CLIP) * 32768).round().clip(-32768, 32767).astype("<i2")


@pytest.fixture
def stream(capsys):
    """Run the command in this process: ``stream(*arguments) -> (status, stdout, stderr)``."""

    def run(*arguments):
        capsys.readouterr()
        status = cli.main(["stream", *map(str, arguments)])
        return status, *capsys.readouterr()

    return run


@pytest.mark.parametrize("chunk", [10, 200, 60000])
def test_a_file(stream, causal, text, chunk):
    """Each line goes on where the one before ended; the last is the whole text."""
    status, out, err = stream(causal, CLIP, "--chunk-ms", chunk)
    lines = out.splitlines()
    assert status == 0 and lines[-1] == text
    assert all(later.startswith(line) and later != line for line, later in zip(lines, lines[1:], strict=False))
    assert (len(lines) > 3) == (chunk < 1000)
    assert re.fullmatch(LATENCY, err) and (f"+ chunk {chunk})" in err) == (chunk < 1000)


def test_a_terminal_shows_one_line(causal, text, monkeypatch):
    """It is written anew each time, cut to the width; the final text is whole and ends it."""
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "8")
    assert cli.main(["stream", str(causal), str(CLIP)]) == 0
    *partial, final = screen.getvalue().split("\r\033[K")
    assert final == f"{text}\n" and "\n" not in "".join(partial)
    assert max(map(len, partial)) == 7 and partial[-1] == "…" + text[-6:]


def test_raw_samples_on_stdin(stream, causal, monkeypatch):
    """They give what the same samples give as an array."""
    samples = pcm()
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(samples.tobytes())))
    _, out, _ = stream(causal, "-")
    (expected,) = Recognizer.from_folder(causal).transcribe([samples.astype(np.float32) / 32768])
    assert out.splitlines()[-1] == expected.text


def test_ctrl_c_ends_the_microphone(causal, tmp_path):
    """What was heard until then is said, the recorder is stopped and the status is good."""
    (tmp_path / "sound").write_bytes(pcm().tobytes())
    (tmp_path / "sounddevice.py").write_text("raise ImportError")
    recorder = tmp_path / "arecord"
    recorder.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/process\ncat {tmp_path}/sound\nexec sleep 100\n")
    recorder.chmod(0o755)
    path = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": f"{tmp_path}:{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "serenanet_modules.cli", "stream", str(causal), "microphone", "--chunk-ms", "500"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | path,
    )
    first = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0 and first.strip() and (first + out).splitlines()[-1].startswith(first.strip())
    assert re.fullmatch(LATENCY, err)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


def test_what_cannot_be_streamed_is_one_sentence(stream, causal, tmp_path):
    still = make_random_result(tmp_path / "still", preset("conmamba_ctc/small"), *TINY)
    (tmp_path / "text.mp3").write_text("no audio")
    for arguments, words in (
        ((still, CLIP), "still: this model cannot stream: ConMambaEncoder reads backwards too"),
        ((causal, tmp_path / "no.wav"), "no.wav: there is no such file"),
        ((causal, tmp_path / "text.mp3"), "text.mp3: this cannot be read as audio"),
        ((causal, CLIP, "--chunk-ms", "0"), "--chunk-ms: '0' is not a number above 0"),
        ((causal, CLIP, "--chunk-ms", "nan"), "'nan' is not"),
        ((tmp_path / "nowhere", CLIP), "nowhere: there is no such folder"),
    ):
        status, out, err = stream(*arguments)
        assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1 and words in err


def test_silence_is_an_empty_line(stream, causal, monkeypatch):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO()))
    status, out, err = stream(causal, "-")
    assert (status, out) == (0, "\n") and "over 0.0 s" in err
