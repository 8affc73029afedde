"""Texts as they were written: with the capitals and the punctuation that a language's rule leaves out.

The rule says the words, so numbers are words and accents go where it has them so; of the text as it stood come only
the case of its letters, and the marks behind its words. So the rule makes of the result what it makes of the text.
"""

import re
import unicodedata
from collections.abc import Callable
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

from serenanet_modules.data.text.characters import drop_invisible, plain_apostrophes

MARKS = ".,?!:;…،؛؟।॥።፣፤"  # that stand behind a word; behind one of them comes a space or the end
WIDE = "。，、？！：；"  # of scripts without spaces, where anything may follow
CLOSING = "\"'”’»)]}›"  # which may stand between a mark and the space
STOP = re.compile(f"([{MARKS}]+)(?=[{re.escape(CLOSING)}]*(?:\\s|$))|([{WIDE}]+)")
PIECE = re.compile(r"[^\W\d_](?:[^\W\d_]|['\u0300-\u036f])*")
LOUDEST = "?؟？!！…"  # of several marks, the first of these stands for all


class Style(NamedTuple):
    """What is kept of a text.

    Attributes
    ----------
    case : str
        ``keep`` or ``lower``.
    punctuation : str
        ``keep`` or ``drop``.
    marks : str
        Transcribers': ``keep`` makes each a word of its own.
    """

    case: str = "lower"
    punctuation: str = "drop"
    marks: str = "drop"

    @classmethod
    def of(cls, settings):
        """That of a run's hyper-parameters ``text_case``, ``punctuation`` and ``marks``."""
        return cls(*(settings.get(name, usual) for name, usual in PLAIN.named.items()))

    @property
    def named(self):
        """As hyper-parameters."""
        return {"text_case": self.case, "punctuation": self.punctuation, "marks": self.marks}

    @property
    def written(self):
        """Whether capitals or punctuation stay."""
        return (self.case, self.punctuation) != (PLAIN.case, PLAIN.punctuation)


PLAIN = Style()


def styled(rule: Callable[[str], str], style: Style) -> Callable[[str], str]:
    """A language's rule, which keeps capitals and punctuation as a style has it.

    Parameters
    ----------
    rule : callable
        From a text to its words, idempotent.
    style : Style

    Examples
    --------
    >>> from serenanet_modules.data.text import sw
    >>> keep = styled(sw.normalise, Style("keep", "keep"))
    >>> keep("«Ng’ombe 21»,  alisema Juma; MTV?!")
    "Ng'ombe ishirini na moja, alisema Juma; MTV?"
    >>> styled(sw.normalise, Style("lower", "keep"))("Ndiyo, Bwana..."), styled(sw.normalise, PLAIN)("Ndiyo, Bwana")
    ('ndiyo, bwana…', 'ndiyo bwana')
    """
    if not style.written:
        return rule
    word_of = lru_cache(2**16)(rule)

    def written(text):
        text = plain_apostrophes(drop_invisible(unicodedata.normalize("NFC", text)), "’‘‛`´′＇'")
        found = []
        for stretch, mark in _stretches(text) if style.punctuation == "keep" else [(text, "")]:
            words = rule(stretch).split()
            if style.case == "keep":
                words = _cased(words, PIECE.findall(stretch), word_of)
            if words:
                words[-1] += mark
            found += words
        return re.sub(f"(?<=[{WIDE}]) ", "", " ".join(found))

    return written


def unmarked(words):
    """Of words those that no mark of a sentence stands behind.

    Examples
    --------
    >>> unmarked(["हिन्दी", "हिन्दी।", "தமிழ்", "தமிழ்.", "ng'", "Juma?"])
    ['हिन्दी', 'தமிழ்', "ng'"]
    """
    return [word for word in words if word[-1] not in MARKS + WIDE]


def _stretches(text):
    """Yield what stands between marks, each with the mark that ends it."""
    at = 0
    for stop in STOP.finditer(text):
        yield text[at : stop.start()], _one(stop[0])
        at = stop.end()
    yield text[at:], ""


def _one(marks):
    """The mark that stands for several."""
    if marks.startswith(".."):
        return "…"
    return next((mark for mark in LOUDEST if mark in marks), marks[-1])


def _cased(words, pieces, word_of):
    """Words with the case of the pieces of text that they come from."""
    plain = [word_of(piece) for piece in pieces]
    words = list(words)
    for before, at, count in SequenceMatcher(None, plain, words, autojunk=False).get_matching_blocks():
        for k in range(count):
            words[at + k] = _like(words[at + k], pieces[before + k], word_of)
    return words


def _like(word, piece, word_of):
    """A word with the case of a piece, where the rule makes of that the word again."""
    if len(word) == len(piece):
        cased = "".join(
            a.upper() if b.isupper() and len(a.upper()) == 1 else a for a, b in zip(word, piece, strict=True)
        )
    elif piece.isupper() and len(piece) > 1:
        cased = word.upper()
    else:
        cased = word[0].upper() + word[1:] if piece[0].isupper() else word
    return next((found for found in (cased, piece) if word_of(found) == word), word)
