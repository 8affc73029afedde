"""Subtitles: SubRip's ``.srt`` and WebVTT's ``.vtt``."""

import html
import re

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import lines_of, seconds
from serenanet_modules.errors import UserError

CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
TIMES = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?:\s.*)?")
VOICE = re.compile(r"<v(?:\.[^ \t>]*)?[ \t]([^>]*)>")
TAG = re.compile(r"<[^<>]*>|\{\\[^{}]*\}")
TIER = "subtitles"


def read(path):
    """The subtitles, a tier for each speaker that WebVTT names; tags that say how they look are left out.

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
        if "-->" in line:
            cue = [*_times(line, f"{path}: line {number}"), []]
            found.append(cue)
        elif not line.strip():
            cue = None
        elif cue:
            cue[2].append(line.strip())
    if not found:
        raise UserError(f"{path}: has no line such as 00:00:01,000 --> 00:00:02,500.")
    return [Document(path, by_speaker([_annotation(*cue) for cue in found], TIER))]


def _times(line, where):
    if not (match := TIMES.fullmatch(line)):
        raise UserError(f"{where}: {line.strip()[:60]!r} says no times such as 00:00:01,000 --> 00:00:02,500.")
    return [_seconds(match.groups()[i : i + 4], where) for i in (0, 4)]


def _seconds(parts, where):
    hours, minutes, whole, rest = parts
    return seconds(int((hours or "0")[:9]) * 3600 + int(minutes) * 60 + int(whole) + float(f"0.{rest}"), where)


def _annotation(start, end, lines):
    text = " ".join(lines)
    voice = VOICE.search(text)
    return Annotation(html.unescape(TAG.sub("", text)), start, end, html.unescape(voice[1]).strip() if voice else "")
