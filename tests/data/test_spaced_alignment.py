"""Phones with silence between words alone, of made-up speech whose stops are nearly silent."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
import torch

from serenanet_modules.data.alignment import SILENCE, PhoneAligner, with_differences
from serenanet_modules.data.spaced_alignment import SpacedAligner, _best

PHONES = list("taiksu")


def ways(frames, optional):
    """Every way through the places, each for one frame or more, an optional one perhaps for none."""
    count = len(optional)
    for way in combinations_with_replacement(range(count), frames):
        if all(place in way for place in range(count) if not optional[place]):
            yield way


@pytest.mark.parametrize("optional", [(0, 0, 0), (1, 0, 0, 1), (1, 0, 1, 0, 1), (0, 1, 0), (1, 0)], ids=str)
def test_the_best_way_is_that_of_all(optional):
    generator, optional = np.random.default_rng(1), np.array(optional, bool)
    for frames in (3, 5, 7):
        scores = generator.standard_normal((frames, len(optional)))
        best = max(ways(frames, optional), key=lambda way: sum(scores[t, place] for t, place in enumerate(way)))
        assert _best(scores, optional).tolist() == list(best)


def speech(generator, spectra):
    """(cepstra (T, 39), words, phone per frame) of four words of three phones, now and then a pause between them."""
    words = [[PHONES[i] for i in torch.randint(len(PHONES), (3,), generator=generator)] for _ in range(4)]
    said = [SILENCE] * 2
    for word in words:
        said += [*word, *[SILENCE] * int(torch.rand(1, generator=generator) < 0.3)]
    truth = [phone for phone in [*said, SILENCE] for _ in range(int(torch.randint(5, 12, (1,), generator=generator)))]
    y = torch.stack([spectra[phone] for phone in truth])
    return with_differences(y + 0.4 * torch.randn(y.shape, generator=generator)), words, truth


def test_nearly_silent_phones_are_no_silence():
    """Of their frames many more are right than where silence may be anywhere, and of all frames as many."""
    generator = torch.Generator().manual_seed(0)
    spectra = {phone: 2 * torch.randn(13, generator=generator) for phone in PHONES}
    spectra[SILENCE] = torch.randn(13, generator=generator) - torch.tensor([6.0, *[0.0] * 12])
    spectra["t"] = spectra[SILENCE] + 0.3
    heard = [speech(generator, spectra) for _ in range(30)]
    all_right, stops_right = [], []
    for kind, between in ((PhoneAligner, []), (SpacedAligner, [SILENCE])):
        data = [(y, [*between, *(p for word in words for p in (*word, *between))]) for y, words, _ in heard]
        aligner = kind.fit(data, 5)
        paths = [[aligner.phones[i] for i in aligner.align(y, phones).tolist()] for y, phones in data]
        pairs = [pair for path, (*_, truth) in zip(paths, heard, strict=True) for pair in zip(path, truth, strict=True)]
        all_right.append(np.mean([one == other for one, other in pairs]))
        stops_right.append(np.mean([one == other for one, other in pairs if other == "t"]))
    assert all_right[1] > max(0.85, all_right[0]) and stops_right[1] > stops_right[0] + 0.05


def test_more_places_than_eight_bits_count():
    """A way through hundreds of phones."""
    count = 300
    scores = np.full((2 * count, count), -10.0)
    scores[np.arange(2 * count), np.arange(2 * count) // 2] = 0.0
    assert _best(scores, np.zeros(count, bool)).tolist() == [t // 2 for t in range(2 * count)]
