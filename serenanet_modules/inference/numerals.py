"""Numbers in transcripts as digits, where a reader wants them so."""

from dataclasses import replace

from serenanet_modules.inference.transcript import Word


def in_digits(segment, rule):
    """A segment with its numbers as digits, in its text, its words and its other texts.

    The words of a number become one, which lasts from the first to the last and is as sure as the least sure of them;
    what may stand in their place or between them is left out. Tokens stay.

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
    parts = rule([word.text for word in segment.words])
    words = tuple(_one(segment.words[part.start : part.end], part.text) for part in parts)
    places = {at: number for number, at in enumerate([0, *(part.end for part in parts)])}
    insertions = tuple(
        replace(found, position=places[found.position], alternatives=_written(found.alternatives, rule))
        for found in segment.insertions
        if found.position in places
    )
    return replace(
        segment,
        text=written(segment.text, rule),
        words=words,
        alternatives=_written(segment.alternatives, rule),
        insertions=insertions,
    )


def written(text, rule):
    """A text with its numbers as digits."""
    return " ".join(part.text for part in rule(text.split()))


def _written(alternatives, rule):
    return tuple(replace(other, text=written(other.text, rule)) for other in alternatives)


def _one(words, text):
    """The words of one part as one."""
    if len(words) == 1 and words[0].text == text:
        return words[0]
    return Word(text, words[0].start, words[-1].end, min(word.confidence for word in words))
