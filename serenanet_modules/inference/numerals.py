"""Numbers in transcripts as digits, where a reader wants them so."""

from dataclasses import replace

from serenanet_modules.inference.transcript import Word


def in_digits(segment, rule):
    """A segment with its numbers as digits, in its text, its words and its other texts.

    The words of a number become one, which lasts from the first to the last and is as sure as the least sure of them;
    what may stand in their place is left out. Tokens stay.

    Parameters
    ----------
    segment : Segment
    rule : callable
        As `data.text.digits.digits` gives it.

    Examples
    --------
    >>> from serenanet_modules.data.text.digits import digits
    >>> from serenanet_modules.inference.transcript import Segment
    >>> words = tuple(Word(text, at, at + 0.5, 0.9) for at, text in enumerate("saa kumi na moja usiku".split()))
    >>> found = in_digits(Segment("saa kumi na moja usiku", 0.0, 4.5, 0.9, words, ()), digits("sw"))
    >>> found.text, [(word.text, word.start, word.end) for word in found.words]
    ('saa 11 usiku', [('saa', 0, 0.5), ('11', 1, 3.5), ('usiku', 4, 4.5)])
    """
    words = tuple(
        part[0] if len(part) == 1 and part[0].text == text else _one(part, text)
        for part, text in ((segment.words[w.start : w.end], w.text) for w in rule([w.text for w in segment.words]))
    )
    others = tuple(replace(a, text=written(a.text, rule)) for a in segment.alternatives)
    return replace(segment, text=written(segment.text, rule), words=words, alternatives=others)


def written(text, rule):
    """A text with its numbers as digits."""
    return " ".join(part.text for part in rule(text.split()))


def _one(words, text):
    return Word(text, words[0].start, words[-1].end, min(word.confidence for word in words))
