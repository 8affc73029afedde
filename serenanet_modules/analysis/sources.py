"""CAR beside the decoder that it refines: dev error rates of each after each epoch.

A run's history has the error rates of the source that selects checkpoints under their own names, ``CER``, and those of
the others behind the source's name, ``car_CER``.
"""

import math
import statistics

from matplotlib.figure import Figure

from serenanet_modules.analysis.palette import BLACK, BLUE, VERMILION

SOURCES = {"decoder": BLUE, "car": VERMILION, "average": BLACK}
MEASURES = ("CER", "WER", "PER")
NOTE = "dev error rates after the last epoch, read greedily from the decoder, from CAR and from the average of both"


def is_of_source(measure):
    """Whether a name in a history's ``dev`` is of a source that selects no checkpoints.

    Examples
    --------
    >>> is_of_source("car_CER"), is_of_source("ctc_CER"), is_of_source("CER")
    (True, False, False)
    """
    return measure.startswith(tuple(f"{source}_" for source in SOURCES))


def rates(result, source, measure):
    """(epochs, percents) of a source in a run's history; two empty lists where it was not read.

    Parameters
    ----------
    result : Result
    source : str
        One of `SOURCES`.
    measure : str
    """
    history = result.content.get("history", ())
    if not any(is_of_source(name) for epoch in history for name in epoch["dev"]):
        return [], []
    name = measure if source == result.scoring else f"{source}_{measure}"
    found = [(epoch["epoch"], epoch["dev"][name]) for epoch in history if name in epoch["dev"]]
    return [epoch for epoch, _ in found], [percent for _, percent in found]


def measures(systems):
    """What any of the systems' sources are compared by."""
    return [m for m in MEASURES if _having(systems, m)]


def figure(systems, measure):
    """A panel for each system with CAR: a line for each source and seed."""
    chosen = _having(systems, measure)
    columns = min(3, len(chosen))
    lines = math.ceil(len(chosen) / columns)
    drawn = Figure(figsize=(3.4 * columns + 0.6, 2.5 * lines + 0.8), layout="constrained")
    panels = drawn.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for panel, system in zip(panels, chosen, strict=False):
        for result in system.results:
            for source, colour in SOURCES.items():
                epochs, percents = rates(result, source, measure)
                marker = "." if len(epochs) < 2 else ""
                panel.plot(epochs, percents, color=colour, linewidth=1.2, marker=marker, label=_named(source))
        seeds = len(system.results)
        panel.set_title(f"{system.name} ({seeds} seed{'s' if seeds > 1 else ''})", fontsize="small")
        panel.grid(linewidth=0.4, alpha=0.6)
        panel.tick_params(labelsize="small")
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    for panel in panels[len(chosen) :]:
        panel.remove()
    panels[0].set_ylim(bottom=0)  # of all
    handles, names = panels[0].get_legend_handles_labels()
    drawn.legend(handles[: len(SOURCES)], names[: len(SOURCES)], loc="outside upper center", ncols=3, frameon=False)
    drawn.supxlabel("epoch", fontsize="small")
    drawn.supylabel(f"dev {measure}, %", fontsize="small")
    return drawn


def _having(systems, measure):
    return [s for s in systems if all(rates(result, "car", measure)[0] for result in s.results)]


def _named(source):
    return "CAR" if source == "car" else source


def table(systems):
    """Rows of cells under a heading: the sources at the last epoch of each system, means over seeds."""
    rows = [("system", "measure", "epoch", *map(_named, SOURCES), "CAR − decoder", "CAR − decoder, each at its best")]
    for system in systems:
        for measure in [m for m in MEASURES if _having([system], m)]:
            found = {source: [rates(result, source, measure) for result in system.results] for source in SOURCES}
            last = {source: statistics.fmean(percents[-1] for _, percents in of) for source, of in found.items()}
            best = {source: statistics.fmean(min(percents) for _, percents in of) for source, of in found.items()}
            epochs = ", ".join(f"{n:g}" for n in dict.fromkeys(of[-1] for of, _ in found["car"]))
            cells = (f"{last[source]:.2f}" for source in SOURCES)
            ends = (f"{of['car'] - of['decoder']:+.2f}".replace("-", "−") for of in (last, best))
            rows.append((system.name, measure, epochs, *cells, *ends))
    return rows[: len(rows) if len(rows) > 1 else 0]


def csv_rows(systems):
    """(system, seed, epoch, source, measure, percent) of all that was read."""
    for system in systems:
        for result in system.results:
            for measure in MEASURES:
                for source in SOURCES:
                    for epoch, percent in zip(*rates(result, source, measure), strict=True):
                        yield system.name, result.seed, epoch, source, measure, round(percent, 4)
