"""Maps of confidences fitted on words whose chances to be right are known, and tried on others."""

import math
from dataclasses import replace

import numpy as np
import pytest

from serenanet_modules.analysis.reliability import reliability
from serenanet_modules.data.manifest import Utterance
from serenanet_modules.decoding.confidence import Evidence
from serenanet_modules.training import calibration
from serenanet_modules.training.calibration import Confidences, Judged, fit, lacking


def drawn(count, chance, seed=0, utterance=12, lost=lambda rng: 0.0, speakers=1, known=0.0):
    """Words of a network that says nearly all with 0.9 and more; ``chance`` gives the share that is right."""
    rng, words = np.random.default_rng(seed), []
    for i in range(count):
        units = int(rng.integers(1, 10))
        confidences = rng.beta(9, 0.7, units).clip(1e-6)
        posterior = math.exp(np.log(confidences).mean())
        found = Evidence(posterior, float(confidences.min()), units, lost(rng), bool(rng.random() < known))
        number = i // utterance
        words.append(Judged(f"u{number}", f"s{number % speakers}", found, bool(rng.random() < chance(found))))
    return words


def ece(confidences, words):
    return reliability(confidences, [word.right for word in words])["ece"]


def overconfident(found):
    return 0.9 * found.posterior**8


def edited(found):
    """What a language model has changed is right less often."""
    return overconfident(found) * (0.25 if found.lost > 1 else 1.0)


def sometimes(rng):
    return rng.exponential(8) if rng.random() < 0.4 else 0.0


def read(found):
    """Words of the training are right far more often."""
    return overconfident(found) ** 0.2 if found.known else 0.1 * overconfident(found)


@pytest.mark.parametrize("chance, feature", [(overconfident, None), (edited, "lost"), (read, "known")])
def test_an_overconfident_network_is_put_right(chance, feature):
    """Words that nothing was fitted on have an error of 0.05 at most; what tells right from wrong is found."""
    more = {"lost": sometimes if feature == "lost" else lambda rng: 0.0, "known": 0.4 * (feature == "known")}
    dev, test = drawn(1200, chance, 1, **more), drawn(6000, chance, 2, **more)
    chosen, held_out = fit(dev)
    raw, said = [word.evidence.posterior for word in test], [chosen(word.evidence) for word in test]
    print(f"{ece(raw, test):.3f} before, {ece(said, test):.3f} after")
    assert ece(raw, test) > 0.25
    assert ece(said, test) < 0.05 and ece(held_out, dev) < 0.05
    assert {"lost", "known"} & {name for name, weight in chosen.weights.items() if weight} == {feature} - {None}


def test_no_weight_goes_against_its_sense():
    """Words that are right the less, the surer the network is: the map says of all what share is right."""
    words = drawn(1000, lambda found: 1 - 0.9 * found.posterior**8)
    chosen, _ = fit(words)
    assert all(chosen.weights.get(name, 0) >= 0 for name in ("posterior", "doubt", "least"))
    low, high = (Evidence(p, p, 4, 0.0) for p in (0.5, 0.99))
    assert chosen(low) <= chosen(high) + 1e-9


def test_few_words_are_not_fitted_too_well():
    """A map of 110 words, of which 10 are wrong, is never surer than such a number allows."""
    words = [Judged(f"u{i}", "s", Evidence(0.999 - 0.5 * (i < 10), 0.4, 4, 0.0), i >= 10) for i in range(110)]
    chosen, _ = fit(words)
    assert 0.9 < chosen(words[-1].evidence) < 0.999 and 0.001 < chosen(words[0].evidence) < 0.3


@pytest.mark.parametrize("speakers", [1, 7])
def test_held_out_confidences_know_nothing_of_their_own_words(speakers, monkeypatch):
    """With few speakers those of an utterance, with many those of a speaker."""
    monkeypatch.setattr(calibration, "METHODS", calibration.METHODS[:1])  # or other words could choose another
    words = drawn(800, overconfident, speakers=speakers)
    mine = [w.utterance == "u3" if speakers == 1 else w.speaker == "s3" for w in words]
    turned = [replace(w, right=not w.right) if own else w for w, own in zip(words, mine, strict=True)]
    (_, before), (_, after) = fit(words), fit(turned)
    differences = [abs(one - other) for one, other in zip(before, after, strict=True)]
    assert max(d for d, own in zip(differences, mine, strict=True) if own) == 0
    assert max(differences) > 1e-3  # elsewhere they were learned from


@pytest.mark.parametrize(
    "words, said",
    [
        ([], "dev has 0 words; calibration needs 100"),
        (drawn(99, overconfident), "dev has 99 words; calibration needs 100"),
        (drawn(300, lambda _: 1.0), "dev has 0 wrong words; calibration needs 10"),
        (drawn(300, lambda _: 0.0), "dev has 0 correct words; calibration needs 10"),
        (drawn(300, overconfident, utterance=300), "dev has one utterance with words; calibration needs two"),
        (drawn(300, overconfident), None),
    ],
)
def test_too_few_words_are_none(words, said):
    assert lacking(words) == said


class Says:
    """In the place of a decoder that writes words."""

    name, writes_words = "decoder/greedy", True


def heard(words):
    """Utterances, and what was found of them, in which these words are right or wrong."""
    rows, found = [], {}
    for name in dict.fromkeys(word.utterance for word in words):
        own = [word for word in words if word.utterance == name]
        rows.append(Utterance(name, "x.flac", 1.0, " ".join("neno" for _ in own), "", "s", "sw", "dev"))
        found[name] = [("neno" if word.right else "kosa", word.evidence) for word in own]
    return rows, found


def test_what_result_json_says():
    """All dev sets give one map, which the others are measured with; each set has its own figures."""
    dev, test = drawn(1200, overconfident, 1), drawn(1200, overconfident, 2)
    (rows, found), (others, theirs) = heard(dev), heard(test)
    confidences = Confidences()
    confidences.fit({"dev-a": rows[:40], "dev-b": rows[40:]}, Says, found)
    confidences.measure({"test": others}, Says, theirs)
    (entry,) = confidences.results.values()
    chosen, held_out = fit(dev)
    assert entry["map"] == chosen.plain and "note" not in entry
    raw, right = [word.evidence.posterior for word in dev], [word.right for word in dev]
    assert entry["sets"]["dev-a"] == {
        "raw": reliability(raw[:480], right[:480]),
        "calibrated": reliability(held_out[:480], right[:480]),
    }
    assert entry["sets"]["dev-b"]["calibrated"] == reliability(held_out[480:], right[480:])
    assert entry["sets"]["test"]["calibrated"]["ece"] == ece([chosen(word.evidence) for word in test], test)


def test_too_few_words_leave_confidences_raw():
    (rows, found), confidences = heard(drawn(50, overconfident)), Confidences()
    confidences.fit({"dev": rows}, Says, found)
    confidences.measure({"test": rows}, Says, found)
    (entry,) = confidences.results.values()
    assert entry["note"] == "dev has 50 words; calibration needs 100" and "map" not in entry
    assert [list(kinds) for kinds in entry["sets"].values()] == [["raw"], ["raw"]]
