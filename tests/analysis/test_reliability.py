"""The expected calibration error of words whose chances to be right are known."""

import random

import pytest

from serenanet_modules.analysis.reliability import BINS, error_of, judged, pooled, reliability, wilson, words_said
from serenanet_modules.analysis.reliability_plot import diagram
from serenanet_modules.data.manifest import Utterance


def test_by_hand():
    """Two of three are right in the last bin, where 0.95 is said on average; none of one in the fourth."""
    found = reliability([0.9, 1.0, 0.95, 0.35], [True, False, True, False])
    assert found["bins"][3] == {"words": 1, "right": 0, "confidence": 0.35}
    assert found["bins"][9] == {"words": 3, "right": 2, "confidence": 0.95}
    assert [b is None for b in found["bins"]] == [k not in (3, 9) for k in range(BINS)]
    assert found["ece"] == pytest.approx((3 * abs(2 / 3 - 0.95) + 0.35) / 4, abs=1e-4)
    assert (found["words"], found["right"], found["confidence"]) == (4, 0.5, 0.8)


def test_honest_words_have_no_error_and_others_have_theirs():
    rng = random.Random(0)
    said = [rng.random() for _ in range(50_000)]
    assert reliability(said, [rng.random() < share for share in said])["ece"] < 0.01
    assert reliability(said, [rng.random() < share / 2 for share in said])["ece"] == pytest.approx(0.25, abs=0.01)


def test_no_words():
    assert reliability([], []) == {"words": 0, "right": None, "confidence": None, "ece": None, "bins": [None] * BINS}


def test_sets_pool_to_what_they_are_together():
    rng = random.Random(1)
    words = [(rng.random(), rng.random() < 0.5) for _ in range(300)]
    parts = [reliability(*zip(*part, strict=True))["bins"] for part in (words[:100], words[100:])]
    whole, together = reliability(*zip(*words, strict=True)), pooled(parts)
    assert error_of(together) == pytest.approx(whole["ece"], abs=1e-4)
    for found, expected in zip(together, whole["bins"], strict=True):
        assert {**found, "confidence": pytest.approx(found["confidence"], abs=1e-5)} == expected


def test_words_are_judged_by_the_alignment_of_word_errors():
    """A word that stands elsewhere is wrong, one that is inserted too; utterances do not mix."""
    references = [["saa", "mbili"], [], ["na", "wewe", "na", "mimi"]]
    hypotheses = [["mbili", "saa", "mbili"], ["na"], ["na", "na", "mimi"]]
    assert judged(references, hypotheses) == [[False, True, True], [False], [True, True, True]]


def test_words_of_phones():
    said = Utterance("u", "u.flac", 1.0, "baba na", "ɓ a ɓ a | n a", "s", "sw", "dev")
    assert words_said(said) == ["baba", "na"] and words_said(said, written=False) == ["ɓ a ɓ a", "n a"]


@pytest.mark.parametrize("hits, count", [(0, 10), (10, 10), (1, 1), (37, 90)])
def test_intervals_are_wilsons(hits, count):
    """At both ends the share seen is as far off as the normal distribution allows."""
    for end in wilson(hits, count):
        assert abs(hits / count - end) == pytest.approx(1.959964 * (end * (1 - end) / count) ** 0.5, abs=1e-7)
        assert -1e-12 <= end <= 1 + 1e-12


def test_a_diagram_hides_none_of_its_points():
    """Errors stand above the panels, names of the lines below all of them."""
    found = reliability([0.05, 0.95], [True, True])["bins"]
    drawn = diagram({"decoder/greedy": {"raw": found}, "decoder/beam": {"raw": found, "calibrated": found}})
    assert not any(panel.get_legend() for panel in drawn.axes)
    assert [panel.get_title() for panel in drawn.axes[:2]] == [
        "decoder/greedy\nECE raw 0.500",
        "decoder/beam\nECE raw 0.500, calibrated 0.500",
    ]
    (legend,) = drawn.legends
    assert [text.get_text() for text in legend.get_texts()] == ["raw confidences", "calibrated confidences"]
