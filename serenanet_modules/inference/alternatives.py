"""What else may have been said: n-best lists, and by them other words for each word."""

from collections import defaultdict
from dataclasses import replace

import numpy as np

from serenanet_modules.inference.transcript import Alternative, Insertion, Listed, Segment


def with_alternatives(segment, hypotheses):
    """A segment with its n-best list and, for each word and each place between words, what the hypotheses have there.

    The hypotheses' scores are made probabilities that add up to 1. Each hypothesis is aligned with the best one word
    by word, and a word's alternatives are what stands in its place, "" where nothing does, with the sum of the
    hypotheses' probabilities (Mangu et al., 2000, by way of an n-best list). What stands between two words, before the
    first or behind the last, is an `Insertion`.

    Parameters
    ----------
    segment : Segment
        Of the first hypothesis.
    hypotheses : list of Hypothesis
        Best first.

    Returns
    -------
    Segment
    """
    from serenanet_modules.analysis.scoring import align  # which no transcription without alternatives needs

    scores = np.array([found.score for found in hypotheses])
    shares = np.exp(scores - np.logaddexp.reduce(scores)).tolist()
    texts = [found.text for found in hypotheses]
    words = [word.text for word in segment.words]
    places = [defaultdict(float) for _ in words]
    between = [defaultdict(float) for _ in range(len(words) + 1)]
    for text, share in zip(texts, shares, strict=True):
        inserted = [[] for _ in between]
        at = 0
        for operation, _, said in align(words, text.split()):
            if operation == "I":
                inserted[at].append(said)
            else:
                places[at][said] += share
                at += 1
        for place, more in zip(between, inserted, strict=True):
            place[" ".join(more)] += share
    return replace(
        segment,
        alternatives=tuple(map(Listed, texts, shares, scores.tolist())),
        words=tuple(
            replace(word, alternatives=_likeliest_first(place))
            for word, place in zip(segment.words, places, strict=True)
        ),
        insertions=tuple(_insertions(segment, between)),
    )


def unsaid(edges):
    """The `Segment` of a piece of audio whose best text is empty, from the first to the last of its frames' edges."""
    return Segment("", edges[0], edges[-1], 0.0, (), ())


def _insertions(segment, between):
    """An `Insertion` for each place between words where a hypothesis has some."""
    starts = [segment.start, *(word.end for word in segment.words)]
    ends = [*(word.start for word in segment.words), segment.end]
    for position, (start, end, place) in enumerate(zip(starts, ends, between, strict=True)):
        if place.keys() != {""}:
            yield Insertion(position, start, end, _likeliest_first(place))


def texts_of(segments, join, n):
    """Up to ``n`` texts of a recording from the lists of its segments, the likeliest first.

    Parameters
    ----------
    segments : sequence of Segment
        One without a list has its text.
    join : callable
        From the texts of segments to that of the recording.
    n : int

    Returns
    -------
    list of Listed
        Probabilities are products of the segments', scores are sums.

    Examples
    --------
    >>> one = Segment("a", 0.0, 1.0, 0.9, (), (), alternatives=(Listed("a", 0.6, -1.0), Listed("b", 0.4, -1.4)))
    >>> two = Segment("c", 1.0, 2.0, 0.9, (), (), alternatives=(Listed("c", 0.9, -2.0), Listed("d", 0.1, -4.2)))
    >>> [(found.text, found.score) for found in texts_of([one, two], " ".join, 3)]
    [('a c', -3.0), ('b c', -3.4), ('a d', -5.2)]
    """
    found = [(1.0, 0.0, ())]
    for segment in segments:
        own = segment.alternatives or (Listed(segment.text, 1.0, 0.0),)
        longer = [(p * a.confidence, score + a.score, (*texts, a.text)) for p, score, texts in found for a in own]
        found = sorted(longer, key=lambda told: -told[0])[:n]
    return [Listed(join(texts), share, score) for share, score, texts in found]


def _likeliest_first(place):
    return tuple(
        Alternative(text, share) for text, share in sorted(place.items(), key=lambda pair: (-pair[1], pair[0]))
    )
