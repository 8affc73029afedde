"""Exactly the segments of a tier, transcribed."""

from dataclasses import replace
from itertools import accumulate

from serenanet_modules.data.annotations import formats
from serenanet_modules.data.annotations.media import is_named, origin
from serenanet_modules.data.annotations.tiers import chosen, names
from serenanet_modules.data.audio import cut, seconds
from serenanet_modules.errors import UserError
from serenanet_modules.inference.alternatives import texts_of
from serenanet_modules.inference.transcript import Segment, Transcript


def annotations_of(recording, place):
    """The annotation file of a recording: ``place`` itself; in a folder the file with its name, else one that names it.

    Parameters
    ----------
    recording, place : Path

    Raises
    ------
    UserError
        Where there is none.
    """
    if not place.is_dir():
        return place
    files = list(formats.within(place))
    found = [path for path in files if path.stem == recording.stem]
    found += [] if found else [path for path in files if any(is_named(d, recording) for d in formats.read(path))]
    if not found:
        raise UserError(f"{place}: holds no annotations of {recording.name}")
    return found[0]


def spans_of(recording, path, tier):
    """(start, end) of all annotations with a time in a tier (as of `tiers.chosen`), with a text or without, in order.

    They are seconds of the recording, which the annotation file ``path`` may begin at another of.

    Raises
    ------
    UserError
        Where the file has no such tier.
    """
    documents = formats.read(path)
    found = [t.later(origin(document, recording)) for document in documents for t in chosen(document, tier, empty=True)]
    if not found:
        raise UserError(f"{path}: has no tier {tier}; its tiers are {names(documents[0].tiers)}.")
    return sorted({(a.start, a.end) for t in found for a in t.annotations if a.timed and a.end is not None})


def transcribe_segments(recognizer, recording, spans, *options):
    """What is said in parts of a recording.

    Parameters
    ----------
    recognizer : Recognizer
    recording : Part
    spans : list of (float, float)
        Start and end in seconds.
    options
        Those of `Recognizer.transcripts` after its sources.

    Returns
    -------
    Transcript or UserError
        With a segment for each part in which something is heard, which begins and ends as the part does.
    """
    try:
        parts = dict(cut(recording.path, spans, recording.channel, recording.track))
    except UserError as error:
        return error
    if behind := [span for i, span in enumerate(spans) if not len(parts[i])]:
        return UserError(
            f"{recording.path}: ends before {behind[0][0]:.2f} s, where a segment of the annotation begins; check that "
            "they belong together"
        )
    samples = (parts.pop(i) for i in range(len(spans)))
    recognizer = recognizer.hearing_language_of(recording)
    found, calibrated, join = [], False, recognizer.decoder(*options[1:2]).join
    for span, heard in zip(spans, recognizer.transcripts(samples, *options), strict=True):
        if isinstance(heard, UserError):
            return heard
        calibrated = heard.calibrated
        if heard.segments:
            found.append(_segment(heard, *span, join, recognizer.run.wishes.nbest))
    text = join(segment.text for segment in found)
    duration = seconds(recording.path) or max((end for _, end in spans), default=0.0)
    return Transcript(text, duration, tuple(found), calibrated, language=recognizer.language)


def _segment(heard, start, end, join, n):
    """All that was heard in a part as one segment, in the recording's time, with up to ``n`` texts."""

    def moved(parts):
        return tuple(replace(p, start=start + p.start, end=min(start + p.end, end)) for p in parts)

    words, tokens = moved(heard.words), moved(heard.tokens)
    before = accumulate((len(segment.words) for segment in heard.segments), initial=0)
    insertions = [
        replace(found, position=count + found.position)
        for count, segment in zip(before, heard.segments, strict=False)
        for found in segment.insertions
    ]
    confidence = sum(s.confidence for s in heard.segments) / len(heard.segments)
    texts = tuple(texts_of(heard.segments, join, n)) if n > 1 else ()
    more = {"alternatives": texts, "insertions": moved(insertions), "cut": True}
    return Segment(heard.text, start, end, confidence, words, tokens, **more)
