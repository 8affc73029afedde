"""Are variants of a model different? What other seeds and other test sets would have shown, in one standard error.

``y[v, s]`` is the error rate of variant v trained with seed s. A difference D of two variants is the mean over the
seeds that both have, and has two sources of chance:

- **Seeds.** ``y[v, s] = variant + seed + rest``; the seed's own part is in both variants and cancels. The variance of
  the rest is pooled over all variants, ``MS = sum of r² / ((V - 1)(k - 1))`` with ``r = y - variant mean - seed mean +
  mean`` where all V variants have all k seeds (least squares where they do not), and D has ``S = 2 MS / k`` of it.
  Pooling assumes that all variants vary alike.
- **Test set.** ``U`` is the variance of D over test sets that are drawn anew from its speakers, recordings or
  utterances (`Drawn`). What is drawn comes with all of its utterances: the spread of the drawn already holds that of
  the utterances within them, and drawing these too would count it twice (A. C. Davison and D. V. Hinkley, "Bootstrap
  Methods and their Application", 1997, section 3.8). ``I`` is the part of U that is of single seeds: it is what their
  differences do not have in common, and S holds it already.

``t = D / sqrt(S + U - I)``, or ``D / sqrt(S)`` where I is the larger: as radiologists' methods are compared that all
read the same pictures (N. A. Obuchowski and H. E. Rockette, Communications in Statistics 24, 1995; S. L. Hillis,
Statistics in Medicine 26, 2007). Its degrees of freedom are those of F. E. Satterthwaite, "An approximate distribution
of estimates of variance components", Biometrics Bulletin 2, 1946. S. Holm, "A simple sequentially rejective multiple
test procedure", Scandinavian Journal of Statistics 6, 1979, corrects p for the number of variants.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import stdtr, stdtrit  # Student's t; scipy.stats would load for a second

LEVEL, POWER = 0.95, 0.8
DIGITS = 12  # of rates as shares; what is smaller is the computer's rounding


@dataclass(frozen=True)
class Variant:
    """A variant's trainings.

    Attributes
    ----------
    systems : dict of int to int
        Seed -> which system of a `bootstrap.Resampled` the training is.
    trained : dict of int to hashable
        Seed -> what is equal for two variants that are read from one training.
    """

    systems: dict
    trained: dict


@dataclass(frozen=True)
class Noise:
    """What seeds do to the variants' rates beyond what they do to all alike.

    Attributes
    ----------
    variance : float
        The mean square of the residuals, of rates as shares.
    freedom : int
        Its degrees of freedom.
    """

    variance: float
    freedom: int

    @property
    def sd(self):
        """Standard deviation of one training."""
        return math.sqrt(self.variance)

    @classmethod
    def of(cls, rates):
        """From the rates of trainings; None where they leave no degree of freedom.

        Parameters
        ----------
        rates : list of dict
            For each variant, seed -> rate.

        Examples
        --------
        >>> Noise.of([{1: 0.10, 2: 0.16}, {1: 0.20, 2: 0.22}])  # residuals ±0.01
        Noise(variance=0.0004..., freedom=1)
        >>> Noise.of([{1: 0.1}, {1: 0.2}]) is None
        True
        """
        cells = [(v, seed, rate) for v, own in enumerate(rates) for seed, rate in own.items()]
        if not cells:
            return None
        variants, seeds, values = zip(*cells, strict=True)
        design = np.hstack([_indicators(variants), _indicators(seeds)])
        fitted, _, rank, _ = np.linalg.lstsq(design, np.array(values), rcond=None)
        freedom = len(cells) - int(rank)
        return cls(float(np.sum((values - design @ fitted) ** 2)) / freedom, freedom) if freedom else None


@dataclass(frozen=True)
class Contrast:
    """A variant against the reference; a negative difference means that it is better. Rates are shares.

    Attributes
    ----------
    difference, low, high : float
        With the interval of this difference alone. It is of the test set only where there is no ``p_value``.
    by_seed : dict
        Seed that both have -> difference; all of each where they have none in common.
    error : float
        Standard error.
    freedom : float
        Degrees of freedom of t.
    p_value, p_holm : float or None
        Two-sided, for it alone and among all of its family. None where seeds are not accounted for: one seed, or none
        in common.
    visible, visible_holm : float or None
        The smallest difference that would have been found with a probability of 80 %, alone and at Holm's first step.
    """

    difference: float
    low: float
    high: float
    by_seed: dict
    error: float
    freedom: float
    p_value: float | None = None
    p_holm: float | None = None
    visible: float | None = None
    visible_holm: float | None = None


@dataclass(frozen=True)
class Family:
    """Variants that are compared with one reference by one measure on one test set.

    Attributes
    ----------
    contrasts : list of Contrast or None
        In the variants' order; None for the reference.
    noise : Noise or None
    """

    contrasts: list = field(repr=False)
    noise: Noise | None = None

    @property
    def tested(self):
        """How many comparisons Holm's procedure corrects for."""
        return sum(c is not None and c.p_value is not None for c in self.contrasts)


def compare_variants(variants, reference, drawn, count, level=LEVEL):
    """Compare variants with one of them.

    A variant that is read from trainings of another one before it, or of the reference, says nothing of its own on
    seeds and is left out of their variance. One that is read from the reference's trainings differs from it by less
    than trainings do: the variance of its difference is that of the two alone.

    Parameters
    ----------
    variants : list of Variant
    reference : int
        Which of them.
    drawn : Resampled
        All trainings on the same drawn test sets.
    count : int
        Of how many speakers, recordings or utterances these were drawn.
    level : float

    Returns
    -------
    Family
    """
    rates = [{s: float(drawn.observed[i]) for s, i in v.systems.items()} for v in variants]
    noise = Noise.of(_independent(variants, rates, reference))
    base, found = variants[reference], []
    for number, variant in enumerate(variants):
        if number == reference:
            found.append(None)
            continue
        own = noise
        if set(variant.trained.values()) & set(base.trained.values()):
            own = Noise.of([rates[reference], rates[number]])
        found.append(_contrast(variant, base, drawn, count, own, level))
    return Family(_corrected(found, 1 - level), noise)


def holm(p_values):
    """P-values corrected for their number.

    Examples
    --------
    >>> holm([0.03, 0.01, 0.04])
    [0.06, 0.03, 0.06]
    """
    count, corrected, largest = len(p_values), [0.0] * len(p_values), 0.0
    for rank, i in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min(1.0, (count - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def satterthwaite(parts):
    """Degrees of freedom of a sum of (variance, degrees of freedom); those of the first where all are zero.

    A variance that is taken off is below zero; the sum has no fewer than the part that has fewest.

    Examples
    --------
    >>> satterthwaite([(3.0, 10), (1.0, 2)])
    11.428571428571429
    """
    total = sum(variance for variance, _ in parts)
    below = sum(variance**2 / freedom for variance, freedom in parts)
    return max(total**2 / below, min(freedom for _, freedom in parts)) if below else float(parts[0][1])


def _corrected(contrasts, alpha):
    """The same with what depends on how many are tested."""
    tested = [i for i, c in enumerate(contrasts) if c is not None and c.p_value is not None]
    found = list(contrasts)
    for i, p in zip(tested, holm([contrasts[i].p_value for i in tested]), strict=True):
        visible = (_visible(contrasts[i], level) for level in (alpha, alpha / len(tested)))
        found[i] = replace(contrasts[i], p_holm=p, **dict(zip(("visible", "visible_holm"), visible, strict=True)))
    return found


def _independent(variants, rates, reference):
    """Rates of the trainings that are of no variant before."""
    order = [reference, *(i for i in range(len(variants)) if i != reference)]
    kept, seen = [], set()
    for i in order:
        kept.append({s: rate for s, rate in rates[i].items() if variants[i].trained[s] not in seen})
        seen |= set(variants[i].trained.values())
    return kept


def _indicators(values):
    """(N, different values) of 0 and 1."""
    return (np.array(values)[:, None] == np.array(list(dict.fromkeys(values)))).astype(float)


def _contrast(variant, base, drawn, count, noise, level):
    """A `Contrast` on its own."""
    shared = [seed for seed in base.systems if seed in variant.systems]
    ours, theirs = (
        [v.systems[seed] for seed in shared] if shared else list(v.systems.values()) for v in (variant, base)
    )
    difference = float(drawn.observed[ours].mean() - drawn.observed[theirs].mean())
    by_seed = {s: float(drawn.observed[variant.systems[s]] - drawn.observed[base.systems[s]]) for s in shared}
    tested = noise is not None and bool(shared)
    if tested:
        seeds = 2 * noise.variance / len(shared), noise.freedom
        parts = [seeds, *_of_sets(drawn.rates[ours] - drawn.rates[theirs], count)]
    else:
        parts = _of_sets((drawn.rates[ours].mean(0) - drawn.rates[theirs].mean(0))[None], count)
    difference, freedom = round(difference, DIGITS), satterthwaite(parts)
    error = round(math.sqrt(sum(variance for variance, _ in parts)), DIGITS)
    half = float(stdtrit(freedom, (1 + level) / 2)) * error
    p_value = _two_sided(difference, error, freedom) if tested else None
    return Contrast(difference, difference - half, difference + half, by_seed, error, freedom, p_value)


def _of_sets(differences, count):
    """U and -I, each with its degrees of freedom, of differences (seeds, sets) over sets drawn of ``count``."""
    if count == 1:
        return [(0.0, math.inf)]
    # The spread of what is drawn from C is (C - 1) / C of that of where these C come from.
    covariance = np.atleast_2d(np.cov(differences, ddof=0)) * count / (count - 1)
    seeds, whole = len(covariance), float(covariance.mean())
    if seeds == 1:
        return [(whole, count - 1)]
    own = (float(np.trace(covariance)) / seeds - whole) / (seeds - 1)
    return [(whole, count - 1), (-own, (count - 1) * (seeds - 1))] if whole > own else []


def _two_sided(difference, error, freedom):
    if not error:
        return float(not difference)
    return float(2 * stdtr(freedom, -abs(difference) / error))


def _visible(contrast, alpha):
    """The difference that is found with a probability of `POWER` at a level of significance."""
    return float(stdtrit(contrast.freedom, 1 - alpha / 2) + stdtrit(contrast.freedom, POWER)) * contrast.error
