"""Tables and plots of what ops.py measured."""

from contestants import FRAMES_PER_SECOND
from measure import PASSES

OURS = ("fused", "cpp", "torch")


def markdown(found):
    """One section per group: times, ratios against the rivals, peak memory."""
    options = found["options"]
    batch, channels, state = options["sizes"]
    where = f"{found['device']}, {found['processor']}, {found['threads']} thread(s)"
    parts = [
        "# State-space operations: time and memory\n",
        f"{where}; {options['dtype']}; torch {found['packages']['torch']}; batch {batch}, {channels} channels, "
        f"state {state}; medians of up to {options['repeats']} alternating repeats.\n"
        "Every cell: forward / forward+backward.\n",
    ]
    for name, group in found["groups"].items():
        parts += _section(name, group)
    return "\n".join(parts)


def _section(name, group):
    parts = [f"## {group['title']}\n"]
    if group["rows"]:
        parts += ["Milliseconds:\n", _table(name, group, "seconds", 1000)]
        parts += ["Peak memory above the inputs, MiB:\n", _table(name, group, "bytes", 2**-20)]
    ratios = [f"- {line}" for line in _ratios(name, group)]
    if ratios:
        parts += ["How many times faster:\n", *ratios, ""]
    if group["absent"]:
        parts += ["Not here:\n", *(f"- {contestant}: {why}" for contestant, why in group["absent"].items()), ""]
    told = [f"{contestant} {error:.0e}" for contestant, error in group["largest relative difference"].items()]
    if told:
        parts.append(f"Largest relative difference of output and gradients from float64: {', '.join(told)}.\n")
    told = [f"{contestant} {count / 1e6:.2f} M" for contestant, count in group["parameters"].items()]
    if told:
        parts.append(f"Parameters: {', '.join(told)}.\n")
    return parts


def ratio_lines(found):
    """What the tables say about our backends, one line per backend and rival."""
    return [f"{group['title']}: {line}" for name, group in found["groups"].items() for line in _ratios(name, group)]


def _table(name, group, key, scale):
    lengths = sorted({row["length"] for row in group["rows"]})
    heads = [_length(name, length) for length in lengths]
    lines = ["| | " + " | ".join(heads) + " |", "|---" * (len(lengths) + 1) + "|"]
    for contestant in _names(group):
        cells = [_cell(group, contestant, length, key, scale) for length in lengths]
        lines.append(f"| {contestant} | " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _cell(group, contestant, length, key, scale):
    rows = [_row(group, contestant, length, way) for way in PASSES]
    if all("skipped" in row for row in rows):
        return rows[0]["skipped"]
    return " / ".join(_number(row[key] * scale) if key in row else row["skipped"] for row in rows)


def _ratios(name, group):
    """One line per backend of ours and rival, a ratio for each length."""
    lengths = sorted({row["length"] for row in group["rows"]})
    lines = []
    for mine in filter(_is_ours, _names(group)):
        for rival in group["rivals"]:
            told = [f"{_length(name, length)}: {_ratio(group, mine, rival, length)}" for length in lengths]
            lines.append(f"{mine} against {rival}: " + "; ".join(one for one in told if "– / –" not in one))
    return lines


def _ratio(group, mine, rival, length):
    cells = []
    for way in PASSES:
        fast, slow = (_row(group, contestant, length, way).get("seconds") for contestant in (mine, rival))
        cells.append(f"{slow / fast:.1f}" if fast and slow else "–")
    return " / ".join(cells)


def plots(found, folder):
    """Time against length, log-log, one picture for the scans and one for the layers."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    written = []
    for name, group in found["groups"].items():
        if name not in ("scan", "layers"):
            continue
        figure, panels = pyplot.subplots(1, 2, figsize=(12, 5), sharey=True)
        for panel, way in zip(panels, PASSES, strict=True):
            _panel(panel, name, group, way)
        panels[0].set_ylabel("milliseconds")
        panels[1].legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
        threads = f", {found['threads']} thread(s)" if found["options"]["device"] == "cpu" else ""
        figure.suptitle(f"{group['title']}: {found['device']}{threads}, {found['options']['dtype']}")
        path = folder / f"ops_{name}.png"
        figure.savefig(path, dpi=150, bbox_inches="tight")
        pyplot.close(figure)
        written.append(path)
    return written


def _panel(panel, name, group, way):
    """One line per contestant: ours drawn through, the others dashed."""
    scale = FRAMES_PER_SECOND if name == "layers" else 1
    ticks = sorted({row["length"] / scale for row in group["rows"]})
    for number, contestant in enumerate(_names(group)):
        rows = [r for r in group["rows"] if r["name"] == contestant and r["pass"] == way and "seconds" in r]
        style = "o-" if _is_ours(contestant) else "s--"
        x, y = [row["length"] / scale for row in rows], [1000 * row["seconds"] for row in rows]
        panel.loglog(x, y, style, color=f"C{number}", label=contestant, markersize=4)
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.yaxis.set_major_formatter("{x:g}")
    panel.minorticks_off()
    panel.grid(True, alpha=0.3)
    panel.set_title(way)
    panel.set_xlabel("seconds of speech, 40 ms a frame" if name == "layers" else "steps")


def _is_ours(contestant):
    return contestant.split(", ")[-1] in OURS


def _length(name, length):
    return f"{length / FRAMES_PER_SECOND:g} s" if name == "layers" else f"L = {length}"


def _names(group):
    return list(dict.fromkeys(row["name"] for row in group["rows"]))


def _row(group, contestant, length, way):
    return next(r for r in group["rows"] if (r["name"], r["length"], r["pass"]) == (contestant, length, way))


def _number(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
