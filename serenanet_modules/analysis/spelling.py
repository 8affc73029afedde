"""What a text rule makes of a corpus: marks, characters and numbers that do not stay as they were written."""

import re
import unicodedata
from collections import Counter, defaultdict
from typing import NamedTuple

from serenanet_modules.data.text.marks import marks, without_marks

AROUND = 16  # characters on each side of an example
ASIDE = re.compile(r"\([^()\n]*\)")
UNSURE = re.compile(  # phone numbers, dates, times, ranges, groups of digits: said in more than one way
    r"(?<!\w)\+?\d+(?:[./:,\u2013-]\d+)+(?!\w)|(?<!\w)\+\d+|(?<!\w)\d+(?:[ \u00a0\u202f]\d+)+(?!\w)"
)


class Found(NamedTuple):
    """Something in texts: how often, and the surroundings where it stands first."""

    what: str
    count: int
    example: str


def _found(pairs):
    """`Found` of (what, example) pairs, the commonest first."""
    counts, examples = Counter(), {}
    for what, example in pairs:
        counts[what] += 1
        examples.setdefault(what, example)
    return [Found(what, count, examples[what]) for what, count in counts.most_common()]


def left_out(clips):
    """Transcribers' marks, which no text rule keeps: a list of `Found`."""
    return _found(
        (mark, _around(raw, raw.index(mark))) for raw in (clip.candidate.text for clip in clips) for mark in marks(raw)
    )


def asides(clips):
    """What stands in round brackets and is taken as said: a list of `Found`."""
    texts = (without_marks(clip.candidate.text) for clip in clips)
    return _found((m[0], _around(text, m.start())) for text in texts for m in ASIDE.finditer(text))


def numbers(clips):
    """Numbers that can be said in several ways, and as an example how they are read: a list of `Found`."""
    texts = ((without_marks(clip.candidate.text), clip.text[:60]) for clip in clips)
    return _found((m[0], read) for text, read in texts for m in UNSURE.finditer(text))


def changed(clips):
    """Characters that a text rule leaves out or writes otherwise: a list of `Found`, punctuation last.

    Upper and lower case are one, and so are Unicode's forms of a character.
    """
    counts, examples = Counter(), defaultdict(str)
    for clip in clips:
        raw = unicodedata.normalize("NFC", without_marks(clip.candidate.text))
        lost = Counter(unicodedata.normalize("NFC", raw.lower())) - Counter(clip.text)
        for character, count in lost.items():
            if not character.isspace():
                counts[character] += count
                examples[character] = examples[character] or _around(raw, max(0, raw.lower().find(character)))
    order = sorted(counts, key=lambda c: (unicodedata.category(c)[0] == "P", -counts[c], c))
    return [Found(character, counts[character], examples[character]) for character in order]


def _around(text, place):
    start, end = max(0, place - AROUND), place + AROUND
    inside = " ".join(text[start:end].split())
    return ("…" if start else "") + inside + ("…" if end < len(text) else "")
