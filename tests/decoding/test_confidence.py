"""Maps from what is known of a word to the probability that it is right."""

import json
import random

import pytest

from serenanet_modules.decoding.confidence import Calibration, Evidence, evidence
from serenanet_modules.decoding.spans import Span, SpokenWord

ALL = Calibration({"posterior": 3.0, "doubt": 0.8, "least": 0.4, "units": -0.2, "lost": -1.5, "known": 2.0}, -0.5)
ONE = Calibration({"posterior": 3.0, "doubt": 0.8}, -1.0)  # features of the raw confidence


def drawn(count=300):
    """Evidence of all kinds, with none and with certainty among it."""
    rng = random.Random(0)
    posteriors = [0.0, 1.0, *(rng.random() ** 0.2 for _ in range(count))]
    return [
        Evidence(p, p * rng.random(), rng.randint(1, 20), rng.choice([0.0, rng.expovariate(1)]), rng.random() < 0.5)
        for p in posteriors
    ]


def test_evidence_of_a_word():
    spans = [Span(0, 1, 0.5, 0.25), Span(1, 2, 0.1, 9.0), Span(3, 5, 0.8, 0.5)]
    word = SpokenWord("baba", [0, 2])
    posterior, *others = evidence(word, spans, {"baba"})
    assert posterior == pytest.approx(0.4**0.5) and others == [0.5, 2, 0.75, True]
    assert not evidence(word, spans, {"mama"}).known and not evidence(word, spans).known


@pytest.mark.parametrize("calibration", [ALL, ONE, Calibration({"posterior": 1e4}, 5e3), Calibration({}, -1e9)])
def test_a_confidence_is_a_probability(calibration):
    assert all(0 <= calibration(found) <= 1 for found in drawn())


def test_more_evidence_is_more_confidence():
    """In each number alone: more posterior, a surer least unit, less lost, known from the training."""
    for found in drawn():
        said = ALL(found)
        assert ALL(found._replace(posterior=min(1, found.posterior + 0.01))) >= said
        assert ALL(found._replace(least=min(1, found.least + 0.01))) >= said
        assert ALL(found._replace(known=True)) >= said
        assert ALL(found._replace(lost=found.lost + 0.1)) < said or said == 0


def test_the_order_of_words_stays():
    """Where the raw confidence is all that a map reads, a word that was surer than another is so still."""
    words = sorted(drawn(), key=lambda found: found.posterior)
    said = [ONE(found) for found in words]
    assert said == sorted(said) and len(set(said)) > 0.9 * len(said)


def test_a_map_is_kept_as_numbers():
    kept = Calibration.from_plain(json.loads(json.dumps(ALL.plain)))
    assert kept == ALL and [kept(found) for found in drawn()] == [ALL(found) for found in drawn()]


@pytest.mark.parametrize(
    "plain",
    [
        *({}, [], 3, None, "x", {"weights": {}}, {"bias": 0.0}, {"weights": [1.0], "bias": 0.0}),
        *({"weights": {"posterior": value}, "bias": 0.0} for value in (float("nan"), float("inf"), "much", None, [])),
        *({"weights": {"posterior": 1.0}, "bias": value} for value in (float("nan"), 10**400, {})),
        {"weights": {"volume": 1.0}, "bias": 0.0},
    ],
    ids=str,
)
def test_what_is_no_map_is_refused(plain):
    with pytest.raises(ValueError):
        Calibration.from_plain(plain)
