"""What is odd in a corpus, and how it looks: outliers, characters, a figure."""

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np

from serenanet_modules.analysis.palette import BLUE, GREEN, ORANGE, VERMILION
from serenanet_modules.data.listening import Clip
from serenanet_modules.data.manifest import SPLITS, role
from serenanet_modules.runtime.files import replacing

FAR = 5.0  # robust standard deviations of a logarithm from its median that make an outlier
LEAST_SPREAD = 0.1  # of that logarithm, so that a corpus of equal clips does not call all others odd
LETTERS = 40  # bars in the figure
POINTS = 5000  # in its scatter plot
COLOURS = {"train": BLUE, "dev": ORANGE, "test": GREEN}
REJECTED = VERMILION


@dataclass(frozen=True)
class Outlier:
    """A clip that is far from the others in one respect."""

    clip: Clip
    value: float
    times: float  # value / median


def speech_rate(clip):
    """Characters per second."""
    return len(clip.text) / clip.duration


def outliers(clips, measure):
    """Find clips that a measure puts apart: the farthest first.

    A value is far where its logarithm is more than `FAR` robust standard deviations (1.4826 × the median absolute
    deviation) from the median.

    Parameters
    ----------
    clips : list of Clip
        Those with a measure of 0 are passed over.
    measure : callable
        Clip -> float, 0 or more.

    Returns
    -------
    list of Outlier
    """
    measured = [(clip, measure(clip)) for clip in clips]
    measured = [(clip, value) for clip, value in measured if value > 0]
    if not measured:
        return []
    logs = np.log([value for _, value in measured])
    middle = float(np.median(logs))
    spread = max(LEAST_SPREAD, 1.4826 * float(np.median(np.abs(logs - middle))))
    found = [
        (abs(log - middle), Outlier(clip, value, math.exp(log - middle)))
        for log, (clip, value) in zip(logs, measured, strict=True)
    ]
    return [odd for far, odd in sorted(found, key=lambda pair: -pair[0]) if far > FAR * spread]


def characters(clips):
    """Count the characters of the texts, the commonest first; equal counts by code point."""
    counts = Counter(character for clip in clips for character in clip.text)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def plot(path, clips, frame_rate):
    """Draw durations, speech rates, both together, and characters.

    Parameters
    ----------
    path : str or Path
        The figure; its ending says which kind.
    clips : list of Clip
        Inspected; the rejected ones are shown apart.
    frame_rate : float
        Hz, of the encoder's output: CTC cannot say more characters a second.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8), layout="constrained")
    kept = [clip for clip in clips if not clip.reason]
    (durations, rates), (both, letters) = figure.subplots(2, 2)
    _histogram(durations, kept, lambda clip: clip.duration, "duration [s]")
    _histogram(rates, [clip for clip in kept if clip.text], speech_rate, "characters per second")
    _scatter(both, clips, frame_rate)
    _bars(letters, characters(kept))
    with replacing(path) as partial:
        figure.savefig(partial, dpi=120, format=str(path).rpartition(".")[2])


def _histogram(axes, clips, measure, name):
    values = {r: [measure(clip) for clip in clips if role(clip.candidate.split) == r] for r in SPLITS}
    values = {r: found for r, found in values.items() if found}
    if values:
        top = float(np.quantile(sum(values.values(), []), 0.999)) * 1.05
        shown = [np.minimum(found, top) for found in values.values()]
        labels = [f"{r} ({len(found)})" for r, found in values.items()]
        axes.hist(shown, 40, range=(0, top), stacked=True, color=[COLOURS[r] for r in values], label=labels)
        axes.legend(frameon=False)
    axes.set(xlabel=name, ylabel="utterances")


def _scatter(axes, clips, frame_rate):
    heard = [clip for clip in clips if clip.duration and clip.text]
    heard = heard[:: -(-len(heard) // POINTS) or 1]
    groups = {
        "kept": ([clip for clip in heard if not clip.reason], COLOURS["train"], "."),
        "rejected": ([clip for clip in heard if clip.reason], REJECTED, "x"),
    }
    for name, (inside, colour, marker) in groups.items():
        if inside:
            x, y = [clip.duration for clip in inside], [len(clip.text) for clip in inside]
            axes.scatter(x, y, s=12, c=colour, marker=marker, label=name, alpha=0.6, linewidths=0.8)
    if heard:
        longest, most = max(clip.duration for clip in heard), max(len(clip.text) for clip in heard)
        end = min(longest, 1.1 * most / frame_rate)
        axes.plot([0, end], [0, frame_rate * end], "k--", lw=1, label=f"CTC's limit at {frame_rate:g} Hz")
        axes.legend(frameon=False, loc="best")
    axes.set(xlabel="duration [s]", ylabel="characters", xlim=(0, None), ylim=(0, None))


def _bars(axes, counts):
    shown = dict(list(counts.items())[:LETTERS])
    axes.bar(range(len(shown)), list(shown.values()), color=COLOURS["train"])
    axes.set_xticks(range(len(shown)), [_drawn(c) for c in shown], fontsize=8 if len(shown) > 30 else 9)
    if any(len(_drawn(c)) > 2 for c in shown):
        axes.tick_params(axis="x", rotation=90)
    if shown:
        axes.set_yscale("log")
    axes.set(xlabel=f"characters, {len(shown)} of {len(counts)}", ylabel="occurrences")


def _drawn(character):
    """A character as the figure's font can show it."""
    from matplotlib.font_manager import findfont, get_font

    if character == " ":
        return "␣"
    known = get_font(findfont("DejaVu Sans")).get_char_index(ord(character))
    return character if known else f"{ord(character):X}"
