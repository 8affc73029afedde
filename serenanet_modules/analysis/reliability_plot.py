"""Reliability diagrams: how many of the words with a confidence are right."""

import numpy as np
from matplotlib.figure import Figure

from serenanet_modules.analysis.palette import BLACK, BLUE, ORANGE
from serenanet_modules.analysis.reliability import BINS, error_of, wilson

COLOURS = {"raw": ORANGE, "calibrated": BLUE}
SHIFT = 0.008  # to the side, so that intervals of the two do not lie upon each other


def diagram(measured):
    """Share of words that are right over their confidence, and below how many words have it; a column a decoder.

    Parameters
    ----------
    measured : dict
        decoder -> ``raw`` or ``calibrated`` -> bins, as of `analysis.reliability.reliability`. Vertical lines are 95 %
        intervals (Wilson) over words.

    Returns
    -------
    Figure
    """
    figure, lines = Figure(figsize=(0.6 + 3.3 * len(measured), 4.9), layout="constrained"), {}
    panels = figure.subplots(2, len(measured), sharex=True, sharey="row", squeeze=False, height_ratios=[2.6, 1])
    for (shares, counts), (decoder, kinds) in zip(panels.T, measured.items(), strict=True):
        shares.plot([0, 1], [0, 1], color=BLACK, linewidth=0.8, linestyle=":")
        for place, (kind, bins) in enumerate(kinds.items()):
            lines[kind] = _shares(shares, bins, COLOURS[kind], SHIFT * (2 * place - 1))
            _counts(counts, bins, COLOURS[kind], place, len(kinds))
        errors = ", ".join(f"{kind} {error_of(bins):.3f}" for kind, bins in kinds.items())
        shares.set_title(f"{decoder}\nECE {errors}", fontsize="small")
        shares.set(ylim=(-0.02, 1.02), xlim=(0, 1))
        counts.set_xlabel("confidence")
        for panel in (shares, counts):
            panel.spines[["top", "right"]].set_visible(False)
            panel.grid(linewidth=0.4, alpha=0.6)
            panel.set_axisbelow(True)
            panel.set_xticks(np.linspace(0, 1, 6))
    panels[0, 0].set_ylabel("share of words that are right")
    panels[1, 0].set_ylabel("words")
    where = {"loc": "outside lower center", "ncols": len(lines), "frameon": False, "fontsize": "small"}
    figure.legend(lines.values(), [f"{kind} confidences" for kind in lines], **where)
    return figure


def _shares(panel, bins, colour, shift):
    """Draw a line with its intervals, and give the line."""
    filled = [b for b in bins if b]
    said, right = [b["confidence"] + shift for b in filled], [b["right"] / b["words"] for b in filled]
    ends = np.array([wilson(b["right"], b["words"]) for b in filled]).T  # (2, bins)
    panel.vlines(said, *ends, color=colour, linewidth=1)
    return panel.plot(said, right, "o-", color=colour, markersize=4, linewidth=1)[0]


def _counts(panel, bins, colour, place, kinds):
    width = 0.8 / BINS / kinds
    starts = np.arange(BINS) / BINS + 0.1 / BINS + place * width
    panel.bar(starts, [b["words"] if b else 0 for b in bins], width=width, align="edge", color=colour)
