"""How far trainings of one system stray, for people: what the comparison of systems rests on."""

import numpy as np

from serenanet_modules.analysis.folders import in_order
from serenanet_modules.analysis.summary import MEASURES

LEVEL = 0.95


def lines(table):
    """Yield what was drawn of each set, and how far seeds stray by each measure of the last one.

    Parameters
    ----------
    table : dict of str to list of Row
        From `summary.summarise`.
    """
    sets = in_order(s for rows in table.values() for row in rows for s in row.drawn)
    for split in sets:
        texts = dict.fromkeys(row.drawn[split] for rows in table.values() for row in rows if split in row.drawn)
        yield f"bootstrap of {split}: resamples its {'; its '.join(texts)}"
    for kind, rows in table.items():
        for key in [(sets[-1], measure) for measure in MEASURES]:
            if noise := next((row.families[key].noise for row in rows if key in row.families), None):
                alone = {row.system.name: row.rates[key] for row in _independent(rows) if key in row.rates}
                told = f"{kind}, {' '.join(key)}: standard deviation over seeds {100 * noise.sd:.1f} points (without "
                told += f"what a seed does to all systems alike, pooled, {noise.freedom} degrees of freedom)"
                yield told + _range({name: spread for name, spread in alone.items() if spread.sd is not None})


def _independent(rows):
    """The rows but those that are read from the trainings of one before."""
    seen = set()
    for row in rows:
        folders = {result.folder for result in row.system.results}
        if not folders & seen:
            yield row
        seen |= folders


def _range(spreads):
    """The least and the most of systems' own deviations; pooling takes them for equal."""
    if len(spreads) < 2:
        return ""
    least, most = (choose(spreads, key=lambda name: spreads[name].sd) for choose in (min, max))
    low, high = spreads[least].sd, spreads[most].sd
    told = f"; of single systems {low:.1f} ({least}) to {high:.1f} ({most})"
    if not low:
        return told
    chance = chance_ratio([spread.count - 1 for spread in spreads.values()])
    return f"{told}, a ratio of {high / low:.1f}; if all were equal, at most {chance:.1f} in 95 % of cases"


def chance_ratio(freedoms, draws=20_000):
    """What the largest of several equal standard deviations is at most over the smallest, in 95 % of cases.

    Examples
    --------
    >>> 6.1 < chance_ratio([2, 2]) < 6.4  # the root of F(2, 2) at 97.5 %, 39
    True
    """
    drawn = np.random.default_rng(0).chisquare(freedoms, (draws, len(freedoms))) / freedoms
    return float(np.quantile(np.sqrt(drawn.max(1) / drawn.min(1)), LEVEL))
