"""How sure a recogniser may be of a word: what is known of it, and the map from that to a probability.

A posterior of CTC is no probability that a word is right: a network that knows its training words by heart says nearly
all it says with 0.9 and more. So the end of a training fits a map on dev (`training.calibration`), one for each
decoder, and whatever opens the result folder says what the map gives. Without a map a word's confidence is raw.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

LEAST = 1e-10  # posterior that a geometric mean counts
SURE = 1e-4  # distance from 0 and 1 within which posteriors count alike


class Evidence(NamedTuple):
    """What is known of a word when it has been decoded.

    Attributes
    ----------
    posterior : float
        Geometric mean over its units of their confidences, between 0 and 1: the raw confidence.
    least : float
        The least of those.
    units : int
        Their number.
    lost : float
        Nats by which the best path is likelier than the word's, `spans.Span.lost` summed over its units: 0 where greedy
        decoding hears the same.
    known : bool
        Whether it stands in the training transcripts.
    """

    posterior: float
    least: float
    units: int
    lost: float
    known: bool = False


FEATURES = {  # which a linear map weighs
    "together": lambda e: e.units * math.log(max(e.posterior, SURE)),  # of the posterior that all its units are right
    "posterior": lambda e: math.log(max(e.posterior, SURE)),
    "doubt": lambda e: -math.log(max(1 - e.posterior, SURE)),
    "least": lambda e: math.log(max(e.least, SURE)) - math.log(max(1 - e.least, SURE)),
    "units": lambda e: math.log(e.units),
    "lost": lambda e: math.log1p(e.lost),
    "known": lambda e: float(e.known),
}


@dataclass(frozen=True)
class Calibration:
    """A map from a word's `Evidence` to the probability that it is right.

    Attributes
    ----------
    weights : dict of str to float
        By names of `FEATURES`.
    bias : float
        Added to the weighed features, whose logistic function is the probability.
    words : frozenset of str
        Those of the training transcripts.
    """

    weights: dict
    bias: float
    words: frozenset = frozenset()

    def __call__(self, found):
        """The confidence of a word, between 0 and 1."""
        score = self.bias + sum(weight * FEATURES[name](found) for name, weight in self.weights.items())
        return (1 + math.tanh(score / 2)) / 2

    @property
    def plain(self):
        """As `from_plain` reads it."""
        return {"weights": self.weights, "bias": self.bias}

    @classmethod
    def from_plain(cls, plain, words=frozenset()):
        """Of what a result folder, which may be anybody's, holds, and the words of its training.

        Raises
        ------
        ValueError
            Where it is no such map.
        """
        try:
            weights, bias = plain["weights"], plain["bias"]
            numbers = {name: float(weights[name]) for name in weights if FEATURES[name]}
            if all(map(math.isfinite, (*numbers.values(), float(bias)))):
                return cls(numbers, float(bias), words)
        except (LookupError, TypeError, ValueError, OverflowError):
            pass
        raise ValueError("a calibration of confidences is malformed")


def confidence(word, spans, calibration=None):
    """The confidence of a word, between 0 and 1; raw without a `Calibration`. Parameters as of `evidence`."""
    if calibration is None:
        return evidence(word, spans).posterior
    return calibration(evidence(word, spans, calibration.words))


def evidence(word, spans, words=frozenset()):
    """The `Evidence` of a word.

    Parameters
    ----------
    word : SpokenWord
    spans : sequence of Span
        Of all labels, or what has its ``confidence`` and ``lost``.
    words : collection of str
        Those of the training transcripts.
    """
    confidences = [spans[i].confidence for i in word.group]
    lost = max(0.0, sum(spans[i].lost for i in word.group))
    return Evidence(geometric_mean(confidences), min(confidences), len(word.group), lost, word.text in words)


def geometric_mean(confidences):
    """Between 0 and 1, of one or more numbers between 0 and 1."""
    mean = math.exp(sum(math.log(max(c, LEAST)) for c in confidences) / len(confidences))
    return min(1.0, max(0.0, mean))
