"""Silence has no text, whatever the network would make of it."""

import numpy as np
import pytest
import soundfile

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from tests.support.folders import make_random_result
from tests.support.presets import preset

SMALL = [("encoder.n_layers", "1"), ("d_model", "32")]


@pytest.fixture(scope="module")
def babbler(tmp_path_factory):
    """A random causal model that says something of any sound."""
    folder = tmp_path_factory.mktemp("runs") / "1"
    return Recognizer.from_folder(make_random_result(folder, preset("conmamba_causal/small"), *SMALL, blank=20.0))


def noise(seconds, level):
    return (level * np.random.default_rng(0).uniform(-1, 1, round(seconds * SAMPLE_RATE))).astype(np.float32)


QUIET = {
    "zeros": np.zeros(2 * SAMPLE_RATE, np.float32),
    "one sample": np.zeros(1, np.float32),
    "a minute": np.zeros(60 * SAMPLE_RATE, np.float32),
    "dither of 16 bits": noise(2, 2**-15),
    "-81 dBFS": noise(2, 9e-5),
    "the noise of a room": noise(2, 9e-3),
    "that noise after zeros": np.concatenate([np.zeros(SAMPLE_RATE, np.float32), noise(2, 1e-3)]),
    "an offset": np.full(2 * SAMPLE_RATE, -0.1, np.float32),
    "-81 dBFS on an offset": noise(2, 9e-5) + np.float32(0.1),
}


@pytest.mark.parametrize("name", QUIET)
def test_silence_yields_silence(babbler, tmp_path, name):
    """As samples, from a file, beside speech, with a beam search, and streamed."""
    sound = noise(2, 0.3)
    (alone,) = babbler.transcribe([sound])
    assert alone.text  # else nothing is proved
    soundfile.write(tmp_path / "a.wav", QUIET[name], SAMPLE_RATE, subtype="FLOAT")
    first, between, last = babbler.transcribe([QUIET[name], sound, tmp_path / "a.wav"])
    assert (first.text, first.segments, last.text, last.segments) == ("", (), "", ())
    assert between.text == alone.text and first.duration == len(QUIET[name]) / SAMPLE_RATE
    streamer = Streamer(babbler)
    assert streamer.feed(QUIET[name]) == "" and streamer.finish() == first


@pytest.mark.parametrize(("gain", "offset"), [(0.01, 0.0), (0.003, 0.0), (0.01, 0.1)])
def test_quiet_speech_is_no_silence(babbler, gain, offset):
    """What is 40 or 50 dB quieter, or stands on an offset, is heard as it was; streamed too."""
    sound = noise(3, 0.5) * np.repeat(noise(0.01, 1.0) ** 2, 300)
    (alone,) = babbler.transcribe([sound])
    changed = (gain * sound + offset).astype(np.float32)
    (found,) = babbler.transcribe([changed])
    assert found.text == alone.text != ""
    streamer = Streamer(babbler)
    streamer.feed(changed)
    assert streamer.finish().text == alone.text


def test_an_hour_of_silence_costs_no_network(babbler, monkeypatch):
    monkeypatch.setattr(babbler, "posteriors", lambda pieces: pytest.fail("the network was asked"))
    (found,) = babbler.transcribe([np.zeros(3600 * SAMPLE_RATE, np.float32)])
    assert (found.text, found.duration) == ("", 3600.0)


def test_silence_before_speech_takes_nothing_from_it(babbler):
    """Streamed, text is held back until something is heard; then it is that of the whole, as offline."""
    samples = np.concatenate([np.zeros(SAMPLE_RATE, np.float32), noise(2, 0.3)])
    (offline,) = babbler.transcribe([samples])
    streamer = Streamer(babbler)
    texts = [streamer.feed(part) for part in np.array_split(samples, 12)]
    assert texts[:3] == ["", "", ""]
    assert streamer.finish().text == offline.text
