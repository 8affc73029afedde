"""Where the labels and words of a hypothesis lie, by forced alignment on the CTC log-probabilities.

One way for all decoders: for greedy decoding the best path of the decoded labels is the decoded path itself; what a
beam search, a lexicon or an attention decoder chose gets the path that CTC would take through it.
"""

from typing import NamedTuple

import torch
from torchaudio.functional import forced_align, merge_tokens

from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.decoding.holes import Path, path

IMPOSSIBLE = -1e3  # stands for minus infinity, of which differences would be NaN


class Span(NamedTuple):
    """Where a label's path lies.

    Attributes
    ----------
    start, end : int
        Frames, ``end`` not included.
    confidence : float
        The label's mean posterior there.
    lost : float
        Nats by which the best path is likelier than this one, from the end of the label before to ``end``, but where
        something is passed over: 0 where the greedy decoding is the same.
    """

    start: int
    end: int
    confidence: float
    lost: float = 0.0


class SpokenWord(NamedTuple):
    """A word of a hypothesis: its text, and the positions of its units among the labels."""

    text: str
    group: list[int]


def frames_needed(labels):
    """Least frames a CTC path of labels has: one each, and a blank between equal neighbours.

    Examples
    --------
    >>> frames_needed([3, 3, 5])
    4
    """
    return len(labels) + sum(one == other for one, other in zip(labels, labels[1:], strict=False))


def align(log_probs, labels, blank_id=0, holes=None):
    """The best CTC path through labels.

    Parameters
    ----------
    log_probs : Tensor
        (T, V).
    labels : list of int
        Without blanks. Where their path would need more frames than T, which an attention decoder may ask for, they are
        spread evenly over the frames, unless there are holes.
    blank_id : int
    holes : Holes, optional
        Where something else may be said, and what may be left out.

    Returns
    -------
    list of Span
        One per label, in order; None for one that is left out.

    Examples
    --------
    >>> log_probs = torch.eye(3)[[0, 1, 1, 0, 2]].clamp(0.01).log()
    >>> [span[:2] for span in align(log_probs, [1, 2])]
    [(1, 3), (4, 5)]
    """
    if not labels:
        return []
    log_probs = log_probs.detach().float().cpu().clamp(min=IMPOSSIBLE)
    frames = len(log_probs)
    if frames_needed(labels) > frames and holes is None:
        return [_evenly(log_probs, label, i, len(labels)) for i, label in enumerate(labels)]
    way = _path(log_probs, list(labels), blank_id, holes)
    on_path = log_probs.gather(1, way.labels.unsqueeze(1)).squeeze(1)  # (T,)
    missed = torch.where(way.passed, 0.0, log_probs.amax(1) - on_path)
    lost = torch.cat([torch.zeros(1), missed.double().cumsum(0)]).tolist()  # (T + 1,)
    found, before = [None] * len(labels), 0
    for i, span in zip(way.placed, merge_tokens(way.labels, on_path.exp(), blank_id), strict=True):
        found[i] = Span(span.start, span.end, _share(span.score), lost[span.end] - lost[before])
        before = span.end
    return found


def _path(log_probs, labels, blank_id, holes):
    """The best `Path`; if that is what greedy decoding hears, without a table of all others."""
    greedy = log_probs.argmax(1)
    heard = collapse(greedy.tolist(), blank_id)[0] == labels
    if holes is not None and not heard:
        return path(log_probs, labels, blank_id, holes)
    if not heard:
        targets = torch.tensor([labels], dtype=torch.int32)
        greedy = forced_align(log_probs.unsqueeze(0), targets, blank=blank_id)[0][0].long()
    return Path(greedy, torch.zeros(len(greedy), dtype=torch.bool), range(len(labels)))


def spans_of(hypothesis, log_probs, blank_id=0):
    """Those that a hypothesis brings, or those of `align` by log_probs (T, V)."""
    return align(log_probs, hypothesis.labels, blank_id) if hypothesis.spans is None else hypothesis.spans


def words_of(hypothesis, units):
    """The words of a hypothesis.

    Parameters
    ----------
    hypothesis : Hypothesis
        A lexicon search, whose words these are, may end inside a word: that one is left out.
    units : Units

    Returns
    -------
    list of SpokenWord
    """
    groups = word_groups(units, hypothesis.labels)
    texts = hypothesis.words
    if texts is None:
        texts = [units.decode([hypothesis.labels[i] for i in group]) for group in groups]
    return [SpokenWord(text, group) for text, group in zip(texts, groups, strict=False)]


def word_groups(units, labels):
    """Positions in ``labels`` of each word's units, without marks and those that are nothing but a boundary.

    Examples
    --------
    >>> from serenanet_modules.data.units import PhonemeUnits
    >>> units = PhonemeUnits(["a", "b", "k"])
    >>> word_groups(units, units.encode("k a | | b a"))
    [[0, 1], [4, 5]]
    """
    groups = [[]]
    for i, label in enumerate(labels):
        piece = units.pieces[label]
        if piece.startswith(units.boundary):
            groups.append([])
        if piece != units.boundary and label not in units.marks:
            groups[-1].append(i)
    return [group for group in groups if group]


def _evenly(log_probs, label, i, count):
    frames = len(log_probs)
    start = i * frames // count
    end = max(start + 1, (i + 1) * frames // count)
    here = log_probs[start:end]
    return Span(start, end, _share(here[:, label].exp().mean().item()), (here.amax(1) - here[:, label]).sum().item())


def _share(value):
    return min(1.0, max(0.0, value))
