"""Channels and sound tracks: each is heard alone, and who speaks stands in every format."""

import json
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from serenanet_modules.cli import main
from serenanet_modules.data.annotations import elan, formats
from serenanet_modules.data.audio import AudioError, channels, load
from serenanet_modules.data.sources import Part, read
from serenanet_modules.inference.channels import parts, transcribe_parts
from serenanet_modules.inference.formats import write


@pytest.fixture(scope="module")
def stereo(tmp_path_factory, clips):
    """A clip on each channel."""
    left, right = (load(clip) for clip in clips[:2])
    samples = np.zeros((max(len(left), len(right)) + 4000, 2), np.float32)
    samples[: len(left), 0], samples[4000 : 4000 + len(right), 1] = left, right
    path = tmp_path_factory.mktemp("stereo") / "two.wav"
    soundfile.write(path, samples, 16000, subtype="FLOAT")
    return path


def test_a_channel_is_heard_alone(stereo):
    left, right = soundfile.read(stereo, dtype="float32")[0].T
    for name, samples in (("left", left), ("right", right), ("2", right), ("mix", (left + right) / 2)):
        np.testing.assert_array_equal(np.concatenate([*read(parts(stereo, name)[""])]), samples)
    with pytest.raises(AudioError, match="two.wav: it has no such channel .it has 2, and so no 3"):
        list(read(parts(stereo, "3")[""]))
    assert channels(stereo) == 2 and list(parts(stereo, "each")) == ["left", "right"]


def test_each_channel_is_a_speaker_in_every_format(recognizer, stereo, tmp_path, capsys):
    """Each channel's words are those that it has alone."""
    found = transcribe_parts(recognizer, parts(stereo, "each"))
    alone = {name: recognizer.transcribe([Part(stereo, i)])[0] for i, name in enumerate(("left", "right"))}
    assert {speaker: found.of(speaker).words for speaker in found.speakers} == {n: t.words for n, t in alone.items()}
    assert found.text == f"left: {alone['left'].text}\nright: {alone['right'].text}"
    assert {s["speaker"] for s in json.loads(write(found, "json"))["segments"]} == {"left", "right"}
    rows = [line.split()[1:] for line in write(found, "ctm", "two.wav").splitlines()]
    numbered = zip("12", alone.values(), strict=True)
    assert [(row[0], row[3]) for row in rows] == [(c, w.text) for c, t in numbered for w in t.words]
    assert "[left] " in write(found, "srt") and "<v right>" in write(found, "vtt")
    for kind in ("tsv", "vtt", "eaf"):
        path = tmp_path / f"two.{kind}"
        path.write_text(write(found, kind, "two.wav"), encoding="utf-8")
        assert {tier.participant for tier in formats.read(path)[0].tiers} == {"left", "right"}
    assert "phrases left" in write(found, "textgrid")
    assert main(["transcribe", str(recognizer.folder), str(stereo), "--channel", "each", "--format", "eaf"]) == 0
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    words = {t.participant: [a.text for a in t.annotations] for t in elan.read(path)[0].tiers if t.type == "words"}
    assert words == {name: [w.text for w in t.words] for name, t in alone.items()}


def test_channels_in_which_nobody_speaks(recognizer, tmp_path, capsys):
    """Are counted as any other recording without speech, though the text names them."""
    soundfile.write(tmp_path / "quiet.wav", np.zeros((16000, 2)), 16000)
    more = ["--channel", "each", "--out", str(tmp_path / "out")]
    assert main(["transcribe", str(recognizer.folder), str(tmp_path / "quiet.wav"), *more]) == 0
    assert ": 1 file; 1 recording without speech" in capsys.readouterr().err


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
def test_a_sound_track_is_heard_by_number_or_language(tmp_path):
    for name, hertz in (("a", 300), ("b", 900)):
        soundfile.write(tmp_path / f"{name}.wav", 0.5 * np.sin(2 * np.pi * hertz * np.arange(8000) / 16000), 16000)
    path = tmp_path / "two.mka"
    languages = ("-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=swa")
    languages += ("-disposition:a:0", "0", "-disposition:a:1", "default")
    inputs = ("-i", tmp_path / "a.wav", "-i", tmp_path / "b.wav", "-map", "0", "-map", "1")
    subprocess.run(["ffmpeg", "-v", "error", *inputs, *languages, "-c:a", "pcm_s16le", path], check=True)

    def hertz(track):
        samples = np.concatenate([*read(Part(path, None, track))])
        return round(np.abs(np.fft.rfft(samples)).argmax() * 16000 / len(samples))

    assert [hertz(track) for track in (None, "1", "2", "swa", "eng")] == [300, 300, 900, 900, 300]
    assert hertz("default") == 900  # as the container says
    for track in ("3", "fra", "0", "../x", "[0:v]"):
        with pytest.raises(AudioError, match="two.mka"):
            hertz(track)
    with pytest.raises(AudioError, match="it has one track, 1, and no 2"):
        list(read(Part(tmp_path / "a.wav", None, "2")))
