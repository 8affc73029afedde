"""Models side by side: how well they hear, how fast, in how much memory; as a table, as CSV, as a picture."""

import csv
import io
import statistics

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from serenanet_modules.analysis.bootstrap import compare, with_interval
from serenanet_modules.analysis.palette import BLACK, BLUE, GREY
from serenanet_modules.analysis.scoring import score
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.files import replacing

COLUMNS = {  # key -> heading
    "model": "model",
    "WER": "WER %",
    "interval": "95 % interval",
    "difference": "Δ WER to the first",
    "CER": "CER %",
    "difference_cer": "Δ CER to the first",
    "match": "utterances right %",
    "empty": "empty",
    "looped": "looped",
    "p50": "latency p50, s",
    "p95": "p95, s",
    "rtf": "RTF one by one",
    "rtf_batched": "RTF batched",
    "tokens": "tokens/s",
    "cold": "cold start, s",
    "memory": "peak MiB",
    "parameters": "parameters",
    "trained": "trained parameters %",
    "joules": "J per s of audio",
}
DPI = 110


def summary(runs, references):
    """A row of plain values for each model.

    Parameters
    ----------
    runs : dict of str to list of dict
        By model, the measurements of `inference.benchmark`, whose texts are normalised; texts are those of the first.
    references : dict of str to str
        Texts by id.

    Returns
    -------
    list of dict
        By the keys of `COLUMNS`; times are medians over the measurements.
    """
    rows, first = [], None
    for name, measured in runs.items():
        texts = measured[0]["texts"]
        words, letters = score(references, texts, "word"), score(references, texts, "char")
        first, rate = first or (words, letters), with_interval(words)
        differences = [None if a is b else _difference(a, b) for a, b in zip(first, (words, letters), strict=True)]
        rows.append(
            {
                "model": name,
                "WER": rate["percent"],
                "interval": "{:.2f} … {:.2f}".format(*rate["interval_95"]),
                "difference": differences[0],
                "CER": with_interval(letters)["percent"],
                "difference_cer": differences[1],
                "match": 100 * statistics.mean(texts[key] == text for key, text in references.items()),
                "empty": sum(not text for text in texts.values()),
                "looped": measured[0]["looped"],
                **_speed(measured),
            }
        )
    return rows


def _difference(first, other):
    """That of two `score` results, with its paired interval."""
    found = compare(first.per_utterance, other.per_utterance)
    return f"{100 * found.difference:+.2f} ({100 * found.low:+.2f} … {100 * found.high:+.2f})"


def _speed(measured):
    """What is not about texts; medians over the measurements."""
    first, seconds = measured[0], measured[0]["seconds"]
    middle = {
        key: statistics.median(m[key] for m in measured) for key in ("single", "batched", "cold_start", "peak_bytes")
    }
    latencies = np.median([m["latencies"] for m in measured], axis=0)
    joules = [m["joules"] for m in measured if m["joules"] is not None]
    trained = first["trained_parameters"]
    return {
        "p50": float(np.quantile(latencies, 0.5)),
        "p95": float(np.quantile(latencies, 0.95)),
        "rtf": middle["single"] / seconds,
        "rtf_batched": middle["batched"] / seconds,
        "tokens": first["labels"] / middle["single"],
        "cold": middle["cold_start"],
        "memory": middle["peak_bytes"] / 2**20,
        "parameters": first["parameters"],
        "trained": None if trained is None else 100 * trained / first["parameters"],
        "joules": statistics.median(joules) / seconds if joules else None,
    }


def markdown(rows):
    """A table, without columns that no model has a value for."""
    keys = [key for key in COLUMNS if any(row[key] is not None for row in rows)]
    lines = ["| " + " | ".join(COLUMNS[key] for key in keys) + " |", "|" + "---|" * len(keys)]
    lines += ["| " + " | ".join(_cell(key, row[key]) for key in keys) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def _cell(key, value):
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}" if key in ("p50", "p95", "rtf", "rtf_batched", "joules") else f"{value:.2f}"
    return f"{value:,}" if isinstance(value, int) else value.replace("|", "\\|")


def as_csv(rows):
    """The same with all digits, and all columns."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: "" if value is None else value for key, value in row.items()} for row in rows)
    return out.getvalue()


def draw(rows, words, file):
    """Error rate over real-time factor, of single utterances (filled) and batched (hollow).

    Parameters
    ----------
    rows : list of dict
        Of `summary`.
    words : int
        How many the references have.
    file : Path
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        axes.plot([row["rtf"], row["rtf_batched"]], [row["WER"]] * 2, color=GREY, linewidth=1, zorder=1)
        axes.scatter(row["rtf"], row["WER"], color=BLUE, zorder=2)
        axes.scatter(row["rtf_batched"], row["WER"], facecolors="white", edgecolors=BLUE, zorder=2)
        axes.annotate(row["model"], (row["rtf"], row["WER"]), xytext=(5, 5), textcoords="offset points", color=BLACK)
    axes.set_xscale("log")
    factors = [row[key] for row in rows for key in ("rtf", "rtf_batched")]
    wide = max(factors) > 20 * min(factors)  # where numbers for each 3 too would touch each other
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if wide else (1, 2, 3, 5)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("real-time factor: one by one (filled), batched (hollow)")
    axes.set_ylabel(f"word error rate, % of {counted(words, 'word')}")
    most = max(row["WER"] for row in rows) or 1.0
    axes.set_ylim(-0.03 * most, 1.12 * most)  # points at the edges and their names stand inside
    axes.margins(x=0.25)
    with replacing(file) as path:
        figure.savefig(path, dpi=DPI, format="png")
