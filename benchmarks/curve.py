"""Learning curves of `adapting.py` and `ranking.py`: error rates before and after so many minutes."""

from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from serenanet_modules.analysis.bootstrap import resample


@dataclass(frozen=True)
class Change:
    """WER in percent of two models, and the difference with its 95 % interval, of so many utterances."""

    before: float
    after: float
    difference: float
    low: float
    high: float
    utterances: int

    @property
    def cells(self):
        """What a table has of it."""
        return f"{self.before:.1f}", f"{self.after:.1f}", f"{self.difference:+.1f} ({self.low:+.1f} … {self.high:+.1f})"


def change(before, after):
    """The `Change` between errors of utterances; a list of such stands for several seeds."""
    found = resample([before, after])
    told = found.compare(0, 1)
    return Change(*(100 * x for x in (*found.observed, told.difference, told.low, told.high)), len(before))


def line(name, found):
    """A row of text for a `Change`."""
    before, after, difference = found.cells
    return f"{name:<36} {before:>6} {after:>6}  {difference}"


def table(head, rows):
    """Yield the lines of a table of (name, `Change`)."""
    yield f"| {head} | before | after | difference (95 % interval) |"
    yield "|---|---|---|---|"
    yield from (f"| {name} | {' | '.join(found.cells)} |" for name, found in rows)


def draw(panels, png):
    """Draw WER over minutes, and the interval of the difference about each point.

    Parameters
    ----------
    panels : dict of str to dict of str to dict of float to Change
        By title, name of a curve, and minutes.
    png : Path
    """
    figure = Figure(figsize=(4.5 * len(panels), 4), layout="constrained")
    for (title, curves), axes in zip(panels.items(), figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
        for aside, (name, points) in enumerate(curves.items()):  # intervals beside each other
            minutes, found = [0, *points], list(points.values())
            places = [minute + 0.01 * aside * minutes[-1] for minute in minutes]
            reach = [[0, *(c.difference - c.low for c in found)], [0, *(c.high - c.difference for c in found)]]
            rates = [found[0].before, *(c.after for c in found)]
            axes.errorbar(places, rates, yerr=reach, marker=".", capsize=3, label=name)
        axes.set(xlabel="minutes", title=f"{title}, {found[0].utterances} utterances", xticks=minutes)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.axes[0].set_ylabel("WER, %")
    Path(png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=110)
