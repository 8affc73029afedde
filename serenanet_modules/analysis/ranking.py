"""A search's results ranked by dev. What test says is not shown: dev chooses, and test is for what was chosen."""

import csv
import statistics
from typing import NamedTuple

from serenanet_modules.analysis.folders import Result
from serenanet_modules.data.manifest import role
from serenanet_modules.runs.results import in_columns
from serenanet_modules.runtime.files import replacing, write_text

KIND = "greedy"  # which every run decodes
MEASURES = ("WER", "CER", "PER")
NOTE = """\
Ranked by {key} of greedy decoding: mean ± standard deviation over seeds, in percent. Test is not shown: a row that was
chosen by test would look better there than it is. For the same reason the first row looks better on dev than it is, the
more so the more rows there are and the fewer seeds. Look at test once, for the row that you choose. All figures:
[table.csv](table.csv)."""


class Ranked(NamedTuple):
    """One combination of values."""

    name: str
    results: list[Result]
    rates: dict[tuple[str, str], list[float]]  # (split, measure) -> percent for each seed, of dev


def write_ranking(groups, out, missing=(), command=None):
    """Rank groups of result folders by dev.

    Parameters
    ----------
    groups : list of Group
    out : Path
    missing : list of str
        Sentences on what is not in the ranking.
    command : str, optional
        That made all the runs.

    Returns
    -------
    str
        What to print.
    """
    rows = [_read(group) for group in groups]
    keys = [key for key in rows[0].rates if all(key in row.rates for row in rows)]
    rows.sort(key=lambda row: [statistics.fmean(row.rates[key]) for key in keys])
    heads = ["rank", "system", "seeds", *(" ".join(key) for key in keys), "parameters", "training, min"]
    lines = [_line(number, row, keys) for number, row in enumerate(rows, 1)]
    out.mkdir(parents=True, exist_ok=True)
    with replacing(out / "table.csv") as path, open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["rank", "system", "seed", "split", "measure", "percent"])
        writer.writerows(line for number, row in enumerate(rows, 1) for line in _csv_lines(number, row, keys))
    write_text(out / "report.md", _page([heads, *lines], " ".join(keys[0]) if keys else "nothing", missing, command))
    return "\n".join([*in_columns([heads, *lines], left=2), "", f"report: {out / 'report.md'}"])


def _read(group):
    results, rates = [Result.read(folder) for folder in group.folders], {}
    for split in [split for split in results[0].splits if role(split) == "dev"]:
        measured = [result.measures(split, f"{group.scoring or result.scoring}/{KIND}") for result in results]
        for measure in MEASURES:
            if all(measure in measures for measures in measured):
                rates[split, measure] = [measures[measure]["percent"] for measures in measured]
    name = f"{group.name} (= {group.same_as})" if group.same_as else group.name
    return Ranked(name, results, rates)


def _line(number, row, keys):
    minutes = [result.content["seconds"]["training"] / 60 for result in row.results]
    parameters = f"{row.results[0].content['parameters']['total'] / 1e6:.2f} M"
    rates = [_spread(row.rates[key]) for key in keys]
    return [str(number), row.name, str(len(row.results)), *rates, parameters, _spread(minutes)]


def _spread(values):
    sd = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):.1f}{sd}"


def _csv_lines(number, row, keys):
    for key in keys:
        for result, percent in zip(row.results, row.rates[key], strict=True):
            yield number, row.name, result.seed, *key, percent


def _page(table, key, missing, command):
    heads, *lines = table
    rows = [heads, ["---:", "---"] + ["---:"] * (len(heads) - 2), *lines]
    parts = ["# Search", "\n".join(f"| {' | '.join(row)} |" for row in rows), NOTE.format(key=key)]
    parts += ["\n".join(f"- {sentence}" for sentence in missing)] if missing else []
    parts += [f"All runs: `{command}`"] if command else []
    return "\n\n".join(parts) + "\n"
