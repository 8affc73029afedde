"""How sure is an error rate, and is one system really better? Bootstrap over utterances.

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004. Test sets are drawn anew from the utterances, with replacement; the spread of the
corpus error rate over these replicates is its uncertainty. It treats utterances as independent;
with few speakers the true uncertainty is larger.

A system trained with several seeds is pooled: an utterance, drawn or not, brings the errors of all
seeds with it. The uncertainty is then that of the mean over these seeds on other utterances; what
other seeds would have given is not in it, and `hierarchy` adds it.
"""

import math
from dataclasses import asdict, dataclass

import numpy as np

CHUNK = 2**22  # drawn utterances in memory at once
LEVEL, REPLICATES = 0.95, 10_000


@dataclass(frozen=True)
class Comparison:
    """System b against system a on the same utterances; a negative difference means b is better.

    Attributes
    ----------
    difference : float
        Error rate of b minus that of a.
    low, high : float
        Interval of the difference.
    p_value : float
        Two-sided: how often chance alone would give a difference at least this clear.
    improvement : float
        Probability of improvement: share of replicates in which b has the lower rate.
    """

    difference: float
    low: float
    high: float
    p_value: float
    improvement: float


def interval(counts, level=LEVEL, replicates=REPLICATES, seed=0):
    """Bootstrap interval of a corpus error rate.

    Parameters
    ----------
    counts : iterable of ErrorCounts
        One for each utterance, such as `Score.per_utterance.values()`.
    level : float
        Probability that the interval covers.
    replicates : int
    seed : int

    Returns
    -------
    tuple of float
        Low and high end, as rates (0.1 is 10 %). Both equal the rate where there are fewer than two
        utterances.

    Examples
    --------
    >>> from serenanet_modules.analysis.scoring import ErrorCounts
    >>> low, high = interval([ErrorCounts(9, 1), ErrorCounts(6, 4), ErrorCounts(8, 2)])
    >>> round(low, 2), round(high, 2)
    (0.1, 0.4)
    """
    errors, lengths = _table(counts)
    rates = _rates(errors[None], lengths, replicates, seed)[0]
    return _middle(rates, level)


def with_interval(result):
    """A `Score` as result.json holds it: rate and 95 % interval in percent, and the counts."""
    low, high = interval(result.per_utterance.values())
    return {
        "percent": round(100 * result.total.rate, 3),
        "interval_95": [round(100 * low, 3), round(100 * high, 3)],
        **asdict(result.total),
    }


def compare(a, b, level=LEVEL, replicates=REPLICATES, seed=0):
    """Paired bootstrap of two systems.

    Parameters
    ----------
    a, b : dict of str to ErrorCounts, or list of such
        By utterance id, such as `Score.per_utterance`; a list has one for each seed.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Where the two were not scored on the same utterances and references.
    """
    return resample([a, b], replicates, seed).compare(0, 1, level)


@dataclass(frozen=True)
class Resampled:
    """Several systems on the same test sets.

    Attributes
    ----------
    observed : ndarray
        Error rates on the test set itself, (S,).
    rates : ndarray
        Error rates on each resampled test set, (S, replicates).
    """

    observed: np.ndarray
    rates: np.ndarray

    def interval(self, system, level=LEVEL):
        """Low and high end of a system's error rate, or of the mean of some, by a list of their numbers."""
        return _middle(np.atleast_2d(self.rates[system]).mean(0), level)

    def compare(self, a, b, level=LEVEL):
        """`Comparison` of system b with system a, by their numbers."""
        differences = self.rates[b] - self.rates[a]
        # Counting the observed set as one more replicate keeps p above zero.
        tails = (np.sum(differences <= 0) + 1, np.sum(differences >= 0) + 1)
        return Comparison(
            float(self.observed[b] - self.observed[a]),
            *_middle(differences, level),
            p_value=float(min(1.0, 2 * min(tails) / (len(differences) + 1))),
            improvement=float(np.mean(differences < 0)),
        )


def resample(systems, replicates=REPLICATES, seed=0, of=None):
    """Draw test sets anew, the same ones for all systems.

    Parameters
    ----------
    systems : list
        Each a dict of utterance id to ErrorCounts, or a list of such, one for each seed, that is pooled.
    replicates, seed : int
    of : dict of str to str, optional
        Utterance id -> what is drawn in its place, such as its speaker, with all utterances of it.

    Returns
    -------
    Resampled

    Raises
    ------
    ValueError
        Where they were not scored on the same utterances and references.

    Examples
    --------
    >>> from serenanet_modules.analysis.scoring import ErrorCounts
    >>> one, other = {"u": ErrorCounts(9, 1)}, {"u": ErrorCounts(8, 2)}
    >>> resample([one, [one, other]]).observed
    array([0.1 , 0.15])
    """
    systems = [system if isinstance(system, list) else [system] for system in systems]
    names = systems[0][0].keys()
    tables = [[_of(names, seed) for seed in seeds] for seeds in systems]
    lengths = tables[0][0][1]
    if any((table[1] != lengths).any() for seeds in tables for table in seeds):
        raise ValueError("The systems were scored against different references.")
    # Whole numbers over a common denominator: equal rates stay equal.
    common = math.lcm(*map(len, systems))
    errors = np.stack([sum(table[0] for table in seeds) * (common // len(seeds)) for seeds in tables])
    lengths = lengths * common
    if of is not None:
        groups = [of[name] for name in names]
        errors, lengths = _together(errors, groups), _together(lengths[None], groups)[0]
    return Resampled(errors.sum(1) / max(1, lengths.sum()), _rates(errors, lengths, replicates, seed))


def _together(values, groups):
    """Sums (S, G) of the values (S, N) of each group."""
    number = {group: i for i, group in enumerate(dict.fromkeys(groups))}
    sums = np.zeros((len(values), len(number)), values.dtype)
    np.add.at(sums, (slice(None), [number[group] for group in groups]), values)
    return sums


def _of(names, counts):
    """Errors and reference lengths in the order of names, (N,) each."""
    if counts.keys() != names:
        raise ValueError("The systems were scored on different utterances.")
    return _table(counts[name] for name in names)


def _table(counts):
    """Errors and reference lengths, (N,) each."""
    rows = [(c.errors, c.length) for c in counts]
    if not rows:
        raise ValueError("There are no utterances to resample.")
    return np.array(rows, np.int64).T


def _rates(errors, lengths, replicates, seed):
    """Error rates of S systems on the same resampled test sets, (S, replicates)."""
    generator = np.random.default_rng(seed)
    count = len(lengths)
    rows = max(1, CHUNK // count)
    table = np.vstack([errors, lengths]).T.astype(float)  # exact for whole numbers
    rates = []
    for start in range(0, replicates, rows):
        drawn = generator.integers(count, size=(min(rows, replicates - start), count))
        drawn += count * np.arange(len(drawn))[:, None]
        times = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)  # each utterance was drawn
        sums = times.astype(float) @ table  # (rows, S + 1)
        rates.append(sums[:, :-1].T / np.maximum(1, sums[:, -1]))
    return np.concatenate(rates, axis=1)


def _middle(values, level):
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
