"""What all annotation formats have in common: a recording, tiers, and in these texts with times."""

from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

SPEECH = "speech"  # the type of tiers of what speakers say, in formats that have nothing else


@dataclass(frozen=True)
class Annotation:
    """A text and when it is said.

    Attributes
    ----------
    text : str
        As it is written in the file.
    start : float or None
        Seconds into the recording; None where the file does not say.
    end : float or None
        Seconds; None beside a start is the recording's end.
    speaker : str
        Where it is not the tier's.
    id : str
        The file's own name for it, "" if it has none.
    channel : int or None
        Of the recording, from 0, in which it is said; None where the file does not say.
    """

    text: str
    start: float | None
    end: float | None
    speaker: str = ""
    id: str = ""
    channel: int | None = None

    @property
    def timed(self):
        """Whether it is known when it is said, and that takes time."""
        return self.start is not None and (self.end is None or self.end > self.start)


@dataclass(frozen=True)
class Tier:
    """A layer of annotations.

    Attributes
    ----------
    name : str
    annotations : tuple of Annotation
        In the file's order.
    participant : str
        Who speaks in it, "" where nobody knows.
    type : str
        The kind that the file gives it, such as ELAN's linguistic type.
    parent : str
        The name of the tier that it divides or describes.
    """

    name: str
    annotations: tuple[Annotation, ...]
    participant: str = ""
    type: str = ""
    parent: str = ""

    def later(self, seconds):
        """The same, all times so many seconds later."""
        times = [[t if t is None else t + seconds for t in (a.start, a.end)] for a in self.annotations]
        moved = (replace(a, start=s, end=e) for a, (s, e) in zip(self.annotations, times, strict=True))
        return replace(self, annotations=tuple(moved))

    def called(self, name, parent):
        """The same under another name, in a tier of another name."""
        return replace(self, name=name, parent=parent)

    @property
    def seconds(self):
        """Of all its annotations with both times."""
        return sum(a.end - a.start for a in self.annotations if a.timed and a.end is not None)


@dataclass(frozen=True)
class Document:
    """The annotations of a recording.

    Attributes
    ----------
    path : Path
        The annotation file.
    tiers : tuple of Tier
    media : tuple of str
        What the file names as its recording: paths or URLs as they stand there, the best first.
    name : str
        Of the recording, where a file speaks of several; else that of the file.
    origins : tuple of float
        Of each of ``media``, the second of it at which the file's times begin; () where they are its times.
    """

    path: Path
    tiers: tuple[Tier, ...]
    media: tuple[str, ...] = ()
    name: str = ""
    origins: tuple[float, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "name", self.name or self.path.stem)

    def of(self, recording, origin):
        """The same with the times of a recording, in whose second ``origin`` they begin."""
        tiers = tuple(tier.later(origin) for tier in self.tiers)
        return replace(self, tiers=tiers, media=(str(recording),), origins=())


def spread(times):
    """The same times, where those that are None lie evenly between their neighbours; at the ends they stay None.

    Examples
    --------
    >>> spread([None, 1.0, None, None, 4.0])
    [None, 1.0, 2.0, 3.0, 4.0]
    """
    found = list(times)
    known = [i for i, time in enumerate(times) if time is not None]
    for left, right in pairwise(known):
        start, end = times[left], times[right]
        for i in range(left + 1, right):
            found[i] = start + (end - start) * (i - left) / (right - left)
    return found


def apart(annotations):
    """Annotations with a text, in order of time, none of which begins before the one before has ended.

    What overlaps begins later than it says; what has no room or no time is left out.

    Returns
    -------
    list of Annotation
    """
    found, last = [], 0.0
    known = [a for a in annotations if a.timed and a.end is not None and a.text.strip()]
    for a in sorted(known, key=lambda a: a.start):
        if (start := max(a.start, last)) < a.end:
            found.append(replace(a, text=a.text.strip(), start=start))
            last = a.end
    return found


def by_speaker(annotations, name=""):
    """A `Tier` of the type `SPEECH` for each speaker, in order of appearance; what has none is in the tier ``name``."""
    speakers = dict.fromkeys(a.speaker for a in annotations)
    return tuple(
        Tier(
            speaker or name, tuple(replace(a, speaker="") for a in annotations if a.speaker == speaker), speaker, SPEECH
        )
        for speaker in speakers
    )
