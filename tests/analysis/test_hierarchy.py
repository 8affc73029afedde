"""Differences of variants: by hand, on tables without a difference, and on tables with one."""

import functools
import math

import numpy as np
import pytest

from serenanet_modules.analysis.bootstrap import Resampled
from serenanet_modules.analysis.hierarchy import Noise, Variant, compare_variants, holm, satterthwaite

SEEDS = (1, 2, 3)


def variants(tables):
    """For each variant seed -> anything, of trainings of their own that stand one after the other."""
    found, number = [], 0
    for v, table in enumerate(tables):
        found.append(Variant({s: number + i for i, s in enumerate(table)}, {s: (v, s) for s in table}))
        number += len(table)
    return found


def compared(rates, sets=None, count=10):
    """`compare_variants` of rates by variant and seed with the first one, where test sets vary as ``sets`` or not."""
    observed = np.array([rate for table in rates for rate in table.values()])
    drawn = observed[:, None] + (np.zeros((len(observed), 4)) if sets is None else sets)
    return compare_variants(variants(rates), 0, Resampled(observed, drawn), count)


# --- by hand ----------------------------------------------------------------------------------------------------------

#               seed 1  seed 2  seed 3   mean    residuals (y - row - column + mean 40)
TABLE = [  #                                     columns' means: 37, 40, 43
    {1: 0.36, 2: 0.41, 3: 0.43},  # 40           -1, +1,  0
    {1: 0.39, 2: 0.41, 3: 0.46},  # 42            0, -1, +1
    {1: 0.36, 2: 0.38, 3: 0.40},  # 38           +1,  0, -1
]


def test_a_table_by_hand():
    """Squares sum to 6 points², over 2 · 2 degrees of freedom; differences are of means."""
    family = compared(TABLE)
    assert family.noise.variance == pytest.approx(1.5e-4) and family.noise.freedom == 4
    assert family.contrasts[0] is None and family.tested == 2
    worse, better = family.contrasts[1:]
    assert (worse.difference, better.difference) == pytest.approx((0.02, -0.02))
    assert worse.by_seed == pytest.approx({1: 0.03, 2: 0.0, 3: 0.03})
    # The standard error is sqrt(2 · 1.5 / 3) = 1 point, t = 2 with 4 degrees of freedom: p = 0.1161 in any table of t.
    assert worse.error == pytest.approx(0.01) and worse.freedom == pytest.approx(4)
    assert worse.p_value == pytest.approx(0.1161, abs=1e-4) and worse.p_holm == pytest.approx(0.2322, abs=2e-4)
    assert (worse.low, worse.high) == pytest.approx((0.02 - 0.02776, 0.02 + 0.02776), abs=1e-5)
    assert worse.visible == pytest.approx(0.01 * (2.7764 + 0.9410), abs=1e-5)
    assert worse.visible_holm == pytest.approx(0.01 * (3.4954 + 0.9410), abs=1e-5), "at 0.05 / 2"


def test_the_test_set_by_hand():
    """Rates of drawn sets that vary by ± 2 points in one variant alone; 10 clusters: the variance is 4 · 10 / 9."""
    sets = np.zeros((9, 4))
    sets[3:6] = [-0.02, 0.02, -0.02, 0.02]
    worse = compared(TABLE, sets).contrasts[1]
    of_sets, of_seeds = 4e-4 * 10 / 9, 1e-4
    assert worse.error == pytest.approx(math.sqrt(of_sets + of_seeds))
    assert worse.freedom == pytest.approx((of_sets + of_seeds) ** 2 / (of_sets**2 / 9 + of_seeds**2 / 4))
    assert satterthwaite([(0.0, 3), (0.0, 9)]) == 3.0


def test_what_a_seed_does_to_utterances_is_counted_once():
    """Its variance over drawn sets is in that of the seeds; what all seeds have in common is added to it."""
    alone = compared(TABLE).contrasts[1]
    sets = np.zeros((9, 8))
    sets[3:6] = 0.03 * np.array([[1, 1, 1, 1, -1, -1, -1, -1], [1, 1, -1, -1, 1, 1, -1, -1], [1, -1] * 4])
    assert compared(TABLE, sets).contrasts[1].error == pytest.approx(alone.error)
    both = compared(TABLE, sets + np.array([0.02, -0.02, -0.02, 0.02, -0.02, 0.02, 0.02, -0.02]) * (sets != 0))
    of_sets = 4e-4 * 10 / 9
    assert both.contrasts[1].error == pytest.approx(math.sqrt(alone.error**2 + of_sets))
    # Of drawn sets alone the mean of three seeds would have 4 + 9 / 3 points² · 10 / 9.
    whole, own = 7e-4 * 10 / 9, 3e-4 * 10 / 9
    below = alone.error**4 / 4 + whole**2 / 9 + own**2 / (9 * 2)
    assert both.contrasts[1].freedom == pytest.approx(max(4, (alone.error**2 + of_sets) ** 2 / below))


def test_holm_by_hand():
    """Holm's own rule: 0.01 · 4, then 0.02 · 3, 0.03 · 2, 0.04 · 1, none below the one before, none above 1."""
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.6]) == [1.0, 1.0] and holm([]) == []


def test_seeds_that_not_all_have():
    """Least squares over what is there, differences over what both have."""
    rates = [dict(TABLE[0]), dict(TABLE[1]), {2: 0.38, 3: 0.40, 9: 0.9}, {7: 0.4}]
    family = compared(rates)
    assert family.noise.freedom == 3 + 3 + 3 + 1 - (4 + 5 - 1) + 1, "seeds 9 and 7 are of one variant each"
    partial, alone = family.contrasts[2:]
    assert partial.by_seed == pytest.approx({2: -0.03, 3: -0.03}) and partial.difference == pytest.approx(-0.03)
    assert partial.error == pytest.approx(math.sqrt(2 * family.noise.variance / 2))
    assert alone.p_value is None and alone.by_seed == {} and alone.difference == pytest.approx(0.0)
    assert family.tested == 2 and family.contrasts[1].p_holm == pytest.approx(
        max(min(1.0, 2 * min(c.p_value for c in family.contrasts[1:3])), family.contrasts[1].p_value)
    )


def test_one_seed_says_nothing_of_seeds():
    """No p, and the interval is that of the test set."""
    sets = np.array([[-0.01, 0.01] * 2, [0.01, -0.01] * 2])
    family = compared([{1: 0.4}, {1: 0.5}], sets)
    (contrast,) = family.contrasts[1:]
    assert family.noise is None and family.tested == 0
    assert contrast.p_value is contrast.p_holm is contrast.visible is None
    assert contrast.high - contrast.difference == pytest.approx(2.2622 * 0.02 * math.sqrt(10 / 9), abs=1e-5)
    assert Noise.of([]) is None


def test_other_texts_of_the_same_trainings():
    """They add nothing to what is known of seeds, and differ from the reference by what the two alone say."""
    rates = [*TABLE, {1: 0.37, 2: 0.42, 3: 0.45}]
    plain = compared(TABLE)
    observed = np.array([rate for table in rates for rate in table.values()])
    found = variants(rates)
    found[3] = Variant(found[3].systems, found[0].trained)
    family = compare_variants(found, 0, Resampled(observed, np.tile(observed[:, None], 4)), 10)
    assert family.noise == plain.noise
    scoring = family.contrasts[3]
    steps = np.array([0.01, 0.01, 0.02])  # of the seeds
    assert scoring.error == pytest.approx(steps.std(ddof=1) / math.sqrt(3)) and scoring.freedom == pytest.approx(2)


def test_equal_is_equal():
    """Neither rounding nor an error of zero makes a difference; a difference without any spread is one."""
    same = [{1: 0.1, 2: 0.2, 3: 0.3}, {3: 0.3, 2: 0.2, 1: 0.1}, {1: 0.2, 2: 0.3, 3: 0.4}]
    equal, shifted = compared(same).contrasts[1:]
    assert (equal.difference, equal.p_value, shifted.p_value) == (0.0, 1.0, 0.0)


# --- simulated --------------------------------------------------------------------------------------------------------

UTTERANCES, LENGTH, SETS = 55, 80, 400  # the first two as Swahili's test set, in characters


@functools.cache
def drawn_sets(speakers):
    """How often each speaker is in each test set."""
    return np.random.default_rng(0).multinomial(speakers, [1 / speakers] * speakers, SETS).astype(float)


def simulated(rng, effects, speakers=UTTERANCES, seed_sd=0.015):
    """An ablation: errors come from variant, seed, the rest of both, utterance, what suits a speaker, and chance."""
    of = np.arange(UTTERANCES) % speakers
    seeds = rng.normal(0, seed_sd, len(SEEDS)) + rng.normal(0, seed_sd, (len(effects), len(SEEDS)))
    # What suits a variant in a speaker is part of what another test set would change.
    suits = np.vstack([np.zeros(speakers), rng.normal(0, 0.05, (len(effects) - 1, speakers))])
    rates = 0.25 + np.array(effects)[:, None, None] + seeds[..., None] + rng.normal(0, 0.06, UTTERANCES)
    errors = rng.binomial(LENGTH, (rates + suits[:, None, of]).clip(0.01, 0.99)).reshape(-1, UTTERANCES)
    times = drawn_sets(speakers)[:, of]
    drawn = Resampled(errors.mean(1) / LENGTH, errors @ times.T / (LENGTH * times.sum(1)))
    return compare_variants(variants([dict.fromkeys(SEEDS)] * len(effects)), 0, drawn, speakers)


@pytest.mark.parametrize("speakers", [UTTERANCES, 8])
def test_false_alarms(speakers):
    """Of 200 ablations in which nothing differs, Holm finds a difference in 5 % at most, give or take chance."""
    rng = np.random.default_rng(19)
    families = [simulated(rng, [0.0] * 6, speakers) for _ in range(200)]
    alarms = sum(any(c.p_holm < 0.05 for c in family.contrasts[1:]) for family in families)
    print(f"{alarms} false alarms in 200 ablations, {speakers} drawn")
    assert 1 <= alarms <= 17


def test_power():
    """A difference of the size that is said to be visible is found about four times in five, alone and by Holm."""
    rng = np.random.default_rng(7)
    first = [simulated(rng, [0.0] * 6) for _ in range(40)]
    contrasts = [c for family in first for c in family.contrasts[1:]]
    for visible, name in (("visible", "p_value"), ("visible_holm", "p_holm")):
        size = np.mean([getattr(c, visible) for c in contrasts])
        families = [simulated(rng, [0.0, size, 0, 0, 0, 0]) for _ in range(200)]
        found = np.mean([getattr(family.contrasts[1], name) < 0.05 for family in families])
        print(f"{found:.0%} of the differences of {100 * size:.1f} points by {name}")
        assert 0.72 <= found <= 0.88, name
