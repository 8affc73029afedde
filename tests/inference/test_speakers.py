"""Who speaks: windows, groups, turns, and transcripts in every format."""

import json
import os

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from serenanet_modules.cli import main
from serenanet_modules.data.annotations import elan, formats
from serenanet_modules.errors import UserError
from serenanet_modules.inference.formats import write
from serenanet_modules.inference.speakers import AUTO, Voices, embedded, grouped, named, sequence
from serenanet_modules.inference.transcript import Segment, Token, Transcript, Word
from serenanet_modules.lobes.speaker_encoder import SpeakerEncoder
from serenanet_modules.runs.speaker_weights import STATE, VARIABLE


def encoder(wavs):
    """A stand-in that tells low voices from high ones: power in eight bands."""
    power = torch.fft.rfft(wavs).abs().square()[:, :12800].unflatten(1, (8, -1)).sum(2)
    return torch.nn.functional.normalize(power, dim=1)


def voice(hertz, seconds):
    """A tone with overtones, and noise."""
    t = np.arange(int(16000 * seconds)) / 16000
    tones = sum(np.sin(2 * np.pi * hertz * k * t) / k for k in range(1, 5))
    return (0.2 * tones + 0.01 * np.random.default_rng(0).normal(size=len(t))).astype(np.float32)


@pytest.fixture(scope="module")
def talk():
    """A low voice up to 6 s, a high one up to 12 s, and again the low one up to 15 s."""
    return np.concatenate([voice(120, 6), voice(1500, 6), voice(120, 3)])


def said(start, end, text):
    """A segment whose words are a second long."""
    words = [Word(w, start + i, start + i + 0.9, 0.9) for i, w in enumerate(text.split())]
    tokens = [Token(f" {w.text}", w.start, w.end, 0.8) for w in words]
    return Segment(text, start, end, 0.9, tuple(words), tuple(tokens))


@pytest.fixture(scope="module")
def transcript():
    segments = said(0.0, 4.9, "a b c d e"), said(5.0, 10.9, "f g h i j k"), said(12.0, 14.9, "l m n")
    return Transcript("a b c d e f g h i j k l m n", 15.0, segments)


def test_words_belong_to_who_speaks(talk, transcript):
    found = named(transcript, talk, 2, encoder)
    assert found.text == "speaker 1: a b c d e f\nspeaker 2: g h i j k\nspeaker 1: l m n"
    assert found.words == transcript.words and found.tokens == transcript.tokens
    assert [s.text for s in found.segments] == ["a b c d e", "f", "g h i j k", "l m n"]
    whole = named(transcript, talk, 2, encoder, whole=True)
    assert [(s.start, s.speaker) for s in whole.segments] == [
        (0.0, "speaker 1"),
        (5.0, "speaker 2"),
        (12.0, "speaker 1"),
    ]
    alone = named(transcript, talk, 1, encoder)
    assert {s.speaker for s in alone.segments} == {"speaker 1"}
    nothing = Transcript("", 1.0, ())
    assert named(nothing, np.zeros(16000, np.float32), AUTO, encoder) == nothing


def test_every_format_says_who(talk, transcript, tmp_path):
    found = named(transcript, talk, 2, encoder)
    assert [s["speaker"] for s in json.loads(write(found, "json"))["segments"]].count("speaker 1") == 3
    assert "[speaker 2] g h i j k" in write(found, "srt") and "<v speaker 2>g h i j k" in write(found, "vtt")
    for kind in ("tsv", "vtt", "eaf"):
        path = tmp_path / f"talk.{kind}"
        path.write_text(write(found, kind, "talk.wav"), encoding="utf-8")
        assert {tier.participant for tier in formats.read(path)[0].tiers} == {"speaker 1", "speaker 2"}
    words = {t.participant: [a.text for a in t.annotations] for t in elan.read(path)[0].tiers if t.type == "words"}
    assert words["speaker 2"] == ["g", "h", "i", "j", "k"]
    assert '"words speaker 1"' in write(found, "textgrid")
    assert {row.split()[1] for row in write(found, "ctm").splitlines()} == {"1", "2"}


def test_windows_cover_what_sounds(talk):
    """Whole recordings, those shorter than a window, and without silence."""
    starts, vectors = embedded(talk, encoder)
    assert_array_equal(np.diff(starts)[:-1].round(6), 0.4)
    assert starts[0] == 0 and starts[-1] + 1.6 == 15 and vectors.shape == (len(starts), 8)
    assert len(embedded(talk[:4000], encoder)[0]) == 1
    quiet = np.concatenate([voice(120, 3), np.zeros(160000, np.float32)])
    assert embedded(quiet, encoder)[0].max() < 3


def test_groups_and_sequence():
    rng = np.random.default_rng(0)
    middles = np.eye(3, 8)
    truth = np.repeat([0, 1, 2, 0], 40)
    vectors = middles[truth] + rng.normal(0, 0.05, (len(truth), 8))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    for count in (3, AUTO):
        groups = grouped(vectors, count)
        labels = sequence(vectors, groups)
        assert len(groups) == 3 and all(len(set(labels[truth == i])) == 1 for i in range(3))
    vectors[10] = 0.45 * middles[0] + 0.55 * middles[1]  # one unsure window changes no turn
    assert len(set(sequence(vectors, grouped(vectors, 3))[:40])) == 1
    with pytest.raises(UserError, match="--speakers 9: the recording is too short for so many .3 windows"):
        grouped(vectors[:3], 9)


def test_the_command(recognizer, clips, tmp_path, monkeypatch, capsys):
    torch.save({STATE: SpeakerEncoder().state_dict()}, tmp_path / "pretrained.pt")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "pretrained.pt"))
    command = ["transcribe", str(recognizer.folder), str(clips[0])]
    assert main([*command, "--format", "json", "--speakers", "1"]) == 0
    assert {s["speaker"] for s in json.loads(capsys.readouterr().out)["segments"]} == {"speaker 1"}
    for wrong, why in ((["--speakers", "0"], "number from 1"), (["--speakers", "2", "--channel", "each"], "already")):
        assert main([*command, *wrong]) != 0
        assert why in capsys.readouterr().err


@pytest.mark.skipif(VARIABLE not in os.environ, reason=f"{VARIABLE} names no public weights")
def test_public_weights_tell_readers_apart(clips):
    """A clip, itself slower, which is another voice, and itself again."""
    from serenanet_modules.data.audio import load
    from serenanet_modules.runs.speaker_weights import speaker_encoder

    one = np.tile(load(clips[0]), 3)
    other = np.interp(np.arange(0, len(one), 0.75), np.arange(len(one)), one).astype(np.float32)
    voices = Voices(np.concatenate([one, other, one]), AUTO, speaker_encoder())
    at = np.array([len(one) / 2, len(one) + len(other) / 2, 1.5 * len(one) + len(other)]) / 16000
    first, second, third = (voices.of(t - 1, t + 1) for t in at)
    assert first == third != second
