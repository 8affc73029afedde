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
    """(heading, function of a row) pairs for people: rates, difference to the reference, p, and what it costs.

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
    split = sets[-1] if sets else None
    for measure in [m for m in MEASURES if (split, m) in keys]:
        key = split, measure
        chosen.append((f"Δ {split} {measure}", lambda row, key=key: _difference(row.differences.get(key))))
        chosen.append((f"p {measure}", lambda row, key=key: _p(row.differences.get(key))))
    if cost:
        chosen.append(("parameters", lambda row: f"{row.parameters / 1e6:.2f} M"))
        chosen.append(("training, min", lambda row: _spread(row.training, 1 / 60)))
        if any(row.training_cpu for row in rows):
            chosen.append(("CPU, min", lambda row: _spread(row.training_cpu, 1 / 60)))
        chosen.append(("hours", lambda row: f"{hours(r.content for r in row.system.results):.2f}"))
        chosen.append(("RTF", lambda row: _rtf(row.real_time_factor)))
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


def _difference(comparison):
    if comparison is None:
        return NOTHING
    low, high = (_signed(100 * value) for value in (comparison.low, comparison.high))
    return f"{_signed(100 * comparison.difference)} ({low} to {high})"


def _p(comparison):
    if comparison is None:
        return NOTHING
    return "< 0.001" if comparison.p_value < 0.001 else f"{comparison.p_value:.3f}"


def _rtf(spread):
    return NOTHING if spread is None else f"{spread.mean:#.2g}"


def markdown(table):
    """Markdown tables, one for each kind of decoder."""
    parts = []
    for heading, chosen, rows in _tables(table):
        cells = [[read(row).replace("|", "\\|") for _, read in chosen] for row in rows]
        lines = [[name for name, _ in chosen], ["---", "---"] + ["---:"] * (len(chosen) - 2), *cells]
        parts.append("\n".join([f"### {heading}", "", *(f"| {' | '.join(line)} |" for line in lines)]))
    return "\n\n".join(parts)


def plain(table):
    """The same for a terminal."""
    parts = []
    for heading, chosen, rows in _tables(table):
        cells = [[name for name, _ in chosen], *([read(row) for _, read in chosen] for row in rows)]
        parts += [heading, *in_columns(cells), ""]
    return "\n".join(parts)


def latex(table):
    """LaTeX tables with booktabs, one for each kind of decoder."""
    parts = ["% needs \\usepackage{booktabs}"]
    for heading, chosen, rows in _tables(table):
        lines = [" & ".join(escape(read(row)) for _, read in chosen) + r" \\" for row in rows]
        parts += [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escape(heading)}}}",
            rf"\begin{{tabular}}{{ll{'r' * (len(chosen) - 2)}}}",
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
    """(heading, columns, rows) of each kind of decoder; the first tells the cost."""
    for number, (kind, rows) in enumerate(table.items()):
        yield kind, columns(rows, cost=number == 0), rows


def write_csv(path, table):
    """Every figure, a line for each system, decoder, split and measure."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CSV_COLUMNS)
        for rows in table.values():
            for row in rows:
                writer.writerows(_csv_lines(row))


CSV_COLUMNS = (
    *("system", "same_as", "seeds", "decoder", "split", "measure", "mean", "sd", "low_95", "high_95"),
    *("difference", "difference_low_95", "difference_high_95", "p_value"),
    *("parameters", "training_seconds", "training_seconds_sd", "training_cpu_seconds", "rtf"),
)


def _csv_lines(row):
    system, training, cpu, rtf = row.system, row.training, row.training_cpu, row.real_time_factor
    for (split, measure), spread in row.rates.items():
        difference = row.differences.get((split, measure))
        shares = (difference.difference, difference.low, difference.high) if difference else (None,) * 3
        yield (
            *(system.name, system.same_as, len(system.results), system.decoder(row.kind), split, measure),
            *map(_number, (spread.mean, spread.sd, *row.intervals[split, measure])),
            *(_number(None if share is None else 100 * share) for share in shares),
            _number(difference and difference.p_value, 5),
            *(row.parameters, _number(training.mean, 1), _number(training.sd, 1)),
            *(_number(cpu and cpu.mean, 1), _number(rtf and rtf.mean, 5)),
        )


def _number(value, digits=3):
    return None if value is None else round(value, digits)
