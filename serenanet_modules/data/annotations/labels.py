"""Tables of times and texts: Audacity's labels, and the segments that ``transcribe --format tsv`` and Whisper write."""

import re

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import lines_of, seconds
from serenanet_modules.errors import UserError

LABEL = re.compile(rb"(\xef\xbb\xbf)?\d+([.,]\d+)?\t\d+([.,]\d+)?\t")
SEGMENTS = "start\tend\ttext"  # the head of a table of segments, in milliseconds
SPEAKING = f"{SEGMENTS}\tspeaker"
BEGINNING = 100  # bytes


def is_labels(path):
    """Whether a file begins as Audacity's label tracks do: start and end in seconds, then the label."""
    return LABEL.match(_beginning(path)) is not None


def is_segments(path):
    """Whether a file begins with ``start end text`` between tabs, and perhaps more columns, such as speaker."""
    head = _beginning(path).lstrip(b"\xef\xbb\xbf").split(b"\n")[0].rstrip(b"\r")
    return (head + b"\t").startswith(f"{SEGMENTS}\t".encode())


def _beginning(path):
    with open(path, "rb") as file:
        return file.read(BEGINNING)


def read_labels(path):
    """One document with the tier ``labels``. Lines that begin with ``\\`` say frequencies, which are left out."""
    lines = [(number, line) for number, line in lines_of(path) if line.strip() and not line.startswith("\\")]
    return _document(path, "labels", lines, 1.0)


def read_segments(path):
    """One document with the tier ``segments``, or a tier for each speaker."""
    (_, head), *lines = [(number, line) for number, line in lines_of(path) if line.strip()]
    return _document(path, "segments", lines, 1e-3, head.split("\t"))


def _document(path, name, lines, unit, columns=("start", "end", "text")):
    found = []
    for number, line in lines:
        fields = line.split("\t", len(columns) - 1)
        if len(fields) < 2:
            raise UserError(f"{path}: line {number} has no start and end between tabs.")
        start, end = (seconds(field.replace(",", "."), f"{path}: line {number}", unit) for field in fields[:2])
        told = dict(zip(columns[2:], fields[2:], strict=False))
        found.append(Annotation(told.get(columns[2], ""), start, end, told.get("speaker", "")))
    return [Document(path, by_speaker(found, name))]
