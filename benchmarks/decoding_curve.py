"""The error rate of the beam search over its time, for what it leaves out; `decoding.py --curve` makes it."""

import itertools
import statistics
import time
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from tqdm import tqdm

from serenanet_modules.decoding.beam import THRESHOLD, BeamDecoder

HYPOTHESES = (8.0, 10.0, 12.0, 14.0, 17.0)  # thresholds tried
LABELS = (7.0, 10.0, 12.0)
SIZES = (32, 100)


def curve(make, utterances, error, repeats, png):
    """Measure all pairs of thresholds at each beam size, draw them, and give the table as Markdown.

    Parameters
    ----------
    make : callable
        From options of `BeamDecoder` to one.
    utterances : list
        As `kept.read` gives them, of dev.
    error : callable
        From the texts to their `ErrorCounts`.
    repeats : int
        Passes, of which the median counts.
    png : str or Path
        Where the picture goes.
    """
    seconds, points = sum(u[2] for u in utterances), {}
    grid = list(itertools.product(SIZES, LABELS, HYPOTHESES))
    decoders = {key: make(beam_size=key[0], token_threshold=key[1], beam_threshold=key[2]) for key in grid}
    taken = {key: [] for key in grid}
    for _, key in tqdm(list(itertools.product(range(repeats), grid)), desc="curve"):
        spent, texts = passed(decoders[key], utterances)
        taken[key].append(1000 * spent / seconds)
        points[key] = statistics.median(taken[key]), error(texts)
    draw(points, png)
    return "\n".join(rows(points))


def passed(decoder, utterances):
    """Seconds of the processor, and the text of each utterance."""
    began = time.process_time()
    texts = [" ".join(filter(None, (decoder.best(piece).text for piece in rows))) for *_, rows in utterances]
    return time.process_time() - began, texts


def rows(points):
    """A line for each beam size and threshold of labels: ms and WER by threshold of hypotheses."""
    yield "| beam | labels within | " + " | ".join(f"hypotheses within {h:g}" for h in HYPOTHESES) + " |"
    yield "|---|---|" + "---|" * len(HYPOTHESES)
    for size, label in itertools.product(SIZES, LABELS):
        found = (points[size, label, h] for h in HYPOTHESES)
        cells = (f"{ms:.2f} ms, {100 * counts.rate:.2f}" for ms, counts in found)
        yield f"| {size} | {label:g} | {' | '.join(cells)} |"


def draw(points, png):
    """WER over time, a line for each beam size and threshold of labels, a ring round the default."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    for size, axes in zip(SIZES, figure.subplots(1, len(SIZES), sharey=True), strict=True):
        for label in LABELS:
            found = [points[size, label, h] for h in HYPOTHESES]
            axes.plot([ms for ms, _ in found], [100 * c.rate for _, c in found], ".-", label=f"labels within {label:g}")
        usual = points.get((size, BeamDecoder.token_threshold, THRESHOLD))
        if usual:
            axes.plot(usual[0], 100 * usual[1].rate, "o", ms=12, mfc="none", mec="black")
        axes.set(xscale="log", xlabel="ms of one core per second of audio", title=f"beam {size}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel(f"WER on dev, % of {next(iter(points.values()))[1].length:,} words")
    figure.axes[0].legend()
    Path(png).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=110)
