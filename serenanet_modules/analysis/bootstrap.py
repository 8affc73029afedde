"""How sure is an error rate, and is one system really better? Bootstrap over utterances.

M. Bisani and H. Ney, "Bootstrap estimates for confidence intervals in ASR performance evaluation",
ICASSP 2004. Test sets are drawn anew from the utterances, with replacement; the spread of the
corpus error rate over these replicates is its uncertainty. It treats utterances as independent;
with few speakers the true uncertainty is larger.
"""

from dataclasses import dataclass

import numpy as np

CHUNK = 2**22  # drawn utterances in memory at once


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


def interval(counts, level=0.95, replicates=10_000, seed=0):
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


def compare(a, b, level=0.95, replicates=10_000, seed=0):
    """Paired bootstrap of two systems.

    Parameters
    ----------
    a, b : dict of str to ErrorCounts
        By utterance id, such as `Score.per_utterance`.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Where the two were not scored on the same utterances and references.
    """
    if a.keys() != b.keys():
        raise ValueError("The two systems were scored on different utterances.")
    errors_a, lengths_a = _table(a.values())
    errors_b, lengths_b = _table(b[name] for name in a)
    if (lengths_a != lengths_b).any():
        raise ValueError("The two systems were scored against different references.")
    rates_a, rates_b = _rates(np.stack([errors_a, errors_b]), lengths_a, replicates, seed)
    differences = rates_b - rates_a
    # Counting the observed set as one more replicate keeps p above zero.
    tails = (np.sum(differences <= 0) + 1, np.sum(differences >= 0) + 1)
    return Comparison(
        float((errors_b.sum() - errors_a.sum()) / max(1, lengths_a.sum())),
        *_middle(differences, level),
        p_value=float(min(1.0, 2 * min(tails) / (replicates + 1))),
        improvement=float(np.mean(differences < 0)),
    )


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
    rates = []
    for start in range(0, replicates, rows):
        drawn = generator.integers(count, size=(min(rows, replicates - start), count))
        length = np.maximum(1, lengths[drawn].sum(-1))
        rates.append([system[drawn].sum(-1) / length for system in errors])
    return np.concatenate(rates, axis=1)


def _middle(values, level):
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
