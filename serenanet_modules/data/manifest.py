"""The manifest: one CSV row for each utterance, checked when it is written and when it is read."""

import csv
import math
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from serenanet_modules.data.files import replacing
from serenanet_modules.errors import UserError

SPLITS = ("train", "dev", "test")


@dataclass(frozen=True)
class Candidate:
    """What a recipe's prepare.py yields: a clip as the corpus gives it, not yet looked at."""

    id: str
    path: Path  # absolute, the corpus's own audio
    text: str  # raw
    speaker: str
    locale: str
    split: str
    phonemes: str = ""  # space-separated, "|" between words, where the corpus has them

    def __post_init__(self):
        _check_split(self.split)


@dataclass(frozen=True)
class Utterance:
    """A prepared clip.

    Raises
    ------
    ValueError
        Where a field cannot be: no id, no path, an unknown split, a duration that is not positive.

    Examples
    --------
    >>> Utterance("u1", "u1.flac", 0.0, "habari", "", "s1", "sw", "train")
    Traceback (most recent call last):
        ...
    ValueError: duration is 0.0, it must be positive seconds
    """

    id: str
    path: str  # relative to the manifest's folder
    duration: float  # seconds
    text: str  # normalised
    phonemes: str  # space-separated, "|" between words, "" if there are none
    speaker: str
    locale: str
    split: str

    def __post_init__(self):
        _check_split(self.split)
        for name in ("id", "path"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise ValueError(f"duration is {self.duration}, it must be positive seconds")


COLUMNS = tuple(field.name for field in fields(Utterance))


def write_manifest(path, utterances):
    """Write utterances to a CSV file, which appears whole or not at all.

    Raises
    ------
    UserError
        Where two utterances have the same id.
    """
    seen = set()
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for utterance in utterances:
            _check_new(utterance.id, seen, path)
            writer.writerow(asdict(utterance))


def read_manifest(path, split=None):
    """Read the utterances of a manifest.

    Parameters
    ----------
    path : str or Path
    split : str, optional
        "train", "dev" or "test"; all of them by default.

    Returns
    -------
    list of Utterance
        In the file's order.

    Raises
    ------
    UserError
        Naming file and line: no file, a missing column, a value of the wrong type, a repeated id.
    """
    if split is not None:
        _check_split(split)
    try:
        with open(path, encoding="utf-8", newline="") as file:
            utterances = list(_rows(csv.DictReader(file), path))
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such manifest; prepare the data first.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a UTF-8 text file ({error.reason}).") from None
    return [u for u in utterances if split in (None, u.split)]


def _rows(reader, path):
    missing = [name for name in COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise UserError(f"{path}: line 1 lacks the column(s) {', '.join(missing)}.")
    seen = set()
    for row in reader:
        values = {name: row[name] for name in COLUMNS}
        try:
            if None in values.values():
                raise ValueError("the line has too few columns")
            utterance = Utterance(**{**values, "duration": float(values["duration"])})
        except ValueError as error:
            raise UserError(f"{path}: line {reader.line_num}: {error}.") from None
        _check_new(utterance.id, seen, f"{path}: line {reader.line_num}")
        yield utterance


def _check_split(split):
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}, it must be one of {', '.join(SPLITS)}")


def _check_new(name, seen, where):
    if name in seen:
        raise UserError(f"{where}: the id {name!r} is there twice.")
    seen.add(name)
