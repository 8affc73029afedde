"""``serenanet stream``: text as it grows, the final text, and how late it was."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import types

import numpy as np
import pytest
import soundfile

from serenanet_modules import cli
from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.errors import UserError
from serenanet_modules.inference import endpointing, formats, live
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from serenanet_modules.runs.whole import seal
from tests.support.families import FAMILIES, make_result
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
    folder = make_random_result(tmp_path_factory.mktemp("causal") / "run", preset("conmamba_causal/small"), *TINY)
    seal(folder)
    return folder


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
    """A line for each sentence; as json also for the open one, each time it has changed."""
    status, out, err = stream(causal, CLIP, "--chunk-ms", chunk)
    assert (status, out) == (0, f"{text}\n")
    assert re.fullmatch(LATENCY, err) and (f"+ chunk {chunk})" in err) == (chunk < 1000)
    *partial, final = map(json.loads, stream(causal, CLIP, "--chunk-ms", chunk, "--format", "json")[1].splitlines())
    said = [line["text"] for line in partial]
    assert {line["type"] for line in partial} <= {"partial"} and (len(said) > 3) == (chunk < 1000)
    assert all(later.startswith(line) for line, later in zip(said, [*said[1:], text], strict=False))
    assert len(set(said)) == len(said)
    assert (final["type"], final["id"], final["text"], final["calibrated"]) == ("final", 0, text, False)
    assert final["start"] < final["end"] and 0 < final["words"][0]["confidence"] < 1


@pytest.mark.parametrize("format", ["txt", "srt", "vtt", "tsv", "ctm"])
def test_formats(stream, causal, tmp_path, format):
    """Sentence after sentence they become the file that `transcribe` writes."""
    sound = np.concatenate([load(CLIP), np.zeros(SAMPLE_RATE // 2, np.float32)] * 2)
    soundfile.write(tmp_path / "two.wav", sound, SAMPLE_RATE)
    length = ["--rule3-min-utterance-length", 4, "--rule1-min-trailing-silence", 9, "--rule2-min-trailing-silence", 9]
    _, out, _ = stream(causal, tmp_path / "two.wav", "--format", format, *length)
    (whole,) = Recognizer.from_folder(causal).transcribe([tmp_path / "two.wav"], piece_seconds=4.0)
    assert len(whole.segments) == 2
    expected = formats.write(whole, format, str(tmp_path / "two.wav"))
    assert out == ("".join(f"{segment.text}\n" for segment in whole.segments) if format == "txt" else expected)


def test_a_look_ahead(stream, tmp_path):
    """Open sentences are those of a stream of it, the latency counts it; one that the model lacks is refused."""
    folder = make_result(tmp_path / "run", *FAMILIES["ssm"])
    recognizer, samples, found = Recognizer.from_folder(folder), load(CLIP), {}
    for look_ahead in (240, 0):
        streamer, found[look_ahead] = Streamer(recognizer, look_ahead), [""]
        for at in range(0, len(samples), SAMPLE_RATE // 5):
            streamer.feed(samples[at : at + SAMPLE_RATE // 5])
            if streamer.text != found[look_ahead][-1]:
                found[look_ahead].append(streamer.text)
        status, out, err = stream(folder, CLIP, "--look-ahead", look_ahead, "--format", "json")
        said = [line["text"] for line in map(json.loads, out.splitlines()) if line["type"] == "partial"]
        assert (status, ["", *said]) == (0, found[look_ahead])
        assert f"(look-ahead {look_ahead + 12.5} + chunk 200)" in err
    assert found[240][-1] != found[0][-1]
    status, out, err = stream(folder, CLIP, "--look-ahead", 80)
    assert (status, out) == (2, "") and err.startswith("error: ") and err.splitlines()[1:] == []
    assert "80 ms is not one of the model's: it has 240, 0; give one of these" in err


def test_hotwords_and_other_texts(stream, causal):
    """A sentence that is over is what `transcribe` writes with the same wishes; txt has no place for other texts."""
    asked = ("--nbest", 2, "--hotwords", "mama,baba", "--hotword-weight", 3)
    (whole,) = (
        Recognizer.from_folder(causal).wishing(nbest=2, hotwords=(("mama", 12.0), ("baba", 12.0))).transcribe([CLIP])
    )
    assert len(whole.segments[0].alternatives) == 2
    assert stream(causal, CLIP, "--format", "tsv", *asked)[1] == formats.write(whole, "tsv")
    final = json.loads(stream(causal, CLIP, "--format", "json", *asked)[1].splitlines()[-1])
    assert [a["text"] for a in final["alternatives"]] == [a.text for a in whole.segments[0].alternatives]
    status, out, err = stream(causal, CLIP, *asked)
    assert status != 0 and not out and "give --format json" in err


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


class Scripted:
    """A `LiveStream` that says these texts of its open sentence, and nothing of it in the end."""

    latency = ""

    def __init__(self, texts):
        self.text, self._texts = "", iter(texts)

    def feed(self, _):
        self.text = next(self._texts, self.text)
        return []

    def finish(self):
        self.text = ""
        return []


def test_columns_of_a_terminal(causal, monkeypatch):
    """Full-width letters take two and marks none; a sentence without a text in the end leaves an empty line."""
    screen = io.StringIO()
    screen.isatty = lambda: True
    monkeypatch.setattr(sys, "stdout", screen)
    monkeypatch.setenv("COLUMNS", "8")
    thai, accents = "กิกิกิกิกิกิกิ", "abcdefge\u0301e\u0301"
    texts = ["語語", "語語語語", thai, thai + "ก", accents]
    monkeypatch.setattr(endpointing, "LiveStream", lambda *_: Scripted(texts))
    assert cli.main(["stream", str(causal), str(CLIP)]) == 0
    said = screen.getvalue().split("\r\033[K")
    assert said == ["", "語語", "…語語語", thai, "…" + thai[4:] + "ก", "…" + accents[3:], ""]


def test_programs_are_told_of_a_text_that_came_to_nothing(stream, causal, monkeypatch):
    monkeypatch.setattr(endpointing, "LiveStream", lambda *_: Scripted(["baba"]))
    lines = [json.loads(line) for line in stream(causal, CLIP, "--format", "json")[1].splitlines()]
    assert [(line["type"], line["text"]) for line in lines] == [("partial", "baba"), ("partial", "")]


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
        [
            sys.executable,
            "-m",
            "serenanet_modules.cli",
            "stream",
            str(causal),
            "microphone",
            "--chunk-ms",
            "500",
            *("--format", "json"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | path,
    )
    first = json.loads(process.stdout.readline())
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=100)
    last = json.loads(out.splitlines()[-1])
    assert process.returncode == 0 and last["type"] == "final" and last["text"].startswith(first["text"]) != ""
    assert re.fullmatch(LATENCY, err)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


def test_what_cannot_be_streamed_is_one_sentence(stream, causal, tmp_path):
    still = make_random_result(tmp_path / "still", preset("conmamba_ctc/small"), *TINY)
    (tmp_path / "text.mp3").write_text("no audio")
    for arguments, words in (
        ((still, CLIP), "; to stream, train ssm.yaml, fast_conformer_streaming.yaml or conmamba_causal.yaml"),
        ((causal, tmp_path / "no.wav"), "no.wav: there is no such file"),
        ((causal, tmp_path / "text.mp3"), "text.mp3: this cannot be read as audio"),
        ((causal, CLIP, "--chunk-ms", "0"), "--chunk-ms: '0' is not a number above 0"),
        ((causal, CLIP, "--chunk-ms", "nan"), "'nan' is not"),
        (
            (causal, CLIP, "--rule2-min-trailing-silence", "0.1"),
            "rule2_min_trailing_silence is 0.1; give 0.2 s or more",
        ),
        ((causal, CLIP, "--look-ahead", "240"), "it has one only; leave it out"),
        ((causal, CLIP, "--lm", tmp_path / "no.arpa"), "no.arpa: no such language model"),
        ((tmp_path / "nowhere", CLIP), "nowhere: there is no such folder"),
    ):
        status, out, err = stream(*arguments)
        assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1 and words in err


def test_silence_is_no_line(stream, causal, monkeypatch):
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO()))
    status, out, err = stream(causal, "-")
    assert (status, out) == (0, "") and "over 0.0 s" in err


def test_what_was_heard_before_a_bad_part_is_said(stream, causal, monkeypatch, text):
    """A source that breaks off is one sentence on stderr, behind all that came before."""

    def broken(source, seconds):
        yield load(CLIP)
        raise UserError("the wire was cut")

    monkeypatch.setattr(live, "chunks", broken)
    assert stream(causal, "-") == (2, f"{text}\n", "error: the wire was cut\n")
