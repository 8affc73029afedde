"""A plot of variants' differences to their reference."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from serenanet_modules.analysis.palette import BLACK, BLUE, VERMILION
from serenanet_modules.analysis.summary import UNITS
from serenanet_modules.runtime.amounts import counted

PALE = "#E4E4E4"
FOUND = 0.05  # p after Holm, below which a difference counts as found


def differences(rows, split, measures, reference):
    """Difference of each variant with its interval, a panel for each measure; better is left.

    Parameters
    ----------
    rows : list of Row
        Of one kind of decoder; those without a difference are left out.
    split : str
    measures : list of str
    reference : System
    """
    shown = [row for row in rows if any((split, m) in row.differences for m in measures)]
    figure = Figure(figsize=(2.2 + 3.7 * len(measures), 2.2 + 0.34 * len(shown)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for panel, measure in zip(panels, measures, strict=True):
        for place, row in enumerate(shown):
            if contrast := row.differences.get((split, measure)):
                _difference(panel, place, contrast)
        panel.axvline(0, color=BLACK, linewidth=0.8)
        panel.set_xlabel(_label(shown, split, measure, reference), fontsize="small")
        for text, side in (("← better  ", "right"), ("  worse →", "left")):
            panel.text(0, -0.75, text, ha=side, va="bottom", fontsize="small")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", linewidth=0.4, alpha=0.6)
        panel.set_axisbelow(True)
        panel.tick_params(axis="x", labelsize="small")
        _symmetric(panel)
    panels[0].set_yticks(range(len(shown)), [row.system.name for row in shown])
    panels[0].set_ylim(len(shown) - 0.4, -0.6)
    contrasts = [row.differences[split, m] for row in shown for m in measures if (split, m) in row.differences]
    handles, columns = list(_legend(contrasts)), min(2, len(measures))
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize="small")
    return figure


def _difference(panel, place, contrast):
    """Its interval, its seeds beneath, and behind it what would not have been seen."""
    if contrast.visible_holm is not None:
        panel.barh(place, 200 * contrast.visible_holm, left=-100 * contrast.visible_holm, height=0.72, color=PALE)
    ends = [[100 * (contrast.difference - contrast.low)], [100 * (contrast.high - contrast.difference)]]
    colour = BLUE if _found(contrast) else "white"
    look = {"fmt": "o", "color": BLUE, "markerfacecolor": colour, "markersize": 6, "capsize": 3}
    _, _, (line,) = panel.errorbar(100 * contrast.difference, place, None, ends, **look)
    line.set_linestyle("-" if contrast.p_holm is not None else ":")
    seeds = 100 * np.array(list(contrast.by_seed.values()))
    if len(seeds) > 1:
        panel.plot(seeds, np.full(len(seeds), place + 0.24), "|", color=VERMILION, markersize=6, zorder=3)


def _found(contrast):
    return contrast.p_holm is not None and contrast.p_holm < FOUND


def _label(rows, split, measure, reference):
    """What the axis shows, and of how much."""
    row = next(row for row in rows if (split, measure) in row.differences)
    seeds = sorted({len(r.differences[split, measure].by_seed) for r in rows if (split, measure) in r.differences})
    count = row.system.counted(split, row.kind, measure)
    many = f"{seeds[0]} to {seeds[-1]} seeds" if len(seeds) > 1 else counted(seeds[0], "seed")
    first = f"{split} {measure} minus that of {reference.name}, points"
    return f"{first}\nn = {count:,} {UNITS[measure]}; {many}; {row.kind}\nresampled: {_wrapped(row.drawn[split])}"


def _wrapped(text):
    """In two lines where it is long."""
    head, comma, tail = text.partition(", ")
    return f"{head},\n{tail}" if comma and len(text) > 48 else text


def _symmetric(panel):
    """As much to the left of zero as to the right."""
    most = max(map(abs, panel.get_xlim()))
    panel.set_xlim(-most, most)


def _legend(contrasts):
    """What there is of it in the picture."""
    tested = [c for c in contrasts if c.p_holm is not None]
    ring = {"marker": "o", "color": BLUE, "markersize": 6}
    hollow = {**ring, "markerfacecolor": "white"}
    if any(_found(c) for c in tested):
        yield Line2D([], [], **ring, label="mean over seeds, 95 % interval: significant (p < 0.05 after Holm)")
    if not all(_found(c) for c in tested):
        yield Line2D([], [], **hollow, label="mean over seeds, 95 % interval: not significant")
    if len(tested) < len(contrasts):
        yield Line2D([], [], **hollow, linestyle=":", label="not tested, interval of the test set alone")
    if any(len(c.by_seed) > 1 for c in contrasts):
        yield Line2D([], [], linestyle="", marker="|", color=VERMILION, label="a seed")
    if tested:
        yield Patch(color=PALE, label="too small to be found with 80 % power (Holm's first step)")
