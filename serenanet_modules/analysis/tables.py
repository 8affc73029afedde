"""A summary as Markdown, CSV and LaTeX."""

import csv
import re

from serenanet_modules.analysis.cost import hours
from serenanet_modules.analysis.folders import in_order
from serenanet_modules.analysis.summary import MEASURES
from serenanet_modules.runs.results import in_columns

NOTHING = "–"
LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {c: f"\\{c}" for c in "&%$#_{}"} | {"±": r"$\pm$", "Δ": r"$\Delta$", "−": r"$-$", "–": "--", "×": r"$\times$"}


def columns(rows, cost):
    """(heading, function of a row) pairs for people: rates, and what they cost.

    Parameters
    ----------
    rows : list of Row
        Of one kind of decoder.
    cost : bool
        Whether to tell parameters, training time and real-time factor.
    """
    sets = in_order(s for row in rows for s, _ in row.rates)
    keys = [(s, m) for s in sets for m in MEASURES if any((s, m) in row.rates for row in rows)]
    chosen = [("system", _name), ("decoder", lambda row: row.system.decoder(row.kind))]
    chosen.append(("seeds", lambda row: str(len(row.system.results))))
    chosen += [(" ".join(key), lambda row, key=key: _spread(row.rates.get(key))) for key in keys]
    if cost:
        chosen.append(("parameters", lambda row: f"{row.parameters / 1e6:.2f} M"))
        chosen.append(("training, min", lambda row: _spread(row.training, 1 / 60)))
        if any(row.training_cpu for row in rows):
            chosen.append(("CPU, min", lambda row: _spread(row.training_cpu, 1 / 60)))
        chosen.append(("hours, total", lambda row: f"{hours(r.content for r in row.system.results):.2f}"))
        chosen.append(("RTF", lambda row: _rtf(row.real_time_factor)))
    return chosen


def difference_columns(rows):
    """The same of the differences to the reference on the last set; [] where there are none."""
    sets = in_order(s for row in rows for s, _ in row.differences)
    keys = [(sets[-1], m) for m in MEASURES if any((sets[-1], m) in row.differences for row in rows)] if sets else []
    chosen = [("system", _name), ("common seeds", lambda row: _shared(row, keys))] if keys else []
    for key in keys:
        chosen.append((f"Δ {' '.join(key)}", lambda row, key=key: _difference(row.differences.get(key))))
        chosen.append((f"p {key[1]}", lambda row, key=key: _p(row.differences.get(key))))
        chosen.append((f"detectable {key[1]}", lambda row, key=key: _visible(row.differences.get(key))))
    return chosen


def _name(row):
    return f"{row.system.name} (= {row.system.same_as})" if row.system.same_as else row.system.name


def _spread(spread, scale=1.0):
    if spread is None:
        return NOTHING
    sd = "" if spread.sd is None else f" ± {scale * spread.sd:.1f}"
    return f"{scale * spread.mean:.1f}{sd}"


def _signed(value):
    return f"{value:+.1f}".replace("-", "−")


def _shared(row, keys):
    return str(max(len(row.differences[key].by_seed) for key in keys if key in row.differences))


def _difference(contrast):
    if contrast is None:
        return NOTHING
    low, high = (_signed(100 * value) for value in (contrast.low, contrast.high))
    return f"{_signed(100 * contrast.difference)} ({low} to {high})"


def _p(contrast):
    if contrast is None or contrast.p_holm is None:
        return NOTHING
    return "< 0.001" if contrast.p_holm < 0.001 else f"{contrast.p_holm:.3f}"


def _visible(contrast):
    if contrast is None or contrast.visible is None:
        return NOTHING
    return f"{100 * contrast.visible:.1f} / {100 * contrast.visible_holm:.1f}"


def _rtf(spread):
    return NOTHING if spread is None else f"{spread.mean:#.2g}"


def markdown(table):
    """Markdown tables of each kind of decoder: rates, and differences where there are some."""
    parts = []
    for heading, chosen, rows, left in _tables(table):
        cells = [[read(row).replace("|", "\\|") for _, read in chosen] for row in rows]
        lines = [[name for name, _ in chosen], ["---"] * left + ["---:"] * (len(chosen) - left), *cells]
        parts.append("\n".join([f"### {heading}", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(parts)


def plain(table):
    """The same for a terminal."""
    parts = []
    for heading, chosen, rows, left in _tables(table):
        cells = [[name for name, _ in chosen], *([read(row) for _, read in chosen] for row in rows)]
        parts += [heading, *in_columns(cells, left), ""]
    return "\n".join(parts)


def latex(table):
    """The same in LaTeX with booktabs."""
    parts = ["% needs \\usepackage{booktabs}"]
    for heading, chosen, rows, left in _tables(table):
        lines = [" & ".join(escape(read(row)) for _, read in chosen) + r" \\" for row in rows]
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(heading)}}}",
            rf"\begin{{tabular}}{{{'l' * left}{'r' * (len(chosen) - left)}}}",
            r"\toprule",
            " & ".join(escape(name) for name, _ in chosen) + r" \\",
            r"\midrule",
            *lines,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    return "\n".join(parts) + "\n"


def escape(text):
    r"""A text with what LaTeX reads otherwise escaped.

    Examples
    --------
    >>> print(escape("no_athm & 5 % ± 1"))
    no\_athm \& 5 \% $\pm$ 1
    """
    return re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match[0]], text)


def _tables(table):
    """(heading, columns, rows, how many columns are words) of each kind of decoder; the first tells the cost."""
    for number, (kind, rows) in enumerate(table.items()):
        yield kind, columns(rows, cost=number == 0), rows, 2
        compared = [row for row in rows if row.differences]
        if chosen := difference_columns(compared):
            reference = next(row.system.name for row in rows if row.families and not row.differences)
            yield f"{kind}: differences to {reference}", chosen, compared, 1


def write_csv(path, table):
    """Every figure, a line for each system, decoder, split and measure."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for rows in table.values():
            for row in rows:
                writer.writerows(_csv_lines(row))


CSV_COLUMNS = (
    *("system", "same_as", "seeds", "decoder", "split", "measure", "mean", "sd", "low_95", "high_95", "drawn"),
    *("difference", "difference_low_95", "difference_high_95", "standard_error", "visible", "visible_holm"),
    *("seeds_of_both", "degrees_of_freedom", "p_value", "p_holm"),
    *("parameters", "training_seconds", "training_seconds_sd", "training_cpu_seconds", "rtf"),
)


def _csv_lines(row):
    system, training, cpu, rtf = row.system, row.training, row.training_cpu, row.real_time_factor
    for (split, measure), spread in row.rates.items():
        yield (
            *(system.name, system.same_as, len(system.results), system.decoder(row.kind), split, measure),
            *map(_number, (spread.mean, spread.sd, *row.intervals[split, measure])),
            row.drawn[split],
            *_csv_difference(row.differences.get((split, measure))),
            *(row.parameters, _number(training.mean, 1), _number(training.sd, 1)),
            *(_number(cpu and cpu.mean, 1), _number(rtf and rtf.mean, 5)),
        )


def _csv_difference(contrast):
    if contrast is None:
        return [None] * 10
    shares = contrast.difference, contrast.low, contrast.high, contrast.error, contrast.visible, contrast.visible_holm
    return [
        *(_number(None if share is None else 100 * share) for share in shares),
        *(len(contrast.by_seed), _number(contrast.freedom, 1)),
        *(_number(p, 5) for p in (contrast.p_value, contrast.p_holm)),
    ]


def _number(value, digits=3):
    return None if value is None else round(value, digits)
