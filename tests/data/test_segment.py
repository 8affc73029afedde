"""Long audio is cut where it is quiet, and no sample is lost."""

import numpy as np
import pytest

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.segment import segment


def noise(seconds):
    return np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE)).astype(np.float32)


@pytest.mark.parametrize("seconds", [1 / SAMPLE_RATE, 0.5, 30, 30.001, 45, 60, 61.7, 180])
@pytest.mark.parametrize("max_seconds", [1, 7.3, 30])
def test_pieces_cover_all_samples_in_order(seconds, max_seconds):
    """Concatenated pieces are the audio; none is longer than asked, none a splinter of longer audio."""
    samples = noise(seconds)
    pieces = list(segment([samples], max_seconds))
    assert np.array_equal(np.concatenate(pieces), samples)
    assert all(len(piece) <= max_seconds * SAMPLE_RATE for piece in pieces)
    if len(pieces) > 1:
        assert min(map(len, pieces)) >= 0.2 * max_seconds * SAMPLE_RATE


@pytest.mark.parametrize("size", [1000, 16001, 50 * SAMPLE_RATE])
def test_how_audio_comes_in_changes_nothing(size):
    """Pieces of a stream of blocks are those of the whole, and no more is held than the promise says."""
    samples, read = noise(140), 0

    def blocks():
        nonlocal read
        for at in range(0, len(samples), size):
            read = at + size
            yield samples[at : at + size]

    whole, given = list(segment([samples], 20)), 0
    for piece, expected in zip(segment(blocks(), 20), whole, strict=True):
        assert np.array_equal(piece, expected)
        assert read - given <= 25 * SAMPLE_RATE + size
        given += len(piece)


def test_no_audio_is_no_piece():
    assert list(segment([])) == list(segment([noise(0)])) == []


def test_short_audio_stays_whole():
    samples = noise(30)
    (piece,) = segment([samples])
    assert len(piece) == len(samples)


def test_pieces_are_views():
    """An hour of audio is not copied."""
    samples = noise(70)
    assert all(np.shares_memory(piece, samples) for piece in segment([samples]))


def test_cuts_lie_in_the_pauses():
    """Speech with a quarter of a second of near silence every eight seconds is cut only there."""
    samples = noise(100)
    pauses = np.arange(8, 100, 8)
    for pause in pauses:
        samples[round(pause * SAMPLE_RATE) : round((pause + 0.25) * SAMPLE_RATE)] *= 0.01
    cuts = np.cumsum([len(piece) for piece in segment([samples])])[:-1] / SAMPLE_RATE
    assert len(cuts) >= 3
    for cut in cuts:
        assert np.any((cut > pauses) & (cut < pauses + 0.25))


def test_a_click_in_a_pause_does_not_move_the_cut_into_speech():
    """One quiet frame between loud ones is no pause."""
    samples = noise(40)
    samples[18 * SAMPLE_RATE : 18 * SAMPLE_RATE + 160] = 0
    samples[22 * SAMPLE_RATE : round(22.4 * SAMPLE_RATE)] *= 0.05
    first = next(segment([samples]))
    assert 22 < len(first) / SAMPLE_RATE < 22.4


def test_silence_is_cut_late():
    """Where everything is equally quiet, pieces are long."""
    pieces = list(segment([np.zeros(100 * SAMPLE_RATE, np.float32)]))
    assert len(pieces) == 4


def test_too_short_a_limit_is_refused():
    with pytest.raises(ValueError, match="max_seconds is 0.5"):
        next(segment([noise(2)], 0.5))
