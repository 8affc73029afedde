"""Corpora in tar archives: WebDataset's, and Lhotse's Shar (Żelasko et al. 2021, "Lhotse").

A sample of WebDataset is the files of one name: a sound, and its text as ``.txt``, or ``.json`` with what a row of a
manifest has. In Shar ``cuts.000000.jsonl.gz`` says what is in ``recording.000000.tar``.
"""

import re
from itertools import groupby
from pathlib import Path

from serenanet_modules.data.annotations.lhotse import entries
from serenanet_modules.data.annotations.opening import json_mapping
from serenanet_modules.data.endings import AUDIO
from serenanet_modules.data.splitting import split_of_name
from serenanet_modules.data.tables import Row, recognised
from serenanet_modules.data.tars import members, place
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import below

CUTS = re.compile(r"cuts\.(\d+)\.jsonl(\.gz)?")
TEXTS = ("txt", "text", "lab", "transcript")
LONGEST_TEXT = 2**20  # bytes of a text, or of what is said of a sound
WHOLE = 0.05  # seconds that may lie around the one part of a cut that was said, which is then all of it


def archives(path):
    """The lists and archives of a corpus of this kind, a file or a folder of any depth; none where it is another."""
    if path.is_file():
        return [path] if path.suffix.lower() == ".tar" or CUTS.fullmatch(path.name) else []
    files = below(path, lambda name: name.endswith(".tar") or CUTS.fullmatch(name))
    cuts = [file for file in files if CUTS.fullmatch(file.name)]
    return cuts or [file for file in files if file.suffix == ".tar"]


def read_rows(path):
    """The utterances of such a corpus, one a row: path, text, id, speaker, locale, split, start and end in seconds.

    The folder or file that an utterance is in may say its split: ``train/…``, ``dev-000000.tar``.

    Returns
    -------
    list of `tables.Row`

    Raises
    ------
    UserError
        For a file that cannot be read, and where there is no sound.
    """
    rows, found = [], archives(path)
    splits = [_split(file, path) for file in found]
    splits = splits if path.is_file() or ("train" in splits and "" not in splits) else [""] * len(found)
    for file, split in zip(found, splits, strict=True):
        for row in _shar(file) if CUTS.fullmatch(file.name) else _web(file):
            rows.append(Row(row.where, row.values | {"split": split} if split and not row.get("split") else row.values))
    if not rows:
        raise UserError(f"{path}: holds no sound in its archives.")
    return rows


def _split(file, path):
    above = file.relative_to(path).parts[:-1] if path.is_dir() else ()
    stem = re.sub(r"[-_.]?(\d+|\{.*\})$", "", file.stem)
    return next(filter(None, map(split_of_name, [*above, stem])), "")


# --- WebDataset -------------------------------------------------------------------------------------------------------


def _web(tar):
    for name, files in groupby(members(tar), key=lambda named: _parted(named[0])[0]):
        parts = {_parted(file)[1]: member for file, member in files}
        ending = next((ending for ending in AUDIO if ending in parts), None)
        if ending is None or Path(name).name.startswith("."):
            continue
        sound, where = parts[ending], f"{tar}: {name}"
        values = {"path": str(place(tar, sound.offset, sound.size, f"{name}.{ending}")), "id": name}
        if "json" in parts:
            said = json_mapping(_text(parts["json"], where), where)
            values = recognised({key: str(value) for key, value in said.items() if _plain(value)}) | values
        text = next((_text(parts[ending], where) for ending in TEXTS if ending in parts), None)
        values |= {} if text is None else {"text": text.strip()}
        yield Row(where, {key: value for key, value in values.items() if value and key not in ("start", "end")})


def _parted(name):
    """A file's name up to its first dot, and its ending in lower case."""
    folder, _, last = name.removeprefix("./").rpartition("/")
    stem, _, ending = last.partition(".")
    return f"{folder}/{stem}" if folder else stem, ending.lower()


def _plain(value):
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _text(member, where):
    if member.size > LONGEST_TEXT:
        raise UserError(f"{where}: a text of {member.size} bytes is too long")
    try:
        return member.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{where}: its text is not UTF-8.") from None


# --- Shar -------------------------------------------------------------------------------------------------------------


def _shar(cuts):
    """Utterances of the cuts of a shard: their supervisions, or the whole cut where that is one."""
    number = CUTS.fullmatch(cuts.name)[1]
    tar = cuts.with_name(f"recording.{number}.tar")
    if not tar.is_file():
        raise UserError(f"{cuts}: the archive of its recordings, {tar.name}, is not beside it.")
    sounds = {}
    for name, member in members(tar):
        stem, _, ending = name.rpartition(".")
        if ending.lower() in AUDIO:
            sounds[stem] = str(place(tar, member.offset, member.size, f"{Path(stem).name}.{ending}"))
    for where, cut in entries(cuts):
        name, said = cut.get("id"), cut.get("supervisions")
        if not isinstance(name, str) or not isinstance(said, list) or name not in sounds:
            raise UserError(f"{where}: is no cut whose recording is in {tar.name}.")
        for number, supervision in enumerate(said):
            yield Row(where, _said(supervision, name, sounds[name], cut, number if len(said) > 1 else None, where))


def _said(supervision, name, sound, cut, number, where):
    try:
        start, length = float(supervision["start"]), float(supervision["duration"])
        whole = number is None and abs(start) < WHOLE and abs(length - float(cut["duration"])) < WHOLE
    except (TypeError, KeyError, ValueError, OverflowError):
        raise UserError(f"{where}: has no times of what was said.") from None
    values = {"path": sound, "id": name if number is None else f"{name}-{number}"}
    values |= {} if whole else {"start": repr(max(0.0, start)), "end": repr(start + length)}
    told = {key: supervision.get(key) for key in ("text", "speaker", "language")}
    return values | recognised({key: value for key, value in told.items() if isinstance(value, str) and value})
