"""The flat start finds the phones of made-up speech, whose alignment is known."""

import pytest
import torch

from serenanet_modules.data.alignment import SILENCE, PhoneAligner, cepstra, spelling
from serenanet_modules.data.manifest import Utterance
from serenanet_modules.errors import UserError

MELS = 20
PHONES = list("aeioktsmn")


def speech(generator, phones, spectra):
    """(features (T, MELS), phone per frame): steady spectra of 4 to 14 frames, silence around and sometimes between."""
    pieces, truth = [], []
    for phone in [SILENCE, *phones, SILENCE]:
        count = int(torch.randint(4, 15, (1,), generator=generator)) + 15 * (phone == SILENCE)
        pieces.append(spectra[phone].expand(count, -1))
        truth += [phone] * count
        if phone != SILENCE and torch.rand(1, generator=generator) < 0.1:
            pieces.append(spectra[SILENCE].expand(6, -1))
            truth += [SILENCE] * 6
    x = torch.cat(pieces)
    return x + 0.3 * torch.randn(x.shape, generator=generator), truth


@pytest.fixture(scope="module", name="corpus")
def _corpus():
    """40 utterances of 12 random phones, neighbours now and then equal: (features, phones, truth)."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.hann_window(7)[None, None]
    spectra = {
        phone: torch.nn.functional.conv1d(torch.randn(1, 1, MELS, generator=generator), smooth, padding=3)[0, 0]
        for phone in PHONES
    }
    spectra[SILENCE] = torch.full((MELS,), -3.0)
    utterances = []
    for _ in range(40):
        phones = [PHONES[i] for i in torch.randint(len(PHONES), (12,), generator=generator)]
        x, truth = speech(generator, phones, spectra)
        utterances.append((x, phones, truth))
    return utterances


def right(aligner, utterances):
    found = [(aligner.align(cepstra(x), phones), truth) for x, phones, truth in utterances]
    hits = [aligner.phones[i] == t for path, truth in found for i, t in zip(path.tolist(), truth, strict=True)]
    return sum(hits) / len(hits)


def test_flat_start_finds_the_phones(corpus):
    """Rounds of Viterbi training turn a poor start into frames that are right, unheard utterances' too."""
    known, held_out = corpus[:32], corpus[32:]
    data = [(cepstra(x), phones) for x, phones, _ in known]
    start, trained = PhoneAligner.fit(data, rounds=0), PhoneAligner.fit(data)
    assert trained.phones == [SILENCE, *sorted(PHONES)]
    assert right(start, held_out) < right(trained, held_out) and right(trained, held_out) > 0.85


def test_paths_say_the_phones(corpus):
    """Without silence and repetition, a path reads as what was asked for, equal neighbours included."""
    aligner = PhoneAligner.fit([(cepstra(x), phones) for x, phones, _ in corpus], rounds=1)
    y = cepstra(corpus[0][0])
    for phones in ("a", "kato", "saa", "mmm"):
        path = [aligner.phones[i] for i in aligner.align(y, list(phones)).tolist()]
        said = [p for i, p in enumerate(path) if p != SILENCE and (i == 0 or path[i - 1] != p)]
        assert said == [p for i, p in enumerate(phones) if i == 0 or phones[i - 1] != p] or said == list(phones)


def test_what_cannot_be_aligned(corpus):
    """Too few frames, and phones that were never heard."""
    y = cepstra(corpus[0][0])
    aligner = PhoneAligner.fit([(y, corpus[0][1])], rounds=1)
    assert aligner.align(y[:3], list("aaaa")) is None and aligner.align(y, []) is None
    assert aligner.align(y, ["?"]) is None
    assert torch.equal(aligner.align(y, ["?", *corpus[0][1]]), aligner.align(y, corpus[0][1]))
    with pytest.raises(UserError, match="nothing to align"):
        PhoneAligner.fit([(y, [])])


def test_spelling():
    """The manifest's phonemes, else those of the locale's rules, else characters."""
    spell = spelling()
    assert spell(Utterance("u", "u", 1.0, "ng'ombe", "", "s", "sw", "train")) == ["ŋ", "o", "m", "b", "e"]
    assert spell(Utterance("u", "u", 1.0, "ng'ombe", "x | y", "s", "sw", "train")) == ["x", "y"]
    assert spell(Utterance("u", "u", 1.0, "wa bo", "", "s", "mdw", "train")) == ["w", "a", "b", "o"]
