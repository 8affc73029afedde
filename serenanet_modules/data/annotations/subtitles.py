"""Subtitles: SubRip's ``.srt`` and WebVTT's ``.vtt``."""

import html
import re

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import lines_of, seconds
from serenanet_modules.errors import UserError

CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})(?:[.,](\d{1,3}))?"
TIMES = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?:\s.*)?")
TIMED = re.compile(r"\s*[\d:.,-]+\s*-->")  # a line that says times, rightly or wrongly
VOICE = re.compile(r"<v(?:\.[^ \t>]*)?[ \t]([^>]*)>")
WORD_TIME = re.compile(r"<\d[\d:]*\.\d+>")  # in a text, of the word behind it
TAG = re.compile(r"<rt>[^<]*</rt>|<[^<>]*>|\{\\[^{}]*\}")  # with what ruby has above a word
TIER = "subtitles"


def read(path):
    """The subtitles, a tier for each speaker that WebVTT names; tags that say how they look are left out.

    Where words have times of their own, lines that roll up are shown in several cues and read once. Before the number
    of a cue an empty line may be missing.

    Returns
    -------
    list of Document
        One.

    Raises
    ------
    UserError
        For a line with ``-->`` that says no times, and a file without any.
    """
    found, cue = [], None
    for number, line in lines_of(path):
        if TIMED.match(line):
            if cue and cue[2] and cue[2][-1].isdecimal():  # a number, before which an empty line is missing
                cue[2].pop()
            cue = [*_times(line, f"{path}: line {number}"), []]
            found.append(cue)
        elif not line.strip():
            cue = None
        elif cue:
            cue[2].append(line.strip())
    if not found:
        raise UserError(f"{path}: has no line such as 00:00:01,000 --> 00:00:02,500.")
    if any(WORD_TIME.search(line) for _, _, lines in found for line in lines):
        found = _once(found)
    return [Document(path, by_speaker([a for cue in found for a in _annotations(*cue)], TIER))]


def _once(cues):
    """Cues without the lines that were shown in the one before already."""
    found, shown = [], []
    for start, end, lines in cues:
        plain = [TAG.sub("", line) for line in lines]
        new = [line for line, text in zip(lines, plain, strict=True) if text not in shown]
        shown = plain
        found += [[start, end, new]] if new else []
    return found


def _times(line, where):
    if not (match := TIMES.fullmatch(line)):
        raise UserError(f"{where}: {line.strip()[:60]!r} says no times such as 00:00:01,000 --> 00:00:02,500.")
    return [_seconds(match.groups()[i : i + 4], where) for i in (0, 4)]


def _seconds(parts, where):
    hours, minutes, whole, rest = parts
    return seconds(int((hours or "0")[:9]) * 3600 + int(minutes) * 60 + int(whole) + float(f"0.{rest or 0}"), where)


def _annotations(start, end, lines):
    """One, or one for each voice that speaks in a cue."""
    before, *told = VOICE.split(" ".join(lines))  # then names and what follows them by turns
    turns = [("", before), *zip(told[::2], told[1::2], strict=True)]
    said = [(html.unescape(name).strip(), html.unescape(TAG.sub("", text)).strip()) for name, text in turns]
    return [Annotation(text, start, end, name) for name, text in said if text] or [Annotation("", start, end)]
