"""What is said by whom: an endless sequence of clips, each drawn from the seed and its number alone.

All sentences come in a random order in which every beginning has its share of dev and test, then all again, by other
voices. So threads and interruptions change nothing, and a corpus can grow.
"""

import itertools
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from serenanet_modules.data.manifest import SPLITS
from serenanet_modules.data.splitting import by_group
from serenanet_modules.errors import UserError

RATES, PITCHES, RANGES = (90, 190), (25, 75), (30, 80)  # words a minute, and espeak-ng's own 0 to 99
VOICES, ORDER, CLIP = range(3)  # what a stream of random numbers is for
MOST_VOICES = 10_000


@dataclass(frozen=True)
class Settings:
    """What decides all clips.

    Attributes
    ----------
    locale : str
    language : str
        espeak-ng's.
    voices : int
        How many speak.
    dev_share, test_share : float
        Of the sentences, and of the voices.
    seed : int
    """

    locale: str
    language: str
    voices: int = 100
    dev_share: float = 0.02
    test_share: float = 0.02
    seed: int = 1986

    @property
    def shares(self):
        """By split, those that have one."""
        held_out = self.dev_share + self.test_share
        shares = {"train": round(1 - held_out, 9), "dev": self.dev_share, "test": self.test_share}
        return {split: share for split, share in shares.items() if share}

    def random(self, *stream):
        """A generator of its own for each stream."""
        return np.random.default_rng([self.seed, *stream])


class Voice(NamedTuple):
    """Who speaks: a variant of espeak-ng's voice, its rate, pitch and range of pitch."""

    variant: str
    rate: int
    pitch: int
    range: int
    is_man: bool


class Clip(NamedTuple):
    """A sentence, who says it, and the split that both belong to."""

    number: int
    sentence: str
    voice: Voice
    split: str


def clips(sentences, variants, settings):
    """The endless sequence.

    Parameters
    ----------
    sentences : list of str
        All different.
    variants : dict of str to bool
        Of espeak-ng's voices: whether they are a man's.
    settings : Settings

    Yields
    ------
    Clip

    Raises
    ------
    UserError
        For shares that are none, and where a split would have no sentence or no voice.
    """
    splits = by_group(sentences, settings.shares, settings.seed)
    if settings.voices > MOST_VOICES:
        raise UserError(f"--voices {settings.voices}: at most {MOST_VOICES} are possible")
    if splits is None or voice_counts(settings)["train"] < 1:
        raise UserError(
            f"{len(sentences)} sentence(s) by {settings.voices} voice(s) cannot be split into "
            f"{', '.join(settings.shares)}; give more, or --dev-share 0 --test-share 0"
        )
    voices = draw_voices(variants, settings)
    numbers = itertools.count(1)
    for again in itertools.count():
        for i in _order(splits, settings.random(ORDER, again)):
            number = next(numbers)
            able = voices[splits[i]]
            chosen = able[settings.random(CLIP, number).integers(len(able))]
            yield Clip(number, sentences[i], chosen, splits[i])


def voice_counts(settings):
    """How many voices each split has; train has those that the others leave, which may be none."""
    counts = {split: max(1, round(share * settings.voices)) for split, share in settings.shares.items()}
    return counts | {"train": settings.voices - sum(count for split, count in counts.items() if split != "train")}


def draw_voices(variants, settings):
    """The voices of each split; no variant is in two.

    Returns
    -------
    dict of str to list of Voice
    """
    rng, names = settings.random(VOICES), sorted(variants)
    splits = by_group(names, settings.shares, settings.seed)
    counts, voices = voice_counts(settings), {}
    for split in filter(counts.get, SPLITS):
        own = rng.permutation([name for name, other in zip(names, splits, strict=True) if other == split])
        chosen = [str(own[i % len(own)]) for i in range(counts[split])]
        voices[split] = [Voice(name, *_manner(rng), variants[name]) for name in chosen]
    return voices


def _manner(rng):
    return [int(rng.integers(low, high, endpoint=True)) for low, high in (RATES, PITCHES, RANGES)]


def _order(splits, rng):
    """Positions in a random order, of whose every beginning each split has its share, and at least one place."""
    sizes, seen, places = Counter(splits), Counter(), {}
    shuffled = rng.permutation(len(splits)).tolist()
    for i in shuffled:
        places[i] = seen[splits[i]] / sizes[splits[i]]
        seen[splits[i]] += 1
    return sorted(shuffled, key=places.get)
