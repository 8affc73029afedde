"""Whether confidences say how often words are right: the expected calibration error, and the bins of its diagram.

The error is that of Naeini et al. (2015) as Guo et al. (2017) use it: words are sorted into `BINS` bins of equal width
by their confidence, and the differences between the share of words that are right and the mean confidence are averaged
over the bins, each weighing as many words as it has. A perfect map has some error too, by chance: about 0.03 for 1,000
words of all confidences.
"""

import math

import numpy as np

from serenanet_modules.analysis.scoring import align_all
from serenanet_modules.data.phonemes import WORD_BOUNDARY

BINS = 10
Z = 1.959964  # of 95 %


def judged(references, hypotheses):
    """Which of the words that were recognised are right, by the alignment that counts word errors.

    Parameters
    ----------
    references, hypotheses : list of list of str
        Words of each utterance.

    Returns
    -------
    list of list of bool
        For each utterance whether each word of the hypothesis is the reference's.

    Examples
    --------
    >>> judged([["saa", "mbili", "na"]], [["saa", "mbali", "na", "nusu"]])
    [[True, False, True, False]]
    """
    found = align_all(list(zip(references, hypotheses, strict=True)))
    return [[op == "=" for op in alignment.operations if op != "D"] for alignment in found]


def words_said(utterance, written=True):
    """Words of an utterance's transcript, as they are written or as phones.

    Parameters
    ----------
    utterance : Utterance
    written : bool
        As `Decoder.writes_words`.

    Returns
    -------
    list of str
    """
    if written:
        return utterance.text.split()
    return [" ".join(word.split()) for word in utterance.phonemes.split(WORD_BOUNDARY)]


def reliability(confidences, right):
    """How well confidences say the share of words that are right.

    Parameters
    ----------
    confidences : sequence of float
        Of each word, between 0 and 1.
    right : sequence of bool

    Returns
    -------
    dict
        ``words``, their number; ``right`` and ``confidence``, the means; ``ece``, the expected calibration error, None
        without words; and ``bins``: (words, right, mean confidence) of each from 0 to 1, None for an empty one.

    Examples
    --------
    >>> found = reliability([0.95, 0.95, 0.35], [True, False, False])
    >>> found["ece"], found["bins"][9]
    (0.4167, {'words': 2, 'right': 1, 'confidence': 0.95})
    """
    confidences, right = np.asarray(confidences, float), np.asarray(right, bool)
    if not len(confidences):
        return {"words": 0, "right": None, "confidence": None, "ece": None, "bins": [None] * BINS}
    places = np.minimum((confidences * BINS).astype(int), BINS - 1)
    bins = [_bin(confidences[places == k], right[places == k]) for k in range(BINS)]
    means = {"right": round(float(right.mean()), 4), "confidence": round(float(confidences.mean()), 4)}
    return {"words": len(right), **means, "ece": round(error_of(bins), 4), "bins": bins}


def error_of(bins):
    """The expected calibration error of bins of which one holds words at least."""
    gaps = [abs(b["right"] - b["words"] * b["confidence"]) for b in bins if b]
    return sum(gaps) / sum(b["words"] for b in bins if b)


def pooled(measured):
    """Bins of several sets of words as one.

    Parameters
    ----------
    measured : iterable of list
        The ``bins`` of each.
    """
    return [_sum([b for b in same if b]) for same in zip(*measured, strict=True)]


def _sum(bins):
    words = sum(b["words"] for b in bins)
    if not words:
        return None
    said = sum(b["words"] * b["confidence"] for b in bins) / words
    return {"words": words, "right": sum(b["right"] for b in bins), "confidence": said}


def _bin(confidences, right):
    if not len(right):
        return None
    return {"words": len(right), "right": int(right.sum()), "confidence": round(float(confidences.mean()), 6)}


def wilson(hits, count):
    """95 % interval of a share of which ``hits`` of ``count`` were seen (Wilson 1927).

    Examples
    --------
    >>> [round(end, 3) for end in wilson(9, 10)]
    [0.596, 0.982]
    """
    share, shrink = hits / count, 1 + Z * Z / count
    middle = (share + Z * Z / (2 * count)) / shrink
    spread = Z * math.sqrt(share * (1 - share) / count + Z * Z / (4 * count * count)) / shrink
    return middle - spread, middle + spread
