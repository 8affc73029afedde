"""Subtitles of a readable length, cut between words where the speaker pauses."""

import html
from typing import NamedTuple

LINE = 42  # characters, of which a subtitle has two
LONGEST, SHORTEST = 7.0, 1.0  # seconds on the screen
PAUSE = 1.5  # seconds of silence that end a subtitle in any case


class Cue(NamedTuple):
    """A subtitle: seconds, its one or two lines, and who says them."""

    start: float
    end: float
    lines: tuple[str, ...]
    speaker: str = ""


def cues(transcript):
    """Subtitles of a transcript, in order.

    Returns
    -------
    list of Cue
        Of at most two lines of `LINE` characters and `LONGEST` seconds, but for a single word that takes more. They
        stand at least `SHORTEST` seconds where the next one leaves the time.
    """
    found = []
    for segment in transcript.segments:
        parts, space = parts_of(segment)
        runs = _runs(parts, space)
        found += [Cue(run[0].start, run[-1].end, _lines(_texts(run), space), segment.speaker) for run in runs]
    found.sort(key=lambda cue: cue.start)
    nexts = [*(cue.start for cue in found), transcript.duration][1:]
    return [
        cue._replace(end=max(cue.end, min(cue.start + SHORTEST, after)))
        for cue, after in zip(found, nexts, strict=True)
    ]


def srt(transcript, first=1):
    """SubRip, numbered from ``first``."""
    blocks = (
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n"
        + (f"[{cue.speaker}] " if cue.speaker else "")
        + "\n".join(cue.lines)
        + "\n\n"
        for number, cue in enumerate(cues(transcript), start=first)
    )
    return "".join(blocks)


def vtt(transcript):
    """WebVTT."""
    blocks = (
        f"{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n"
        + (f"<v {html.escape(cue.speaker)}>" if cue.speaker else "")
        + f"{html.escape(chr(10).join(cue.lines), quote=False)}\n\n"
        for cue in cues(transcript)
    )
    return "".join(["WEBVTT\n\n", *blocks])


def parts_of(segment):
    """What a segment can be cut between, and what stands there in its text.

    Those are words; tokens where the text is none of words and spaces, as in Chinese or Thai.
    """
    words = [word.text for word in segment.words]
    if max(map(len, words), default=LINE) < LINE:
        for space in (" ", " | "):  # the latter between words of phones
            if space.join(words) == segment.text:
                return segment.words, space
    tokens = [token for token in segment.tokens if token.text.strip()]
    return (tokens, "") if tokens else (segment.words, " ")


def _runs(parts, space):
    """Cut into runs that fit a subtitle, where the pause is long and the halves are about as long."""
    if len(parts) <= 1 or _fits(parts, space):
        return [parts] if parts else []
    sizes = [len(part.text) + len(space) for part in parts]
    total, before, best = sum(sizes), 0, (float("-inf"), 0)
    for i in range(1, len(parts)):
        before += sizes[i - 1]
        pause = parts[i].start - parts[i - 1].end
        best = max(best, (pause - abs(2 * before - total) / total, i))
    return [*_runs(parts[: best[1]], space), *_runs(parts[best[1] :], space)]


def _fits(parts, space):
    pauses = [after.start - before.end for before, after in zip(parts, parts[1:], strict=False)]
    lines = _lines(_texts(parts), space)
    return (
        parts[-1].end - parts[0].start <= LONGEST and max(pauses, default=0.0) < PAUSE and max(map(len, lines)) <= LINE
    )


def _texts(parts):
    return [part.text.strip() for part in parts]


def _lines(texts, space):
    """One line if it fits, else two of about the same length."""
    whole = space.join(texts)
    if len(whole) <= LINE or len(texts) == 1:
        return (whole,)
    halves = [(space.join(texts[:i]), space.join(texts[i:])) for i in range(1, len(texts))]
    return min(halves, key=lambda pair: max(map(len, pair)))


def _clock(seconds, mark):
    milliseconds = round(1000 * seconds)
    whole, rest = divmod(milliseconds, 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{mark}{rest:03}"
