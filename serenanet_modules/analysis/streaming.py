"""A model offline and as a stream: tables and a picture of the rows of ``serenanet evaluate --compare-streaming``."""

import csv

from matplotlib.figure import Figure

from serenanet_modules.analysis.palette import BLACK, BLUE, GREEN, GREY, ORANGE
from serenanet_modules.runtime.files import replacing, write_json

COLUMNS = {  # of a row, and how a table for people calls them
    **{"set": "set", "way": "way", "look_ahead_ms": "look-ahead, ms", "delay_ms": "total look-ahead, ms"},
    **{"WER": "WER", "CER": "CER", "PER": "PER", "rtf": "RTF"},
    **{"first_text_p50_ms": "first text p50, ms", "first_text_p95_ms": "p95"},
    **{"first_word_p50_ms": "first word p50, ms", "first_word_p95_ms": "p95", "timed": "timed"},
    **{"final_p50_ms": "final p50, ms", "final_p95_ms": "p95", "peak_mb": "peak, MB", "carried_kb": "state, kB"},
}
MEASURES = {"WER": BLUE, "CER": ORANGE, "PER": BLUE}
NOTHING = "–"
DPI = 110


def markdown(rows):
    """The rows as a Markdown table.

    Examples
    --------
    >>> print(markdown([{"set": "test", "way": "offline", "delay_ms": None, "WER": 12.345, "rtf": 0.0123}]))
    | set | way | total look-ahead, ms | WER | RTF |
    |---|---|---:|---:|---:|
    | test | offline | – | 12.35 | 0.012 |
    """
    columns = _columns(rows)
    lines = [[COLUMNS[name] for name in columns], ["---" if name in ("set", "way") else "---:" for name in columns]]
    lines = [f"| {' | '.join(lines[0])} |", f"|{'|'.join(lines[1])}|"]
    return "\n".join([*lines, *(f"| {' | '.join(_cell(name, row[name]) for name in columns)} |" for row in rows)])


def write(rows, about, folder):
    """Write streaming.md, streaming.csv, streaming.json and, a picture a set, streaming_<set>.png.

    Parameters
    ----------
    rows : list of dict
        Of `inference.compared.compare`.
    about : dict
        What else streaming.json says.
    folder : Path
    """
    with replacing(folder / "streaming.md") as path:
        path.write_text(markdown(rows) + "\n", encoding="utf-8")
    with replacing(folder / "streaming.csv") as path, open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, _columns(rows), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    write_json(folder / "streaming.json", {**about, "rows": rows})
    for name in dict.fromkeys(row["set"] for row in rows):
        with replacing(folder / f"streaming_{name}.png") as path:
            figure([row for row in rows if row["set"] == name]).savefig(path, dpi=DPI, format="png")


def figure(rows):
    """Error rates over the sound that is waited for, and latencies of each way; rows of one set."""
    drawn = Figure(figsize=(9.6, 3.6), layout="constrained")
    rates, delays = drawn.subplots(1, 2, width_ratios=[1.2, 1])
    offline, streams = rows[0], sorted(rows[1:], key=lambda row: row["delay_ms"])
    for measure in [name for name in MEASURES if name in offline]:
        colour, waits = MEASURES[measure], [row["delay_ms"] for row in streams]
        rates.plot(
            waits, [row[measure] for row in streams], "o-", color=colour, markersize=4, label=f"{measure}, stream"
        )
        ends = zip(*(row["intervals_95"][measure] for row in streams), strict=True)
        rates.vlines(waits, *ends, color=colour, linewidth=1)
        rates.axhline(offline[measure], color=colour, linestyle="--", linewidth=1, label=f"{measure}, offline")
    read = f"% on {offline['set']}, n = {offline['utterances']}"
    rates.set(xlabel="total look-ahead, ms", ylabel=read, ylim=(0, None))
    rates.set_xlim(left=0)
    rates.legend(frameon=False, fontsize="small")
    _latencies(delays, [*streams, offline])
    for panel in (rates, delays):
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(linewidth=0.4, alpha=0.6)
        panel.set_axisbelow(True)
    return drawn


def _latencies(panel, rows):
    """For each way a dot at the median and a line to the 95th percentile, seconds on a logarithmic scale."""
    timed = sorted({row["timed"] for row in rows})
    behind = f"n = {'–'.join(str(n) for n in (timed[0], timed[-1])[: len(timed)])}"
    for name, colour, shift, label in (
        ("first_text", GREEN, 0.2, f"first text, after the first word's end, {behind}"),
        ("first_word", BLACK, 0.0, f"first word complete, after its end, {behind}"),
        ("final", GREY, -0.2, f"all, after the sound's end, n = {rows[0]['utterances']}"),
    ):
        told = [(place, row) for place, row in enumerate(rows) if row[f"{name}_p50_ms"] is not None]
        middle, most = ([row[f"{name}_p{p}_ms"] / 1000 for _, row in told] for p in (50, 95))
        places = [place + shift for place, _ in told]
        panel.hlines(places, middle, most, color=colour, linewidth=1.5)
        panel.plot(middle, places, "o", color=colour, markersize=5, label=label)
    names = [row["way"] if row["delay_ms"] is None else f"{row['delay_ms']:g} ms" for row in rows]
    panel.set_yticks(range(len(rows)), names)
    panel.set(xlabel="seconds, median to 95th percentile", ylim=(-0.6, len(rows) + 0.3))
    panel.set_xscale("symlog", linthresh=0.1)
    panel.xaxis.set_major_formatter("{x:g}")
    panel.legend(frameon=False, fontsize="small", loc="upper left")


def _columns(rows):
    return [name for name in COLUMNS if any(name in row for row in rows)]


def _cell(name, value):
    if value is None:
        return NOTHING
    if name in MEASURES:
        return f"{value:.2f}"
    return (
        f"{value:.3f}" if name == "rtf" else f"{value:g}" if isinstance(value, float) and value < 100 else _whole(value)
    )


def _whole(value):
    return f"{value:.0f}" if isinstance(value, float) else str(value)
