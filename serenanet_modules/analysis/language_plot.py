"""A plot of many languages' error rates, region by region."""

from matplotlib.figure import Figure

from serenanet_modules.analysis.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION

COLOURS = (VERMILION, BLUE, GREEN, ORANGE, PURPLE, SKY, GREY)
MARKS = {"WER": "o", "CER": "s"}
INCHES = 0.17  # of a line


def plot(lines):
    """A line for each language with its score and 95 % interval, from the best to the worst of each region.

    Parameters
    ----------
    lines : list of languages.Line
        With scores. The dotted line of a region is the mean over its languages.

    Returns
    -------
    Figure
    """
    regions = sorted({line.region for line in lines})
    figure = Figure(figsize=(7, 1.2 + INCHES * (len(lines) + 2 * len(regions))), layout="constrained")
    panels = figure.subplots(
        len(regions), 1, sharex=True, squeeze=False, height_ratios=[1 + _count(lines, region) for region in regions]
    )
    for panel, region, colour in zip(panels[:, 0], regions, COLOURS * len(regions), strict=False):
        _region(panel, region, sorted((line for line in lines if line.region == region), key=_score), colour)
    panels[-1, 0].set_xlim(left=0)
    panels[-1, 0].set_xlabel("score, % (circle: WER, square: CER), with its 95 % interval")
    return figure


def _count(lines, region):
    return sum(line.region == region for line in lines)


def _score(line):
    return line.score


def _region(panel, region, lines, colour):
    for place, line in enumerate(lines):
        panel.hlines(place, *line.interval, color=colour, linewidth=1)
        panel.plot(line.score, place, MARKS[line.measure], color=colour, markersize=4)
    mean = sum(map(_score, lines)) / len(lines)
    panel.axvline(mean, color=colour, linewidth=0.8, linestyle=":")
    panel.set_title(f"{region}, mean {mean:.1f}", loc="left", fontsize="small")
    panel.set_yticks(range(len(lines)), [line.name for line in lines], fontsize="x-small")
    panel.set_ylim(len(lines) - 0.4, -0.6)
    panel.grid(axis="x", linewidth=0.4, alpha=0.6)
    panel.spines[["top", "right"]].set_visible(False)
