"""Kaldi's data folders: wav.scp, text, and where they are there segments and utt2spk."""

from collections import defaultdict

from serenanet_modules.data.annotations.model import Annotation, Document, by_speaker
from serenanet_modules.data.annotations.opening import lines_of, seconds
from serenanet_modules.errors import UserError

NEEDED = ("wav.scp", "text")


def is_one(folder):
    """Whether a folder holds what a data folder must."""
    return all((folder / name).is_file() for name in NEEDED)


def read(folder):
    """A document a recording, in which a tier a speaker.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
        For recordings that a command makes, which is not run; and what one list names and another lacks.
    """
    audio, texts = (_table(folder / name) for name in NEEDED)
    for name, (where, place) in audio.items():
        if place.endswith("|") or place in ("", "-"):
            raise UserError(f"{where}: {name} is made by a command, which is not run; give files.")
    speakers = _optional(folder / "utt2spk")
    segments = _optional(folder / "segments") or {name: (where, name) for name, (where, _) in texts.items()}
    found = defaultdict(list)
    for name, (where, text) in texts.items():
        if name not in segments:
            raise UserError(f"{where}: the utterance {name!r:.60} is not in segments.")
        recording, *times = segments[name][1].split() or [""]
        if recording not in audio or len(times) not in (0, 2):
            raise UserError(f"{segments[name][0]}: is no recording of wav.scp with its start and end.")
        start, end = [seconds(time, segments[name][0]) for time in times] or (0.0, None)
        end = None if times and float(times[1]) < 0 else end  # -1 is the recording's end
        speaker = speakers[name][1] if name in speakers else ""
        found[recording].append(Annotation(text, start, end, speaker, name))
    return [Document(folder, by_speaker(inside), (audio[name][1],), name) for name, inside in found.items()]


def _optional(path):
    return _table(path) if path.is_file() else {}


def _table(path):
    """{name: (where, rest of its line)}."""
    found = {}
    for number, line in lines_of(path):
        if line.strip():
            name, _, rest = line.strip().replace("\t", " ").partition(" ")
            found[name] = f"{path}: line {number}", rest.strip()
    return found
