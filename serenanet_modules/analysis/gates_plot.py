"""Gate weights by phone class, drawn."""

import numpy as np
from matplotlib.figure import Figure

from serenanet_modules.analysis.palette import BLACK, BLUE, GREEN, ORANGE, PURPLE, SKY
from serenanet_modules.data.phone_classes import CLASSES
from serenanet_modules.runtime.amounts import counted

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, SKY)  # as of the weights over a spectrogram


def figure(found, name):
    """A group of bars for each class that has frames, a bar for each resolution, with 95 % intervals.

    Parameters
    ----------
    found : Gates
    name : str
        Of the system.
    """
    shown = [i for i in range(len(CLASSES)) if found.frames[i]]
    count = len(found.milliseconds)
    drawn = Figure(figsize=(2.0 + 1.3 * len(shown), 4.0), layout="constrained")
    panel, width = drawn.subplots(), 0.8 / count
    for j, ms in enumerate(found.milliseconds):
        places = np.arange(len(shown)) + (j - (count - 1) / 2) * width
        means, low, high = (part[shown, j] for part in (found.means, found.low, found.high))
        ends = np.maximum(0, [means - low, high - means])
        style = {"yerr": ends, "capsize": 3, "error_kw": {"linewidth": 1, "ecolor": BLACK}}
        panel.bar(places, means, 0.92 * width, color=COLOURS[j % len(COLOURS)], label=f"{ms:g} ms", **style)
    panel.axhline(1 / count, color=BLACK, linewidth=0.8, linestyle=":", label="all alike")
    names = [f"{CLASSES[i]}\n{found.frames[i]:,} frames" for i in shown]
    panel.set_xticks(range(len(shown)), names)
    panel.set_ylabel("mean gate weight (of 1)")
    panel.set_ylim(bottom=0)
    panel.set_title(f"{name}, {counted(found.utterances, 'utterance')} of dev", fontsize="medium", loc="left")
    panel.spines[["top", "right"]].set_visible(False)
    panel.grid(axis="y", linewidth=0.4, alpha=0.6)
    panel.set_axisbelow(True)
    drawn.legend(loc="outside right upper", frameon=False, title="frames of")
    return drawn
