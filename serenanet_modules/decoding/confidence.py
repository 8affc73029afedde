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
    """

    posterior: float
    least: float
    units: int
    lost: float


FEATURES = {  # which a linear map weighs
    "together": lambda e: e.units * math.log(max(e.posterior, SURE)),  # of the posterior that all its units are right
    "posterior": lambda e: math.log(max(e.posterior, SURE)),
    "doubt": lambda e: -math.log(max(1 - e.posterior, SURE)),
    "least": lambda e: math.log(max(e.least, SURE)) - math.log(max(1 - e.least, SURE)),
    "units": lambda e: math.log(e.units),
    "lost": lambda e: math.log1p(e.lost),
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
    """

    weights: dict
    bias: float

    def __call__(self, found):
        """The confidence of a word, between 0 and 1."""
        score = self.bias + sum(weight * FEATURES[name](found) for name, weight in self.weights.items())
        return (1 + math.tanh(score / 2)) / 2

    @property
    def plain(self):
        """As `from_plain` reads it."""
        return {"weights": self.weights, "bias": self.bias}

    @classmethod
    def from_plain(cls, plain):
        """Of what a result folder, which may be anybody's, holds.

        Raises
        ------
        ValueError
            Where it is no such map.
        """
        try:
            weights, bias = plain["weights"], plain["bias"]
            numbers = {name: float(weights[name]) for name in weights if FEATURES[name]}
            if all(map(math.isfinite, (*numbers.values(), float(bias)))):
                return cls(numbers, float(bias))
        except (LookupError, TypeError, ValueError, OverflowError):
            pass
        raise ValueError("a map of confidences is none")


def confidence(group, spans, calibration=None):
    """The confidence of a word, between 0 and 1; raw without a `Calibration`. Parameters as of `evidence`."""
    found = evidence(group, spans)
    return found.posterior if calibration is None else calibration(found)


def evidence(group, spans):
    """The `Evidence` of a word.

    Parameters
    ----------
    group : list of int
        Positions of its units among the spans.
    spans : sequence of Span
        Or what has its ``confidence`` and ``lost``.
    """
    confidences = [spans[i].confidence for i in group]
    lost = sum(spans[i].lost for i in group)
    return Evidence(geometric_mean(confidences), min(confidences), len(group), max(0.0, lost))


def geometric_mean(confidences):
    """Between 0 and 1, of one or more numbers between 0 and 1."""
    mean = math.exp(sum(math.log(max(c, LEAST)) for c in confidences) / len(confidences))
    return min(1.0, max(0.0, mean))
