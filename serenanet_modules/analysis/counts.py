"""Copies of results without a word of their texts, for reports by those who may not see what was said.

A copy is a folder with the figures of result.json and, of each set, a table of error counts: a row for each utterance,
in whose cells stand hits, substitutions, deletions and insertions. Utterances, speakers and recordings are numbers, the
same ones for all copies of one set.
"""

import csv
from dataclasses import fields
from pathlib import Path

from serenanet_modules.analysis.scoring import ErrorCounts
from serenanet_modules.runtime.files import replacing, write_json

FIGURES = (
    *("dataset", "experiment", "seed", "scoring", "results", "confidence", "parameters", "trained_parameters"),
    *("epochs", "history", "steps", "processes", "seconds", "commit", "processor", "threads", "device", "finished"),
)
WHOSE = ("utterance", "speaker", "recording")


def write_copy(result, folder):
    """Write the copy of a `Result`.

    Parameters
    ----------
    result : Result
    folder : Path
    """
    folder.mkdir(parents=True, exist_ok=True)
    for split in result.splits:
        rows = result.texts(split)
        counted = {
            f"{decoder} {measure}": result.per_utterance(split, decoder, measure)
            for decoder in result.decoders(split)
            for measure in result.measures(split, decoder)
            if measure in ("WER", "CER", "PER")
        }
        whose = [_numbers(row.get(name) for row in rows.values()) for name in WHOSE[1:]]
        with replacing(counts_of(folder, split)) as path, open(path, "w", encoding="utf-8", newline="") as file:
            table = csv.writer(file)
            table.writerow([*WHOSE, *counted])
            for number, key in enumerate(sorted(rows), start=1):
                of = (numbers.get(rows[key].get(name), "") for name, numbers in zip(WHOSE[1:], whose, strict=True))
                table.writerow([number, *of, *(_written(counts[key]) for counts in counted.values())])
    write_json(folder / "result.json", {key: result.content[key] for key in FIGURES if key in result.content})


def counts_of(folder, split):
    """Where a copy keeps the counts of a set."""
    return Path(folder) / f"counts_{split}.csv"


def read_counts(file):
    """What a copy keeps of a set.

    Parameters
    ----------
    file : Path

    Returns
    -------
    (dict, dict)
        Utterance -> its row, with ``speaker`` and ``recording`` where these are known; (decoder, measure) ->
        utterance -> ErrorCounts.

    Raises
    ------
    OSError, ValueError, KeyError, csv.Error
        For a file that is none.
    """
    with open(file, encoding="utf-8", newline="") as opened:
        rows = {row["utterance"]: row for row in csv.DictReader(opened, strict=True)}
    if not rows:
        raise ValueError("it holds no utterance")
    columns = [name for name in next(iter(rows.values())) if name not in WHOSE]
    counted = {tuple(name.rsplit(" ", 1)): {key: _read(row[name]) for key, row in rows.items()} for name in columns}
    return {key: {name: row[name] for name in WHOSE[1:] if row[name]} for key, row in rows.items()}, counted


def _numbers(names):
    """Different names -> their numbers, from 1; without those that are not known."""
    return {name: number for number, name in enumerate(sorted(filter(None, set(names))), start=1)}


def _written(counts):
    return f"{counts.hits} {counts.substitutions} {counts.deletions} {counts.insertions}"


def _read(cell):
    counts = [int(part) for part in cell.split()]
    if len(counts) != len(fields(ErrorCounts)) or min(counts) < 0:
        raise ValueError(f"{cell!r} is not four counts")
    return ErrorCounts(*counts)
