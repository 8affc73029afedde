"""Audio is read in pieces and batches, and what was heard of each source comes in order."""

import weakref
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.decoding.network import WINDOW, Network
from serenanet_modules.errors import UserError

MODEL = SimpleNamespace(acoustic=SimpleNamespace(most_seconds=None, least_seconds=0.0))
NETWORK = Network({"model": MODEL}, "cpu")  # what is heard is the tests' own


@pytest.mark.parametrize(
    ("begins", "expected"),
    [
        ([0, 320, 640], [2.0, 2.02, 2.04, 2.05]),
        ([0, 320, 800], [2.0, 2.02, 2.035, 2.05]),  # the last begins where the piece ends
        ([0, 320, 800, 1120], [2.0, 2.02, 2.03, 2.04, 2.05]),
        ([0], [2.0, 2.05]),
    ],
)
def test_every_frame_has_a_time(begins, expected):
    """Also where a piece is a whole number of frames long, and there is one more."""
    output = SimpleNamespace(edges=torch.tensor([[*begins, 2000]]), lengths=torch.tensor([len(begins)]))
    piece = SimpleNamespace(start=2.0, seconds=0.05)
    assert NETWORK.edges([piece], output) == [pytest.approx(expected)]


def noise(seconds, level=0.1):
    return (level * np.random.default_rng(0).standard_normal(round(seconds * SAMPLE_RATE))).astype(np.float32)


@pytest.mark.parametrize("batch_seconds", [0.5, 9.0, 500.0])
def test_pieces_come_back_in_order(batch_seconds):
    """Whatever the batches, which hold pieces of about equal length and no more padding than asked for."""
    sources = [noise(2), noise(25), noise(0.1), noise(7)]

    def hear(pieces):
        longest = max(piece.seconds for piece in pieces)
        assert len(pieces) == 1 or longest * len(pieces) <= batch_seconds
        return [(piece.start, piece.seconds) for piece in pieces]

    found = list(NETWORK.read(sources, hear, 4.0, batch_seconds))
    for source, (end, heard) in zip(sources, found, strict=True):
        assert end.duration == len(source) / SAMPLE_RATE
        assert all(seconds <= 4.0 for _, seconds in heard)
        starts = np.cumsum([0.0, *(seconds for _, seconds in heard)])
        assert [start for start, _ in heard] == pytest.approx(starts[:-1]) and starts[-1] == pytest.approx(end.duration)


def test_silence_and_errors_stand_in_their_place():
    """Silence is not heard; what is wrong with one source leaves the others alone."""
    pause = np.concatenate([noise(4), np.zeros(8 * SAMPLE_RATE, np.float32), noise(4)])
    found = list(NETWORK.read([pause, np.full(9, np.nan), noise(1)], lambda pieces: ["heard"] * len(pieces), 4.0))
    assert found[0][1][0] == found[0][1][-1] == "heard" and None in found[0][1]
    assert isinstance(found[1][0].error, UserError) and found[1][1] == []
    assert found[2][1] == ["heard"]
    ((_, heard),) = NETWORK.read(
        [pause], lambda pieces: ["heard"] * len(pieces), 4.0, silence=lambda piece: piece.seconds
    )
    assert {type(result) for result in heard} == {str, float}


def test_audio_that_was_heard_is_let_go():
    """Of a long source no more than a window is held."""
    given, most = [], 0.0

    def hear(pieces):
        nonlocal most
        given.extend(weakref.ref(piece) for piece in pieces)
        most = max(most, sum(piece.seconds for piece in (ref() for ref in given) if piece is not None))
        return [None] * len(pieces)

    ((end, heard),) = NETWORK.read([noise(200)], hear, 3.0, 4.0)
    assert end.duration == 200 and len(heard) > 60
    assert most <= WINDOW * 4.0 + 2 * 3.0  # a piece more may be under way
