"""Transcripts as text files of the usual formats.

txt        the text
json       one line: text, duration, segments with words and tokens, times in seconds, confidences
srt, vtt   subtitles, see `inference.subtitles`
tsv        a segment a line: start and end in milliseconds, text (Whisper's)
ctm        a word a line: recording, channel, start and duration in seconds, word, confidence (NIST's)
textgrid   for Praat: interval tiers of words and tokens
"""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path

from serenanet_modules.inference.subtitles import srt, vtt

SEVERAL = ("txt", "json", "ctm")  # of which one file can hold several transcripts
SUFFIXES = {name: name for name in ("txt", "json", "srt", "vtt", "tsv", "ctm")} | {"textgrid": "TextGrid"}
TIMES, CONFIDENCES = 3, 4  # digits


def write(transcript, format, name="audio"):
    """A transcript in one of the formats above.

    Parameters
    ----------
    transcript : Transcript
    format : str
        A key of `SUFFIXES`.
    name : str
        The recording's file, which json and ctm say, the latter without folder and suffix.

    Returns
    -------
    str
        Lines that end in a line feed; without any words it may be "".

    Examples
    --------
    >>> from serenanet_modules.inference.transcript import Segment, Transcript, Word
    >>> words = (Word("saa", 0.12, 0.4, 0.98), Word("mbili", 0.48, 0.96, 0.75))
    >>> transcript = Transcript("saa mbili", 1.5, (Segment("saa mbili", 0.12, 0.96, 0.86, words, ()),))
    >>> print(write(transcript, "ctm", "clips/clip 1.mp3"), end="")
    clip_1 1 0.120 0.280 saa 0.9800
    clip_1 1 0.480 0.480 mbili 0.7500
    """
    return _WRITERS[format](transcript, name)


def _txt(transcript, _):
    return f"{transcript.text}\n"


def _json(transcript, name):
    return json.dumps({"file": name, **_rounded(asdict(transcript))}, ensure_ascii=False) + "\n"


def _rounded(value, key=""):
    """The same with no more digits than there is to say."""
    if isinstance(value, dict):
        return {k: _rounded(v, k) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return round(value, CONFIDENCES if key == "confidence" else TIMES) if isinstance(value, float) else value


def _srt(transcript, _):
    return srt(transcript)


def _vtt(transcript, _):
    return vtt(transcript)


def _tsv(transcript, _):
    rows = [f"{round(1000 * s.start)}\t{round(1000 * s.end)}\t{s.text}\n" for s in transcript.segments]
    return "".join(["start\tend\ttext\n", *rows])


def _ctm(transcript, name):
    return "".join(
        f"{_one_field(Path(name).stem)} 1 {w.start:.{TIMES}f} {w.end - w.start:.{TIMES}f} {_one_field(w.text)} "
        f"{w.confidence:.{CONFIDENCES}f}\n"
        for w in transcript.words
    )


def _one_field(text):
    return "_".join(text.split())


def _textgrid(transcript, _):
    from praatio import textgrid

    grid = textgrid.Textgrid(0, transcript.duration)
    for name, parts in (("words", transcript.words), ("tokens", transcript.tokens)):
        grid.addTier(textgrid.IntervalTier(name, _intervals(parts), 0, transcript.duration))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.TextGrid"
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
        return path.read_text(encoding="utf-8")


def _intervals(parts):
    """(start, end, label) that do not overlap; what has no label or no room is left out."""
    found, last = [], 0.0
    for part in parts:
        start, label = max(part.start, last), part.text.strip()
        if label and start < part.end:
            found.append((start, part.end, label))
            last = part.end
    return found


_WRITERS = {
    "txt": _txt,
    "json": _json,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
    "ctm": _ctm,
    "textgrid": _textgrid,
}
