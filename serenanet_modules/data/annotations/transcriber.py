"""Transcriber's ``.trs``.

Barras et al. 2001, "Transcriber: development and use of a tool for assisting speech corpora production".
"""

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import seconds, xml_of

SEVERAL = "Who"  # who of a turn's speakers speaks next


def read(path):
    """A tier a speaker, an annotation for what stands between two points in time of a turn.

    Of speakers who speak at once, each has their own text at the same time. Events, such as noises, are texts in square
    brackets.

    Returns
    -------
    list of Document
        One.

    Raises
    ------
    UserError
    """
    root = xml_of(path, "Trans")
    names = {s.get("id"): s.get("name") or s.get("id") for s in root.iter("Speaker")}
    found = [annotation for turn in root.iter("Turn") for annotation in _turn(turn, names, path)]
    name = root.get("audio_filename") or ""
    return [Document(path, by_speaker(found, "no speaker"), (name,) if name else ())]


def _turn(turn, names, path):
    speakers = [names.get(name, name) for name in (turn.get("speaker") or "").split()] or [""]
    starts = [seconds(sync.get("time"), path) for sync in turn.iter("Sync")]
    ends = iter([*starts[1:], seconds(turn.get("endTime"), path)] if starts else [])
    start, end, speaker, text = seconds(turn.get("startTime"), path), None, speakers[0], ""
    for element in turn:
        if element.tag in ("Sync", SEVERAL):
            yield from _said(text, start, end, speaker)
            text = ""
        if element.tag == "Sync":
            start, end, speaker = seconds(element.get("time"), path), next(ends), speakers[0]
        elif element.tag == SEVERAL:
            number = element.get("nb") or ""
            speaker = speakers[int(number) - 1] if number in map(str, range(1, len(speakers) + 1)) else speakers[0]
        elif element.tag == "Event" and element.get("extent") in (None, "instantaneous"):
            text += f" [{element.get('desc') or ''}] "
        text += element.tail or ""
    yield from _said(text, start, end, speaker)


def _said(text, start, end, speaker):
    if end is not None and text.strip():
        yield Annotation(" ".join(text.split()), start, end, speaker)
