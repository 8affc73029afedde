"""NIST's ``.ctm`` (a word a line) and ``.stm`` (a segment a line), as of its scoring toolkit SCTK."""

import re
from collections import defaultdict
from dataclasses import replace

from serenanet_modules.data.annotations.model import Annotation, Document, Tier, by_speaker
from serenanet_modules.data.annotations.opening import lines_of, seconds
from serenanet_modules.errors import UserError

PAUSE = 0.5  # seconds between words that part phrases
LONGEST = 15.0  # seconds of a phrase
NOT_SCORED = ("ignore_time_segment_in_scoring", "inter_segment_gap")
WORDS, PHRASES = "words", "phrases"
ONE_OF = re.compile(r"\{\s*([^{}/]*?)\s*/[^{}]*\}")  # { a / b }, whose first counts as said


def read_ctm(path):
    """A document a recording, in which the tiers ``words`` and ``phrases``, for each channel where there are several.

    Phrases are words with less than `PAUSE` between them, `LONGEST` at most.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
    """
    recordings = defaultdict(lambda: defaultdict(list))
    for where, fields in _lines(path, 5, "recording, channel, start, duration, word"):
        if fields[2] == "*":  # alternatives begin, go on or end
            continue
        start, length = (seconds(field, where) for field in fields[2:4])
        recordings[fields[0]][fields[1]].append(Annotation(fields[4], start, start + length))
    return [Document(path, _channels(channels), (name,), name) for name, channels in recordings.items()]


def _channels(channels):
    tiers = []
    for channel, words in channels.items():
        of = f" {channel}" if len(channels) > 1 else ""
        words = sorted(words, key=lambda word: word.start)
        tiers += [
            Tier(f"{PHRASES}{of}", tuple(_phrases(words)), channel if of else "", PHRASES),
            Tier(f"{WORDS}{of}", tuple(words), channel if of else "", WORDS, f"{PHRASES}{of}"),
        ]
    return tuple(tiers)


def _phrases(words):
    phrase = []
    for word in words:
        if phrase and (word.start - phrase[-1].end > PAUSE or word.end - phrase[0].start > LONGEST):
            yield Annotation(" ".join(w.text for w in phrase), phrase[0].start, phrase[-1].end)
            phrase = []
        phrase.append(word)
    if phrase:
        yield Annotation(" ".join(w.text for w in phrase), phrase[0].start, phrase[-1].end)


def read_stm(path):
    """A document a recording, in which a tier a speaker; what is not to be scored is left out.

    Of alternatives, ``{ one / other }``, the first is read. Where a recording has several channels, ``1`` and ``2`` or
    ``A`` and ``B``, each annotation has its own.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
    """
    recordings = defaultdict(list)
    for where, fields in _lines(path, 5, "recording, channel, speaker, start, end, text", 5):
        start, end = (seconds(field, where) for field in fields[3:5])
        text = fields[5].strip() if len(fields) > 5 else ""
        if text.startswith("<") and ">" in text:  # such as <o,f0,male>
            text = text.partition(">")[2].strip()
        text = ONE_OF.sub(r"\1", text)
        if fields[2] not in NOT_SCORED and text.lower() not in NOT_SCORED:
            recordings[fields[0]].append(Annotation(text, start, end, fields[2], channel=_number(fields[1])))
    return [Document(path, by_speaker(_on_channels(found)), (name,), name) for name, found in recordings.items()]


def _number(channel):
    """From 0, of ``1``, ``2``, … or ``A``, ``B``, …; None of anything else."""
    if channel.isdecimal():
        return int(channel[:9]) - 1 if int(channel[:9]) else None
    return ord(channel.upper()) - ord("A") if re.fullmatch("[A-Za-z]", channel) else None


def _on_channels(annotations):
    """The same, on no channel where they are all on one."""
    several = len({a.channel for a in annotations}) > 1
    return annotations if several else [replace(a, channel=None) for a in annotations]


def _lines(path, least, columns, most=-1):
    """Yield (where, fields) of the lines that are no comments."""
    empty = True
    for number, line in lines_of(path):
        if line.strip() and not line.startswith(";;"):
            fields, empty = line.split(None, most), False
            if len(fields) < least:
                raise UserError(f"{path}: line {number} has {len(fields)} fields; they are {columns}.")
            yield f"{path}: line {number}", fields
    if empty:
        raise UserError(f"{path}: is empty; its lines are {columns}.")
