"""Pictures of results: error rates, learning curves, gate weights, posteriors. Drawn without a display."""

import math

import numpy as np
from matplotlib.figure import Figure

from serenanet_modules.analysis.difference_plot import differences
from serenanet_modules.analysis.folders import in_order
from serenanet_modules.analysis.palette import BLACK, BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILION
from serenanet_modules.analysis.reliability import pooled
from serenanet_modules.analysis.reliability_plot import diagram
from serenanet_modules.analysis.sources import is_of_source
from serenanet_modules.analysis.summary import MEASURES, UNITS
from serenanet_modules.data.manifest import role
from serenanet_modules.runtime.files import replacing

DPI = 110
SHOWN_UNITS = 24  # rows of a posterior plot
WORD_START = "▁"  # in the names of SentencePiece's units


def write_all(systems, table, reference, out):
    """Draw what the results have data for.

    Parameters
    ----------
    systems : list of System
    table : dict of str to list of Row
    reference : System
        Whose curve stands behind the others', and whose examples are shown.
    out : Path

    Returns
    -------
    list of (str, str)
        File name and caption of each picture.
    """
    drawn = []
    for kind, rows in table.items():
        sets = in_order(s for row in rows for s, _ in row.rates)
        for split in [s for s in sets if role(s) == "test"] or sets[:1]:
            name = "_".join([kind.replace("+", "_").replace("/", "_"), *split.split("-")[1:]])
            compared = [m for m in MEASURES if any((split, m) in row.differences for row in rows)]
            if compared:
                caption = f"{split}, {kind}: difference to {reference.name} by system"
                drawn.append((f"differences_{name}.png", caption, differences(rows, split, compared, reference)))
            measures = [m for m in MEASURES if any((split, m) in row.rates for row in rows)]
            caption = f"{split}, {kind}: mean over seeds with its 95 % interval over test sets; dots are seeds"
            drawn.append((f"rates_{name}.png", caption, bars(rows, split, measures, reference)))
    trained = {tuple(result.folder for result in system.results): system for system in reversed(systems)}
    histories = [system for system in systems if system in trained.values() and history(system)]
    measured = history(histories[0])[0][0]["dev"] if histories else ()
    for measure in [m for m in measured if m != "loss" and not is_of_source(m)]:
        caption = f"dev {measure} of each epoch, a line for each seed; grey is {reference.name}"
        drawn.append((f"learning_curves_{measure}.png", caption, curves(histories, reference, measure)))
    drawn += reliabilities(reference)
    drawn += _examples(systems, reference)
    for name, _, figure in drawn:
        with replacing(out / name) as path:
            figure.savefig(path, dpi=DPI, format="png")
        if name.startswith("differences_"):
            with replacing((out / name).with_suffix(".pdf")) as path:  # for a paper
                figure.savefig(path, format="pdf", metadata={"CreationDate": None})
    return [(name, caption) for name, caption, _ in drawn]


# --- error rates ------------------------------------------------------------------------------------------------------


def bars(rows, split, measures, reference):
    """Error rates of all systems with one kind of decoder, a panel for each measure.

    Parameters
    ----------
    rows : list of Row
    split : str
    measures : list of str
    reference : System
        Its mean is a line down the panel.
    """
    figure = Figure(figsize=(3.2 + 3.6 * len(measures), 1.2 + 0.32 * len(rows)), layout="constrained")
    panels = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    places = np.arange(len(rows))
    for panel, measure in zip(panels, measures, strict=True):
        key = split, measure
        for place, row in zip(places, rows, strict=True):
            if key in row.rates:
                _bar(panel, place, row, key, row.system is reference)
        base = next((row for row in rows if row.system is reference and key in row.rates), None)
        if base is not None:
            panel.axvline(base.rates[key].mean, color=BLACK, linewidth=0.8, linestyle=":")
        counted = rows[0].system.counted(split, rows[0].kind, measure)
        panel.set_xlabel(f"{split} {measure}, % of {counted:,} {UNITS[measure]}")
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="x", linewidth=0.4, alpha=0.6)
        panel.set_axisbelow(True)
        panel.set_xlim(left=0)
    names = [f"{row.system.name} = {row.system.same_as}" if row.system.same_as else row.system.name for row in rows]
    panels[0].set_yticks(places, names)
    panels[0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle(rows[0].kind, fontsize="medium")
    return figure


def _bar(panel, place, row, key, is_reference):
    mean, (low, high) = row.rates[key].mean, row.intervals[key]
    colour = BLUE if is_reference else (SKY if row.system.same_as is None else "#DDDDDD")
    ends = [[max(0.0, mean - low)], [max(0.0, high - mean)]]
    panel.barh(place, mean, color=colour, height=0.7, xerr=ends, capsize=3, error_kw={"linewidth": 1, "ecolor": BLACK})
    seeds = row.system.rates(key[0], row.kind, key[1])
    if len(seeds) > 1:
        panel.plot(seeds, [place] * len(seeds), "o", color=VERMILION, markersize=3, zorder=3)


# --- learning curves --------------------------------------------------------------------------------------------------


def history(system):
    """History of each seed's training; [] where a run has none."""
    found = [result.content.get("history") for result in system.results]
    return found if all(found) else []


def curves(systems, reference, measure):
    """A small panel for each system: dev error rate over epochs, the reference's in grey behind it."""
    columns = min(4, len(systems))
    lines = math.ceil(len(systems) / columns)
    figure = Figure(figsize=(2.9 * columns + 0.4, 2.2 * lines + 0.5), layout="constrained")
    panels = figure.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for panel, system in zip(panels, systems, strict=False):
        for seed in history(reference):
            panel.plot(*_curve(seed, measure), color=GREY, linewidth=1, marker=_marker(seed))
        for seed in history(system):
            colour = BLACK if system is reference else BLUE
            panel.plot(*_curve(seed, measure), color=colour, linewidth=1.2, marker=_marker(seed))
        panel.set_title(system.name, fontsize="small")
        panel.grid(linewidth=0.4, alpha=0.6)
        panel.tick_params(labelsize="small", labelbottom=True)
        panel.xaxis.get_major_locator().set_params(integer=True, min_n_ticks=1)
    panels[0].set_ylim(bottom=0)  # of all
    for panel in panels[len(systems) :]:
        panel.remove()
    figure.supxlabel("epoch", fontsize="small")
    figure.supylabel(f"dev {measure}, %", fontsize="small")
    return figure


def _marker(epochs):
    """A line of one point cannot be seen without one."""
    return "." if len(epochs) < 2 else ""


def _curve(epochs, measure):
    rows = [row for row in epochs if measure in row["dev"]]
    return [row["epoch"] for row in rows], [row["dev"][measure] for row in rows]


# --- confidences ------------------------------------------------------------------------------------------------------


def reliabilities(reference):
    """A diagram of each test set, of the reference's decoders whose confidences were measured in all its runs."""
    for split in [s for s in reference.results[0].splits if role(s) == "test"]:
        measured = {}
        for decoder in map(reference.decoder, reference.kinds()):
            found = [result.reliability(split, decoder) for result in reference.results]
            shared = [kind for kind in ("raw", "calibrated") if all(kind in kinds for kinds in found)]
            if shared:
                measured[decoder] = {kind: pooled(kinds[kind] for kinds in found) for kind in shared}
        if measured:
            caption = (
                f"{split}, {reference.name}: of the words with a confidence, the share that is right with its 95 % "
                "interval (Wilson), seeds pooled; ECE: expected calibration error over 10 bins of equal width"
            )
            yield "_".join(["reliability", *split.split("-")[1:]]) + ".png", caption, diagram(measured)


# --- examples ---------------------------------------------------------------------------------------------------------


def _examples(systems, reference):
    """Pictures of the first example of the first system, the reference before others, that has what they show."""
    drawn = []
    ordered = [reference, *(system for system in systems if system is not reference)]
    for part, draw, caption in (
        ("gate", gates, "gate weights over the spectrogram of “{text}” (dev, {name})"),
        ("car", posteriors, "what the decoder and CAR hear in “{text}” (dev, {name})"),
        ("chunk", chunks, "chunks over the spectrogram of “{text}” (dev, {name})"),
    ):
        for system in ordered:
            content = system.results[0].examples()
            if f"{part}_0" in content:
                text = content["about"]["utterances"][0]["text"]
                drawn.append((f"{part}.png", caption.format(text=text, name=system.name), draw(content, 0)))
                break
    return drawn


def gates(content, number):
    """Log-mel spectrogram of an example, and beneath it the gate weights stacked to 1.

    Parameters
    ----------
    content : dict
        From `Result.examples`.
    number : int
    """
    utterance, gate = content["about"]["utterances"][number], content[f"gate_{number}"] / 255
    end, frame = utterance["seconds"], utterance["seconds"] / len(gate)
    figure = Figure(figsize=(9, 4.6), layout="constrained")
    spectrogram, weights = figure.subplots(2, 1, sharex=True, height_ratios=[1.4, 1])
    _spectrogram(spectrogram, content[f"mel_{number}"], end)
    labels = [f"{1000 * frame * r:.0f} ms" for r in utterance["resolutions"]]
    weights.stackplot(np.arange(len(gate)) * frame, gate.T, labels=labels, colors=[BLUE, ORANGE, GREEN, PURPLE, SKY])
    weights.set(ylim=(0, 1), xlabel="time, s", ylabel="gate weight", xlim=(0, end))
    weights.legend(loc="upper left", bbox_to_anchor=(1.005, 1), frameon=False, title="frames of")
    spectrogram.set_title(utterance["text"], fontsize="medium")
    return figure


def posteriors(content, number):
    """Spectrogram of an example, then probabilities of units over time: the decoder's, CAR's.

    Parameters
    ----------
    content : dict
        From `Result.examples`.
    number : int
    """
    about = content["about"]
    utterance, sources = about["utterances"][number], {"decoder": "decoder", "CAR": "car"}
    maps = {name: content[f"{key}_{number}"] / 255 for name, key in sources.items()}  # (T', units)
    shown = _shown_units(list(maps.values()), blank=utterance["units"].index(about["blank"]))
    figure = Figure(figsize=(9, 3.6 + 0.28 * len(shown)), layout="constrained")
    ratios = [1.5, *(max(1.0, 0.14 * len(shown)) for _ in maps), 1.0]
    panels = figure.subplots(len(maps) + 2, 1, sharex=True, height_ratios=ratios)
    end = utterance["seconds"]
    _spectrogram(panels[0], content.get(f"mel_{number}"), end)
    panels[0].set_title(utterance["text"], fontsize="medium")
    for panel, (name, values) in zip(panels[1:], maps.items(), strict=False):
        extent = (0, end, len(shown) - 0.5, -0.5)
        image = panel.imshow(values[:, shown].T, aspect="auto", extent=extent, cmap="viridis", vmin=0, vmax=1)
        names = [utterance["units"][u].replace(WORD_START, "␣") for u in shown]
        panel.set_yticks(range(len(shown)), names, fontsize="small")
        panel.set_ylabel(name)
    figure.colorbar(image, ax=list(panels[1:-1]), label="probability", pad=0.01)
    blank = utterance["units"].index(about["blank"])
    for (name, values), colour in zip(maps.items(), (BLUE, VERMILION), strict=True):
        times = (np.arange(len(values)) + 0.5) * end / len(values)
        panels[-1].plot(times, values[:, blank], color=colour, linewidth=1, label=name)
    panels[-1].set(ylim=(-0.02, 1.02), xlabel="time, s", ylabel="p(blank)", xlim=(0, end))
    panels[-1].legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, frameon=False, fontsize="small")
    return figure


def chunks(content, number):
    """Spectrogram of an example with lines where chunks begin and the units heard above, and how probable they were.

    Parameters
    ----------
    content : dict
        From `Result.examples`.
    number : int
    """
    utterance, probability = content["about"]["utterances"][number], content[f"chunk_{number}"] / 255
    mel, end = content[f"mel_{number}"], utterance["seconds"]
    times = (np.arange(len(probability)) + 0.5) * end / len(probability)
    starts = np.flatnonzero(content[f"start_{number}"]) * end / len(probability)
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    spectrogram, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.8, 1])
    _spectrogram(spectrogram, mel, end)
    spectrogram.vlines(starts, -0.5, mel.shape[1] - 0.5, color="white", linewidth=0.7)
    for time, unit in _heard(content, number, end):
        spectrogram.text(time, mel.shape[1], unit, ha="center", va="bottom", fontsize="small")
    spectrogram.set_title(utterance["text"], fontsize="medium", pad=16)
    below.plot(times, probability, color=BLUE, linewidth=1)
    below.axhline(0.5, color=BLACK, linewidth=0.7, linestyle="--")
    below.set(ylim=(-0.02, 1.02), xlabel="time, s", ylabel="p(chunk begins)", xlim=(0, end))
    below.set_title(f"{len(starts)} chunks of {len(probability)} frames", fontsize="small", loc="right")
    return figure


def _heard(content, number, end):
    """(time, unit) of the units that greedy decoding of an example gives, where each is first heard."""
    about, decoder = content["about"], content[f"decoder_{number}"]
    names = about["utterances"][number]["units"]
    best = [names[u] for u in decoder.argmax(1)]
    for t, (before, unit) in enumerate(zip([about["blank"], *best], best, strict=False)):
        if unit not in (before, about["blank"]):
            yield (t + 0.5) * end / len(best), unit.replace(WORD_START, "␣")


def _shown_units(maps, blank):
    """The most probable units but blank, in the order of when they are."""
    best = np.maximum.reduce([values.max(0) for values in maps])
    best[blank] = -1
    chosen = np.argsort(-best, kind="stable")[:SHOWN_UNITS]
    chosen = [u for u in chosen if best[u] > 0]
    return sorted(chosen, key=lambda u: int(maps[0][:, u].argmax())) or [blank]


def _spectrogram(panel, mel, end):
    if mel is None:  # of a model that reads the waveform
        panel.set_axis_off()
        return
    extent = (0, end, -0.5, mel.shape[1] - 0.5)
    panel.imshow(mel.T, aspect="auto", origin="lower", extent=extent, cmap="magma")
    panel.set_ylabel("mel filter")
