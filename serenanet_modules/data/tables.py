"""Manifest files of others: TSV, CSV, JSON and JSON lines, whatever their columns are called.

SpeechBrain's CSV (ID, duration, wav, spk_id, wrd) and JSON ({id: {wav, wrd, …}}), NeMo's JSON lines (audio_filepath,
duration, text, offset), Common Voice's and this project's own manifests are read as they are.
"""

import codecs
import csv
import io
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from serenanet_modules.errors import UserError

TABLES = (".tsv", ".csv")
SUFFIXES = (*TABLES, ".json", ".jsonl", ".ndjson")
SHOWN = 80  # characters of a header
COLUMNS = {  # what a column is for, and its names: the first that is there counts; upper and lower case are one
    "path": ("path", "wav", "audio_filepath", "audio_path", "audio", "file", "file_name", "filename"),
    "text": ("text", "sentence", "wrd", "transcription", "transcript"),
    "id": ("id", "utt_id", "utterance_id"),
    "speaker": ("speaker", "spk_id", "speaker_id", "client_id"),
    "locale": ("locale", "language", "lang"),
    "split": ("split", "subset"),
    "start": ("start", "offset"),
    "end": ("end",),
    "duration": ("duration",),
    "phonemes": ("phonemes",),
    "weight": ("weight",),
    "labelled_by": ("labelled_by",),
}
KNOWN = frozenset(name for names in COLUMNS.values() for name in names)
AS_WRITTEN = ("path", "text")  # columns whose white space is part of a name, or the normaliser's
DELIMITERS = "\t,;|"
FILE = re.compile(r"\.\w{2,5}$")  # ends the name of a file
SURROGATE = re.compile("[\ud800-\udfff]")  # which JSON can write alone, and no file can hold


@dataclass(frozen=True)
class Row:
    """One line of a manifest: what stands in the columns of `COLUMNS`, and where it was found.

    Annotated recordings may also say a ``channel``, which is from 0.
    """

    where: str  # for error messages
    values: dict  # of str to str; what is empty is left out

    def get(self, column):
        return self.values.get(column, "")


def read_rows(path, needed="path"):
    """Read a manifest file.

    Parameters
    ----------
    path : Path
        The kind follows from the ending; a table's delimiter from its first line.
    needed : str
        The column that every row must have.

    Returns
    -------
    list of Row

    Raises
    ------
    UserError
        Naming file and line: an unknown ending, another encoding than UTF-8 (or UTF-16 with a byte order mark), no
        column of the needed kind, a line with too many or too few columns, broken JSON.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"{path}: a manifest is a file that ends in {', '.join(SUFFIXES)}.")
    text = _decoded(path)
    is_table = path.suffix.lower() in TABLES
    found = list(_table_rows(text, path, needed) if is_table else _json_rows(text, path))
    if not found:
        raise UserError(f"{path}: holds no utterance.")
    rows = [Row(where, recognised(values)) for where, values in found]
    for row, (_, values) in zip(rows, found, strict=True):
        if not row.get(needed):
            named = any(str(name).lower() in COLUMNS[needed] for name in values)
            problem = (
                f"the {needed} is empty" if named else f"none of the columns {', '.join(COLUMNS[needed])} is there"
            )
            raise UserError(f"{row.where}: {problem}.")
    return rows


def begins(path):
    """How a manifest begins, to show in a message: a table's header, or the first characters of JSON."""
    text = _decoded(path)
    return repr((text.splitlines()[0] if path.suffix.lower() in TABLES else " ".join(text[:SHOWN].split()))[:SHOWN])


def rule_lines(path, option):
    """(number, line) of what a file of rules says: its lines but empty ones and those that begin with ``#``.

    Raises
    ------
    UserError
        With the option that names the file, where it cannot be read.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"{option} {path}: cannot be read as a UTF-8 text file ({error})") from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip() and line[0] != "#"]


def _decoded(path):
    data = path.read_bytes()
    try:
        if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}: line {line} is not UTF-8 (byte 0x{data[error.start]:02x}); save the file as UTF-8, for example "
            "with iconv -f latin1 -t utf-8."
        ) from None


# --- tables -----------------------------------------------------------------------------------------------------------


def _table_rows(text, path, needed):
    """Yield (where, {column: value}) of a table with a header line."""
    header = text.splitlines()[0] if text else ""
    delimiter = max(DELIMITERS, key=header.count)
    # A quotation mark is data where tabs part the columns, as in Common Voice.
    quoting = csv.QUOTE_NONE if delimiter == "\t" else csv.QUOTE_MINIMAL
    physical, first = list(io.StringIO(text, newline="")), 1
    lines = csv.reader(physical, delimiter=delimiter, quoting=quoting, strict=True)
    try:
        names = [name.strip() for name in next(lines, [])]
        if not any(name.lower() in COLUMNS[needed] for name in names):
            raise UserError(
                f"{path}: line 1 has no column for the {needed} ({', '.join(COLUMNS[needed])}); "
                f"it reads {header[:SHOWN]!r}."
            )
        if twice := [name for name, count in Counter(map(str.lower, names)).items() if count > 1 and name in KNOWN]:
            raise UserError(f"{path}: line 1 has the column {twice[0]!r} twice.")
        first = lines.line_num + 1
        for values in lines:
            where = f"{path}: line {lines.line_num}"
            if row := _swallowed(physical[first : lines.line_num], delimiter, names, needed):
                raise UserError(
                    f"{path}: line {first}: a quotation mark that opens there closes only in line {lines.line_num}, "
                    f"behind what looks like a row of its own ({row[:60]!r}); close it, or double it where it is meant."
                )
            first = lines.line_num + 1
            if not any(map(str.strip, values)):
                continue
            if len(values) != len(names):
                raise UserError(f"{where} has {len(values)} columns where line 1 has {len(names)}.")
            yield where, dict(zip(names, values, strict=True))
    except csv.Error as error:
        quotes = "" if delimiter == "\t" else "; is a quotation mark in it not closed?"
        raise UserError(f"{path}: line {first} cannot be read ({error}){quotes}") from None


def _swallowed(lines, delimiter, names, needed):
    """The first of the lines behind the first of a row that could be a row of its own, "" if none could.

    A text may hold line breaks. But a line with as many columns as the table, and a file's name where its name belongs,
    is most likely a row whose forerunner has a quotation mark too many.
    """
    at = next(i for i, name in enumerate(names) if name.lower() in COLUMNS[needed])
    for line in lines:
        values = line.rstrip("\r\n").split(delimiter)
        if len(values) == len(names) and FILE.search(values[at].strip('"')):
            return line.strip()
    return ""


# --- JSON -------------------------------------------------------------------------------------------------------------


def _json_rows(text, path):
    """Yield (where, {column: value}) of a list, of a mapping by id, or of one object a line."""
    try:
        content = _json_of(text, path)
    except json.JSONDecodeError as error:
        yield from _json_lines(text, path, error)
        return
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets without end
        raise UserError(f"{path}: cannot be read as JSON ({error}).") from None
    if isinstance(content, dict) and all(isinstance(value, dict) for value in content.values()):
        content = [{"id": name, **value} for name, value in content.items()]
    elif isinstance(content, dict):
        content = [content]  # JSON lines with a single line
    for number, entry in enumerate(content if isinstance(content, list) else [content], start=1):
        if not isinstance(entry, dict):
            raise UserError(f'{path}: entry {number} is no JSON object, {{"name": value, …}}.')
        yield f"{path}: entry {entry.get('id', number)}", _plain(entry, f"{path}: entry {number}")


def _json_lines(text, path, whole):
    """Lines that are objects of their own; ``whole`` is why the file is not one object."""
    lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    for number, line in lines:
        where = f"{path}: line {number}"
        try:
            entry = _json_of(line, where)
        except json.JSONDecodeError as error:
            if number == lines[0][0]:  # then it is no JSON lines at all
                raise UserError(f"{path}: line {whole.lineno} is not valid JSON ({whole.msg}).") from None
            raise UserError(f"{where} is not valid JSON ({error.msg}).") from None
        except (ValueError, RecursionError) as error:
            raise UserError(f"{where} cannot be read as JSON ({error}).") from None
        if not isinstance(entry, dict):
            raise UserError(f'{where} is no JSON object, {{"name": value, …}}.')
        yield where, _plain(entry, where)


def _json_of(text, where):
    """JSON that says everything once, and no NaN or infinity, which Python's reader takes for numbers."""

    def mapping(pairs):
        if len(names := dict(pairs)) < len(pairs):
            twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
            raise UserError(f"{where}: {twice!r} is there twice.")
        return names

    def constant(name):
        raise UserError(f"{where}: {name} is not allowed in JSON.")

    return json.loads(text, object_pairs_hook=mapping, parse_constant=constant)


def _plain(entry, where):
    """A JSON object's values as texts; of Hugging Face's ``{"path": …, "bytes": null}`` the path."""
    entry = {
        k: v["path"] if isinstance(v, dict) and v.get("path") and not v.get("bytes") else v for k, v in entry.items()
    }
    for name, value in entry.items():
        if name.lower() in KNOWN and (
            not isinstance(value, str | int | float | None) or value is True or value is False
        ):
            raise UserError(f"{where}: {name!r} must be a text or a number, not {json.dumps(value)[:60]}.")
        if isinstance(value, str) and SURROGATE.search(value):
            raise UserError(f"{where}: {name!r} holds half a character (an unpaired surrogate) ({ascii(value)[:60]}).")
    return {name: "" if value is None else str(value) for name, value in entry.items()}


def recognised(values):
    """The texts of known columns by what they are for."""
    there = {str(name).lower(): value for name, value in values.items()}
    found = {}
    for column, names in COLUMNS.items():
        value = next((there[name] for name in names if name in there), "")
        if value.strip():
            found[column] = value if column in AS_WRITTEN else " ".join(value.split())
    return found
