"""Transcripts in JSON: of ``transcribe --format json``, one a line, and of Whisper and OpenAI's API, one a file."""

import json

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import MOST_ITEMS, seconds, text_of
from serenanet_modules.errors import UserError

TIER = "segments"
BEGINNING = 2**16  # bytes, in which the keys are


def is_one(path):
    """Whether a file begins as an object with ``text`` and ``segments``."""
    with open(path, "rb") as file:
        start = file.read(BEGINNING).lstrip(b"\xef\xbb\xbf \t\r\n")
    return start.startswith(b"{") and b'"text"' in start and b'"segments"' in start


def read(path):
    """A document for each transcript, with a tier for each speaker.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
        For what is no JSON, and segments without a text or times.
    """
    return [_document(path, entry, where) for entry, where in _entries(path)]


def _entries(path):
    """The objects of a file that is one, or has one in each line, and where they are."""
    text = text_of(path)
    try:
        return [(json.loads(text), f"{path}")]
    except (ValueError, RecursionError):
        lines = [(number, line) for number, line in enumerate(text.split("\n"), start=1) if line.strip()]
    found = []
    for number, line in lines[:MOST_ITEMS]:
        try:
            found.append((json.loads(line), f"{path}: line {number}"))
        except (ValueError, RecursionError) as error:
            raise UserError(f"{path}: line {number} is not valid JSON ({error}).") from None
    return found


def _document(path, entry, where):
    segments = _of(entry, "segments", list, where)
    name = entry.get("file")
    media = (name,) if isinstance(name, str) and name else ()
    return Document(path, by_speaker([_annotation(segment, where) for segment in segments], TIER), media)


def _annotation(segment, where):
    start, end = (_time(segment, key, where) for key in ("start", "end"))
    speaker = segment.get("speaker")
    return Annotation(_of(segment, "text", str, where), start, end, speaker if isinstance(speaker, str) else "")


def _time(segment, key, where):
    """None where a segment says that nobody knows it."""
    if isinstance(segment, dict) and segment.get(key, 0) is None:
        return None
    return seconds(_of(segment, key, (int, float), where), where)


def _of(entry, key, kind, where):
    value = entry.get(key) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or isinstance(value, bool):
        raise UserError(f"{where}: {key!r} is {json.dumps(value)[:60]}; is it a transcript?")
    return value
