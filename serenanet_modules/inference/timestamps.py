"""Times and confidences of decoded text, by forced alignment of its labels on the CTC log-probabilities.

One way for all decoders: for greedy decoding the best path of the decoded labels is the decoded path itself; what a
beam search, a lexicon or an attention decoder chose gets the path that CTC would take through it. A token begins with
the first frame that its path spends on it and ends behind the last one. CTC is peaky: a trained model often says a
label in fewer frames than it sounds.

Confidence, between 0 and 1
    token            mean posterior probability of the token in its frames;
    word, segment    geometric mean over its tokens, word boundaries left out.
"""

import math
from typing import NamedTuple

import torch
from torchaudio.functional import forced_align, merge_tokens

from serenanet_modules.inference.transcript import Segment, Token, Word

IMPOSSIBLE = -1e3  # stands for minus infinity, of which differences would be NaN
LEAST = 1e-10  # confidence that a geometric mean counts


class Span(NamedTuple):
    """Where a label's path lies, ``end`` not included, and the label's mean posterior there."""

    start: int
    end: int
    confidence: float


def frames_needed(labels):
    """Least frames a CTC path of labels has: one each, and a blank between equal neighbours.

    Examples
    --------
    >>> frames_needed([3, 3, 5])
    4
    """
    return len(labels) + sum(one == other for one, other in zip(labels, labels[1:], strict=False))


def align(log_probs, labels, blank_id=0):
    """The best CTC path through labels.

    Parameters
    ----------
    log_probs : Tensor
        (T, V).
    labels : list of int
        Without blanks. Where their path would need more frames than T, which an attention decoder may ask for, they are
        spread evenly over the frames.
    blank_id : int

    Returns
    -------
    list of Span
        One per label, in order.

    Examples
    --------
    >>> log_probs = torch.eye(3)[[0, 1, 1, 0, 2]].clamp(0.01).log()
    >>> [span[:2] for span in align(log_probs, [1, 2])]
    [(1, 3), (4, 5)]
    """
    if not labels:
        return []
    log_probs = log_probs.detach().float().cpu().clamp(min=IMPOSSIBLE)
    posteriors = log_probs.exp()
    frames = len(log_probs)
    if frames_needed(labels) > frames:
        return [_evenly(posteriors, label, i, len(labels)) for i, label in enumerate(labels)]
    path = forced_align(log_probs.unsqueeze(0), torch.tensor([labels], dtype=torch.int32), blank=blank_id)[0][0]
    spans = merge_tokens(path, posteriors.gather(1, path.long().unsqueeze(1)).squeeze(1), blank_id)
    return [Span(span.start, span.end, _share(span.score)) for span in spans]


def timed(hypothesis, units, log_probs, edges):
    """A decoded utterance with times.

    Parameters
    ----------
    hypothesis : Hypothesis
        Of some labels.
    units : Units
    log_probs : Tensor
        (T, V), what the labels are aligned on.
    edges : list of float
        T + 1 seconds: where each frame begins, and where the last one ends.

    Returns
    -------
    Segment
        From its first word to its last.
    """
    return placed(hypothesis, units, align(log_probs, hypothesis.labels, units.blank_id), edges)


def placed(hypothesis, units, spans, edges):
    """The same where it is known which frames each label has: ``spans`` are as `align` gives them."""
    confidences = [span.confidence for span in spans]
    starts, ends = [edges[span.start] for span in spans], [edges[span.end] for span in spans]
    surfaces = [surface(units, label) for label in hypothesis.labels]
    tokens = tuple(Token(*row) for row in zip(surfaces, starts, ends, confidences, strict=True))
    groups = word_groups(units, hypothesis.labels)
    texts = hypothesis.words or [units.decode([hypothesis.labels[i] for i in group]) for group in groups]
    words = tuple(
        Word(text, starts[group[0]], ends[group[-1]], _geometric_mean([confidences[i] for i in group]))
        for text, group in zip(texts, groups, strict=False)  # a lexicon search may end inside a word
    )
    spoken = [i for group in groups for i in group] or range(len(spans))
    confidence = _geometric_mean([confidences[i] for i in spoken])
    return Segment(hypothesis.text, starts[spoken[0]], ends[spoken[-1]], confidence, words, tokens)


def word_groups(units, labels):
    """Positions in ``labels`` of each word's units, without those that are nothing but a boundary.

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
        if piece != units.boundary:
            groups[-1].append(i)
    return [group for group in groups if group]


def surface(units, label):
    """A label as text; joined, those of SentencePiece units are the sentence, after a space."""
    begins_word = units.kind != "phoneme" and units.pieces[label].startswith(units.boundary)
    return " " * begins_word + units.decode([label])


def _evenly(posteriors, label, i, count):
    frames = len(posteriors)
    start = i * frames // count
    end = max(start + 1, (i + 1) * frames // count)
    return Span(start, end, _share(posteriors[start:end, label].mean().item()))


def _share(value):
    return min(1.0, max(0.0, value))


def _geometric_mean(confidences):
    return _share(math.exp(sum(math.log(max(c, LEAST)) for c in confidences) / len(confidences)))
