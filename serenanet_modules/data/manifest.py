"""The manifest: one CSV row for each utterance, checked when it is written and when it is read."""

import csv
import functools
import math
import re
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing

FIELD_LIMIT = 2**31 - 1  # characters of a field in a table: numbers that are read out are long

SPLITS = ("train", "dev", "test")  # the roles; a dev or test set may have a name: "test-clean"

csv.field_size_limit(FIELD_LIMIT)


def role(split):
    """What a split is for: train, dev or test.

    A corpus with several dev or test sets names them. All dev sets together choose checkpoints and tune decoding, and
    each set is scored by itself.

    Examples
    --------
    >>> role("test-other"), role("train")
    ('test', 'train')
    """
    return split.partition("-")[0]


def by_set(utterances):
    """Utterances by the named set that they are in.

    Examples
    --------
    >>> rows = [Utterance(s, "u.flac", 1.0, "", "", "", "sw", s) for s in ("test-b", "test-a")]
    >>> {name: [u.id for u in inside] for name, inside in by_set(rows).items()}
    {'test-a': ['test-a'], 'test-b': ['test-b']}
    """
    return {name: [u for u in utterances if u.split == name] for name in sorted({u.split for u in utterances})}


@dataclass(frozen=True)
class Candidate:
    """What a recipe's prepare.py yields: a clip as the corpus gives it, not yet looked at.

    Raises
    ------
    ValueError
        For an unknown split, a segment that ends before it starts, or a weight that is none.
    """

    id: str
    path: Path  # absolute, the corpus's own audio
    text: str  # raw, "" where there is none
    speaker: str  # "" where nobody knows
    locale: str
    split: str
    phonemes: str = ""  # space-separated, "|" between words, where the corpus has them
    start: float = 0.0  # seconds into the recording
    end: float | None = None  # seconds; None is the recording's end
    weight: float = 1.0  # of a training utterance's loss
    labelled_by: str = ""  # the model that wrote the text, "" for people
    channel: int | None = None  # of the recording, from 0; None is all, mixed

    def __post_init__(self):
        check_split(self.split)
        check_weight(self.weight)
        if not 0 <= self.start < (math.inf if self.end is None else self.end):
            raise ValueError(
                f"the segment from {self.start} s to {self.end} s must begin at 0 or later and end after that"
            )

    @property
    def is_segment(self):
        """Whether this is a part of a recording rather than a file of its own."""
        return self.start > 0 or self.end is not None or self.channel is not None

    @property
    def part(self):
        """Which part of the recording it is: start, end and channel."""
        return self.start, self.end, self.channel


@dataclass(frozen=True)
class Utterance:
    """A prepared clip.

    Raises
    ------
    ValueError
        Where a field cannot be: no id, no path, an unknown split, a duration that is not positive, a weight that is
        none.

    Examples
    --------
    >>> Utterance("u1", "u1.flac", 0.0, "habari", "", "s1", "sw", "train")
    Traceback (most recent call last):
        ...
    ValueError: duration is 0.0, it must be positive seconds
    """

    id: str
    path: str  # relative to the manifest's folder; absolute where the corpus's own file is used
    duration: float  # seconds
    text: str  # normalised
    phonemes: str  # space-separated, "|" between words, "" if there are none
    speaker: str
    locale: str
    split: str
    weight: float = 1.0  # of a training utterance's loss
    labelled_by: str = ""  # the model that wrote the text, "" for people
    recording: str = ""  # that it is a part of, "" for a file of its own

    def __post_init__(self):
        check_split(self.split)
        check_weight(self.weight)
        for name in ("id", "path"):
            if not getattr(self, name):
                raise ValueError(f"{name} is empty")
        if not (math.isfinite(self.duration) and self.duration > 0):
            raise ValueError(f"duration is {self.duration}, it must be positive seconds")


COLUMNS = tuple(field.name for field in fields(Utterance))
NEEDED = tuple(field.name for field in fields(Utterance) if field.default is MISSING)


def written_by_people(utterances):
    """Yield those whose texts no model wrote; all of them where there are no others."""
    by_models_alone = all(u.labelled_by for u in utterances)
    return (u for u in utterances if by_models_alone or not u.labelled_by)


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
        "train", "dev" or "test" for all sets with that role, or one named set such as "test-clean"; everything by
        default.

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
        check_split(split)
    seen, found = set(), []
    for row in rows_of(path):
        _check_new(row.utterance.id, seen, f"{path}: line {row.line}")
        if split in (None, row.utterance.split, role(row.utterance.split)):
            found.append(row.utterance)
    return found


class Row(NamedTuple):
    """An utterance, the line of the file that it ends in, and the bytes where it begins and ends."""

    utterance: Utterance
    line: int
    start: int
    end: int


def rows_of(path):
    """Yield the `Row` of each utterance of a manifest; errors as of `read_manifest`, but repeated ids are none."""
    try:
        with open(path, "rb") as file:
            yield from _rows(file, path)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such manifest; prepare the data first.") from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not a UTF-8 text file ({error.reason}).") from None
    except (csv.Error, OSError) as error:
        raise UserError(f"{path}: cannot be read as a manifest ({error}).") from None


def _rows(file, path):
    lines = _Lines(file)
    reader = csv.reader(lines, strict=True)
    columns = next(reader, [])
    if missing := [name for name in NEEDED if name not in columns]:
        raise UserError(f"{path}: line 1 lacks the column(s) {', '.join(missing)}.")
    start = lines.read
    for values in reader:
        if values:  # which an empty line has none of
            try:
                yield Row(utterance_of(columns, values), reader.line_num, start, lines.read)
            except ValueError as error:
                raise UserError(f"{path}: line {reader.line_num}: {error}.") from None
        start = lines.read


class _Lines:
    """A file's lines as text, and how many bytes of it have been read."""

    def __init__(self, file):
        self.file, self.read = file, 0

    def __iter__(self):
        return self

    def __next__(self):
        line = next(self.file)
        self.read += len(line)
        return line.decode("utf-8")


def utterance_of(columns, values):
    """The `Utterance` that the values of a line with these columns are; a ValueError where they are none."""
    there = {name: value for name, value in zip(columns, values, strict=False) if name in COLUMNS}
    if missing := [name for name in columns[len(values) :] if name in COLUMNS]:
        raise ValueError(f"the line has too few columns: no {missing[0]}")
    numbers = {name: float(there[name]) for name in ("duration", "weight") if name in there}
    return Utterance(**there | numbers)


@functools.lru_cache(64)
def check_split(split):
    """Raise a ValueError unless this is train, dev, test, or a dev or test set with a name."""
    if not re.fullmatch(r"train|(dev|test)(-[\w.-]+)?", split):
        raise ValueError(f"split is {split!r}, it must be one of {', '.join(SPLITS)}, dev-NAME and test-NAME")


def check_weight(weight):
    """Raise a ValueError unless this is a number from 0."""
    if not 0 <= weight < math.inf:
        raise ValueError(f"weight is {weight}, it must be a number from 0")


def _check_new(name, seen, where):
    if name in seen:
        raise UserError(f"{where}: the id {name!r} is there twice.")
    seen.add(name)
