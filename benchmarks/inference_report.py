"""Tables and plot of `inference.py`."""

import statistics

COLOURS = {"EncoderASR": "C7", "eager": "C0", "compiled": "C1", "onnx": "C2", "int8": "C3"}


def tables(found):
    """Markdown: speed and memory by threads and batch, then what each contestant needs before it runs."""
    options, contestants = found["options"], found["contestants"]
    base = contestants[0]
    parts = [
        "# Inference: waveform to text\n",
        f"{found['processor']}; torch {found['packages']['torch']}; {len(found['seconds'])} files of "
        f"{min(found['seconds']):.1f} to {max(found['seconds']):.1f} s, {sum(found['seconds']):.0f} s together; "
        f"greedy CTC; medians of {options['repeats']} alternating repeats. *faster*: than {title(base)} in the same "
        "turns, with the least and the largest of these. *MiB*: the peak from opening the model to the texts of its "
        "largest batch, above a process with all imports. *cores*: CPU time over time. *other texts*: files whose text "
        "is unlike that of the model's first row, and the edits of characters between them.\n",
    ]
    for threads in options["threads"]:
        for batch in options["batch"]:
            parts.append(f"## {threads} thread(s), batch {batch}\n")
            parts.append("| model | | RTF | faster | MiB | cores | other texts |\n|---|---|---:|---:|---:|---:|---|")
            rows = [row for row in found["rows"] if (row["threads"], row["batch"]) == (threads, batch)]
            parts += [line(row, contestants[row["contestant"]]) for row in rows]
            parts.append("")
    parts += before(found)
    parts += [f"{name}, {form}: does not run: {reason}" for name, form, reason in found["absent"]]
    return "\n".join([*parts, ""])


def title(contestant):
    """Name of a contestant's model and form."""
    return f"{contestant['model']}, {contestant['form']}"


def line(row, contestant):
    """One contestant's speed and memory."""
    names = f"| {contestant['model']} | {contestant['form']} |"
    if "skipped" in row:
        return f"{names} {row['skipped'].replace('|', '/')} | | | | |"
    ratios, other = row["ratios"], ""
    if row["different"]:
        other = f"{len(row['different'])}, {100 * row['edits']:.1f} %{' WRONG' if row['wrong'] else ''}"
    return (
        f"{names} {row['rtf']:.4f} | {statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f}) | "
        f"{memory(row)} | {row['cores']:.1f} | {other} |"
    )


def memory(row):
    """MiB at the peak, or why there is no number."""
    found = row["memory"]
    return found["skipped"].replace("|", "/") if "skipped" in found else f"{found['bytes'] / 2**20:.0f}"


def before(found):
    """Size, and what opening and the first pass take; compiling and optimising happen there."""
    contestants, options = found["contestants"], found["options"]
    threads, sizes = options["threads"][0], options["batch"]
    heads = [f"first pass, batch {size}, s" for size in sizes]
    lines = [f"## Before it runs, {threads} thread(s)\n", f"| model | | parameters | file MB | opening s | "
             f"{' | '.join(heads)} |", "|---|---|---:|---:|---:|" + "---:|" * len(sizes)]  # fmt: skip
    for number, contestant in enumerate(contestants):
        rows = [row for row in found["rows"] if row["contestant"] == number and row["threads"] == threads]
        if any("skipped" in row for row in rows):
            continue
        names = f"| {contestant['model']} | {contestant['form']} | {contestant['parameters'] / 1e6:.2f} M "
        cells = " | ".join(f"{row['first']:.1f}" for row in rows)
        lines.append(f"{names}| {contestant['bytes'] / 1e6:.1f} | {rows[0]['opening']:.2f} | {cells} |")
    return [*lines, ""]


def plot(found, path):
    """Bars: RTF of each number of threads and size of batches, and below, the memory of each size of batches."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.patches import Patch

    options, contestants = found["options"], found["contestants"]
    heights = [*(["rtf"] * len(options["threads"])), "memory"]
    size = (5.2 * len(options["batch"]) + 1.5, 0.8 + len(heights) * (0.9 + 0.24 * len(contestants)))
    figure, panels = pyplot.subplots(len(heights), len(options["batch"]), figsize=size, squeeze=False, sharey=True)
    for row_of_panels, kind, threads in zip(panels, heights, [*options["threads"], options["threads"][0]], strict=True):
        for panel, batch in zip(row_of_panels, options["batch"], strict=True):
            rows = [r for r in found["rows"] if (r["threads"], r["batch"]) == (threads, batch) and "skipped" not in r]
            bars(panel, rows, contestants, kind)
            panel.set_title(f"{threads} thread(s), batch {batch}", fontsize=10)
    for panel in panels[:, 0]:
        panel.set_yticks(range(len(contestants)), [title(contestant) for contestant in contestants])
    panels[0, 0].invert_yaxis()
    forms = dict.fromkeys(contestant["form"] for contestant in contestants)
    handles = [Patch(color=COLOURS[form], label=form) for form in forms]
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), frameon=False)
    figure.tight_layout(rect=(0, 0, 1, 1 - 0.4 / size[1]))
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def bars(panel, rows, contestants, kind):
    """One panel: a bar for each contestant, with its number behind it."""
    rows = [row for row in rows if kind == "rtf" or "bytes" in row["memory"]]
    values = [row["rtf"] if kind == "rtf" else row["memory"]["bytes"] / 2**20 for row in rows]
    told = [f"{v:.4f}, {statistics.median(row['ratios']):.2f} ×" if kind == "rtf" else f"{v:.0f}"
            for v, row in zip(values, rows, strict=True)]  # fmt: skip
    places = [row["contestant"] for row in rows]
    drawn = panel.barh(places, values, color=[COLOURS[contestants[place]["form"]] for place in places])
    panel.bar_label(drawn, told, padding=3, fontsize=8)
    panel.margins(x=0.3)
    panel.set_xlabel("RTF, and how many times faster than EncoderASR" if kind == "rtf" else "MiB at the peak")
    panel.grid(True, axis="x", alpha=0.3)
    panel.set_axisbelow(True)
