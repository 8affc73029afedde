"""Transcripts as text files of the usual formats.

txt        the text
json       one line: text, duration, segments with words and tokens, times in seconds, confidences
srt, vtt   subtitles, see `inference.subtitles`
tsv        a segment a line: start and end in milliseconds, text (Whisper's), and the speaker where there is one; with
           an n-best list the probability of the text and its score, then further texts, each with its own
ctm        a word a line: recording, channel, start and duration in seconds, word, confidence (NIST's); the channel is
           that of the speaker, in the order of their names
textgrid   for Praat: interval tiers of phrases, words, tokens and words' confidences
eaf        for ELAN: the same tiers
words      a line for each word of a text that was aligned: word, start and end in milliseconds, confidence, and its
           status: placed, doubtful where it is hardly heard, or unplaced
"""

import json
from dataclasses import asdict, replace
from itertools import accumulate, chain
from pathlib import Path

from serenanet_modules.data.annotations import elan_writing, textgrid
from serenanet_modules.data.annotations.labels import SEGMENTS, SPEAKING
from serenanet_modules.data.annotations.model import Annotation, Document, Tier
from serenanet_modules.inference.subtitles import cues, srt, vtt

SEVERAL = ("txt", "json", "ctm")  # of which one file can hold several transcripts
HEADS = {"vtt": "WEBVTT\n\n"}  # which come once
WITHIN = {"phrases": "", "words": "phrases", "tokens": "words", "confidence": "words"}  # the tier that each lies in
SUFFIXES = {name: name for name in ("txt", "json", "srt", "vtt", "tsv", "ctm", "eaf")}
SUFFIXES |= {"textgrid": "TextGrid", "words": "words.tsv"}
HEARD = 0.05  # confidence below which a word of a given text may well not be said
UNSAID = "cut"  # json leaves it out
WHERE_ASKED = ("speaker", "unplaced", "alternatives", "insertions", "language")  # json leaves them out when empty
ROOM = 0.5  # seconds around the words of a phrase
TIMES, CONFIDENCES = 3, 4  # digits; scores have those of confidences


def write(transcript, format, name="audio", path=None):
    """A transcript in one of the formats above.

    Parameters
    ----------
    transcript : Transcript
    format : str
        A key of `SUFFIXES`.
    name : str
        The recording's file, which json and ctm say, the latter without folder and suffix.
    path : Path, optional
        Where the text is to be; an ELAN file names the recording from there too.

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
    return _eaf(transcript, name, path) if format == "eaf" else _WRITERS[format](transcript, name)


class Growing:
    """A transcript in one of the formats above, sentence by sentence; json has the sentences as lines of their own.

    Parameters
    ----------
    format : str
        Any but textgrid and eaf.
    name : str
        As of `write`.
    nbest : int
        How many texts a segment may have; tsv has columns for them.

    Attributes
    ----------
    head : str
        What comes first.
    """

    def __init__(self, format, name="audio", nbest=1):
        self._format, self._name, self._open, self._cues, self._nbest = format, name, "", 0, nbest
        self._number, self.head = 0, _table_head(False, nbest) if format == "tsv" else HEADS.get(format, "")

    def partial(self, text):
        """What there is to write where the open sentence is ``text`` now: json says it when it has changed."""
        if self._format != "json" or text == self._open:
            return ""
        self._open = text
        return _line({"type": "partial", "id": self._number, "text": text})

    def final(self, sentence):
        """A sentence that is over, a `Transcript` of one segment."""
        number, cues_before, self._open = self._number, self._cues, ""
        self._number += 1
        if self._format == "json":
            said = {**asdict(sentence.segments[0]), "calibrated": sentence.calibrated}
            return _line({"type": "final", "id": number, **_rounded(said)})
        if self._format == "srt":
            self._cues += len(cues(sentence))
            return srt(sentence, cues_before + 1)
        if self._format == "tsv":
            return _table(sentence, False, self._nbest)
        return write(sentence, self._format, self._name).removeprefix(self.head)


def _txt(transcript, _):
    return f"{transcript.text}\n"


def _json(transcript, name):
    return _line({"file": name, **_rounded(asdict(transcript))})


def _line(value):
    return json.dumps(value, ensure_ascii=False) + "\n"


def _rounded(value, key=""):
    """The same with no more digits than there is to say."""
    if isinstance(value, dict):
        return {k: _rounded(v, k) for k, v in value.items() if k != UNSAID and (v or k not in WHERE_ASKED)}
    if isinstance(value, (list, tuple)):
        return [_rounded(v) for v in value]
    return round(value, CONFIDENCES if key in ("confidence", "score") else TIMES) if isinstance(value, float) else value


def _srt(transcript, _):
    return srt(transcript)


def _vtt(transcript, _):
    return vtt(transcript)


def _tsv(transcript, _):
    named = transcript.speakers != ("",)
    nbest = max((len(segment.alternatives) for segment in transcript.segments), default=1)
    return _table_head(named, nbest) + _table(transcript, named, nbest)


def _table_head(named, nbest):
    """The first line of tsv."""
    others = [name for k in range(2, nbest + 1) for name in (f"text {k}", f"probability {k}", f"score {k}")]
    columns = [SPEAKING if named else SEGMENTS, *(["probability", "score", *others] if nbest > 1 else ())]
    return "\t".join(columns) + "\n"


def _table(transcript, named, nbest):
    """The others; a segment of fewer texts than ``nbest`` leaves fields empty."""
    rows = []
    for s in transcript.segments:
        fields = [round(1000 * s.start), round(1000 * s.end), s.text, *([s.speaker] if named else ())]
        if nbest > 1:
            lists = ((a.text, *(f"{x:.{CONFIDENCES}f}" for x in (a.confidence, a.score))) for a in s.alternatives)
            told = list(chain.from_iterable(lists))
            fields += [*told[1:], *[""] * (3 * nbest - len(told))]
        rows.append("\t".join(map(str, fields)) + "\n")
    return "".join(rows)


def _ctm(transcript, name):
    rows = (
        f"{_one_field(Path(name).stem)} {channel} {w.start:.{TIMES}f} {w.end - w.start:.{TIMES}f} {_one_field(w.text)} "
        f"{w.confidence:.{CONFIDENCES}f}\n"
        for channel, speaker in enumerate(transcript.speakers, start=1)
        for w in transcript.of(speaker).words
    )
    return "".join(rows)


def _one_field(text):
    """A text as one field of a line, which neither is empty nor makes the line a comment."""
    return "_".join(text.split()).replace(";;", "__") or "_"


def _textgrid(transcript, name):
    return textgrid.write(document(transcript, name), transcript.duration)


def _eaf(transcript, name, path=None):
    return elan_writing.write(document(transcript, name, path))


def _words(transcript, _):
    placed = iter(
        f"{w.text}\t{round(1000 * w.start)}\t{round(1000 * w.end)}\t{w.confidence:.{CONFIDENCES}f}\t"
        + ("placed" if w.confidence >= HEARD else "doubtful")
        for w in transcript.words
    )
    unplaced = {word.position: f"{word.text}\t\t\t\tunplaced" for word in transcript.unplaced}
    count = len(unplaced) + len(transcript.words)
    rows = (unplaced[i] if i in unplaced else next(placed) for i in range(count))
    return "".join(f"{row}\n" for row in ("word\tstart\tend\tconfidence\tstatus", *rows))


def added(transcript, path, recording):
    """An ELAN file with the tiers of a transcript added, all else as it is; errors as of `elan_writing.add`."""
    return elan_writing.add(path, document(transcript).tiers, recording).decode("utf-8-sig")


def document(transcript, name="audio", path=None):
    """A transcript as a `Document`: the tiers phrases, words, tokens and, of the words, confidence.

    Phrases have room around their words, as `roomy` gives it.

    Parameters
    ----------
    transcript : Transcript
    name : str
        The recording's file.
    path : Path, optional
        The document's; by default beside the recording.
    """
    transcript = replace(transcript, segments=roomy(transcript.segments, transcript.duration))
    tiers = tuple(tier for speaker in transcript.speakers for tier in _tiers(transcript.of(speaker), speaker))
    if path is None:
        return Document(Path(name), tiers, (name,))
    return Document(Path(path), tiers, (str(Path(name).absolute()),))


def roomy(segments, duration):
    """Segments that nobody has cut reach into the pauses around their words, by half of each and `ROOM` at most.

    CTC says a label late and short, so that sounds at the edges lie outside of what it spends on them; who cuts the
    recording by these segments, to learn from them when they are corrected, shall have the whole.

    Parameters
    ----------
    segments : sequence of Segment
        In the order of time; those of several channels may overlap.
    duration : float
        Seconds of the recording.

    Returns
    -------
    tuple of Segment

    Examples
    --------
    >>> from serenanet_modules.inference.transcript import Segment, Word
    >>> words = Word("saa", 0.2, 0.4, 1.0), Word("mbili", 0.8, 1.2, 1.0)
    >>> spoken = [Segment(w.text, w.start, w.end, 1.0, (w,), ()) for w in words]
    >>> [(round(s.start, 3), round(s.end, 3)) for s in roomy(spoken, 9.0)]
    [(0.0, 0.6), (0.6, 1.7)]
    """
    found, ended = [], [*accumulate((segment.end for segment in segments), max)]
    for i, segment in enumerate(segments):
        if segment.cut:
            found.append(segment)
            continue
        before = (ended[i - 1] + segment.start) / 2 if i else 0.0
        behind = (segment.end + segments[i + 1].start) / 2 if i + 1 < len(segments) else duration
        start = min(segment.start, max(before, segment.start - ROOM))
        end = max(segment.end, min(behind, segment.end + ROOM))
        found.append(replace(segment, start=start, end=end))
    return tuple(found)


def _tiers(transcript, speaker):
    """The tiers of what one speaker says, named after them where they have a name."""
    layers = {
        "phrases": [segment for segment in transcript.segments if segment.text],  # an n-best list may be all there is
        "words": transcript.words,
        "tokens": transcript.tokens,
        "confidence": [replace(word, text=f"{word.confidence:.2f}") for word in transcript.words],
    }
    for layer, parts in layers.items():
        name, parent = (f"{n} {speaker}".strip() if n else "" for n in (layer, WITHIN[layer]))
        annotations = tuple(Annotation(p.text, p.start, p.end) for p in parts)
        yield Tier(name, annotations, speaker, layer, parent)


_WRITERS = {
    "txt": _txt,
    "json": _json,
    "srt": _srt,
    "vtt": _vtt,
    "tsv": _tsv,
    "ctm": _ctm,
    "textgrid": _textgrid,
    "eaf": _eaf,
    "words": _words,
}
