"""Sources come in pieces, and no more of them is held than was asked for."""

import numpy as np
import soundfile

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.sources import End, Piece, read, windows
from serenanet_modules.errors import UserError


def tone(seconds):
    return (0.1 * np.sin(np.arange(int(seconds * SAMPLE_RATE)) / 7)).astype(np.float32)


def test_windows_read_ahead_no_further_than_they_hold():
    """An endless iterator of sources is fine: before each window only its own were taken."""
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield tone(10)

    pieces = 0
    for window, _ in zip(windows(endless(), 60), range(6), strict=False):
        inside = sum(isinstance(event, Piece) for event in window)
        pieces += inside
        assert inside in (0, 6) and taken == pieces
    assert pieces >= 18


def test_a_long_file_is_read_in_windows(tmp_path):
    """Of a file much longer than a window, a window is held; together they are the file."""
    rng = np.random.default_rng(0)
    samples = (0.1 * rng.standard_normal(44100 * 200)).astype(np.float32)
    soundfile.write(tmp_path / "long.flac", np.stack([samples, samples], axis=1), 44100)
    found = list(windows([tmp_path / "long.flac"], 60))
    pieces = [event for window in found for event in window if isinstance(event, Piece)]
    assert len(found) > 2 and max(sum(p.seconds for p in w if isinstance(p, Piece)) for w in found) <= 60 + 30
    at = 0
    for piece in pieces:
        assert piece.start == at / SAMPLE_RATE
        at += len(piece.samples)
    assert found[-1][-1] == End(at / SAMPLE_RATE)
    assert np.array_equal(np.concatenate([p.samples for p in pieces]), load(tmp_path / "long.flac"))


def test_what_goes_wrong_late_ends_that_source_alone(tmp_path):
    """A sample that is no number, in the second minute: the pieces before it are followed by the reason."""
    samples = tone(100)
    samples[90 * SAMPLE_RATE] = np.nan
    soundfile.write(tmp_path / "bad.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    events = [event for window in windows([tmp_path / "bad.wav", tone(1)], 40) for event in window]
    assert isinstance(events[0], Piece) and events[-1] == End(1.0)
    (error,) = [event.error for event in events if isinstance(event, End) and event.error]
    assert isinstance(error, UserError) and "not a number" in str(error)


def test_channels_and_rates_of_arrays():
    """Blocks together are the samples at 16 kHz, channels averaged."""
    samples = tone(70)
    stereo = np.stack([samples, 0 * samples], axis=1)
    blocks = list(read((stereo, SAMPLE_RATE)))
    assert len(blocks) == 3 and np.allclose(np.concatenate(blocks), samples / 2)
    assert abs(sum(map(len, read((samples, 8000)))) - 2 * len(samples)) <= 2
