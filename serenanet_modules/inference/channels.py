"""The channels of a recording, each a speaker of its own."""

from dataclasses import replace

from serenanet_modules.data.audio import channels
from serenanet_modules.data.sources import Part
from serenanet_modules.errors import UserError

MIX, EACH = "mix", "each"
NAMES = {"left": 0, "right": 1}


def parts(path, channel=MIX, track=None):
    """What is to be heard of a file, by the speaker that it stands for.

    Parameters
    ----------
    path : Path
    channel : str
        ``mix``, ``left``, ``right``, a number from 1, or ``each``, which is a speaker a channel.
    track : str, optional
        As of `audio.blocks`.

    Returns
    -------
    dict of str to Part
        A lone one has no name.

    Raises
    ------
    UserError
        Where ``each`` is asked of a file that cannot be read.
    """
    if channel == EACH:
        count = channels(path, track)
        if count > 1:
            return {_name(i, count): Part(path, i, track) for i in range(count)}
        return {"": Part(path, None, track)}
    number = None if channel == MIX else NAMES[channel] if channel in NAMES else int(channel) - 1
    return {"": Part(path, number, track)}


def _name(number, count):
    return next(name for name, i in NAMES.items() if i == number) if count == len(NAMES) else f"channel {number + 1}"


def transcribe_parts(recognizer, chosen, *options):
    """What is said in each of a file's parts, as one transcript, in which segments name their speakers.

    Parameters
    ----------
    recognizer : Recognizer
    chosen : dict of str to Part
        As of `parts`.
    options
        Those of `Recognizer.transcripts` after its sources.

    Returns
    -------
    Transcript or UserError
        The text has a line for each speaker.
    """
    heard = dict(zip(chosen, recognizer.transcripts(chosen.values(), *options), strict=True))
    if errors := [found for found in heard.values() if isinstance(found, UserError)]:
        return errors[0]
    segments = [replace(s, speaker=speaker) for speaker, found in heard.items() for s in found.segments]
    segments.sort(key=lambda segment: segment.start)
    text = "\n".join(f"{speaker}: {found.text}" for speaker, found in heard.items())
    first = next(iter(heard.values()))
    return first if len(heard) == 1 else replace(first, text=text, segments=tuple(segments))
