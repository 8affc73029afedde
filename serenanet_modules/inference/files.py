"""Which audio files a command line means, and where what is made of each is written."""

import codecs
import hashlib
import itertools
import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from serenanet_modules.data.endings import AUDIO, sounds
from serenanet_modules.data.tars import member
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import one_line
from serenanet_modules.runtime.outputs import RUN

STDIN = "-"
MOST_BYTES = 255  # of a file's name


@dataclass(frozen=True)
class AudioFile:
    """A file, and its path below the folder that was named; of a file named itself, its name."""

    path: Path
    inside: Path

    @property
    def name(self):
        """The path as text of one line; bytes that are none, as in names from other systems, are replaced."""
        return one_line(os.fsencode(self.path).decode("utf-8", "replace"))


def find(arguments, stdin):
    """The audio files that are meant.

    Parameters
    ----------
    arguments : iterable of str
        Files, folders, whose audio is found by its suffix at any depth, and ``-`` for a list with a file or folder a
        line.
    stdin : binary file

    Returns
    -------
    list of AudioFile
        In the order of the arguments, those of a folder sorted.

    Raises
    ------
    UserError
        For a folder without audio, and where there is no file at all.
    """
    named = [name for a in arguments for name in (_listed(stdin) if str(a) == STDIN else [str(a)])]
    if not all(named):
        raise UserError("the name of an audio file is empty; give a path")
    found = [file for name in named for file in _files(Path(name))]
    if not found:
        raise UserError("the list of audio files is empty")
    return found


def check_there(paths):
    """Refuse recordings of which none is there, before anything is made of them.

    Parameters
    ----------
    paths : iterable of Path
        Files, and places in archives (`data.tars`).

    Raises
    ------
    UserError
    """
    paths = list(dict.fromkeys(paths))
    if paths and not any(os.path.exists((inside := member(path)) and inside.tar or path) for path in paths):
        others = f"; none of the {len(paths)} recordings is there" if len(paths) > 1 else ""
        raise UserError(f"{paths[0]}: there is no such file or folder{others}")


def outputs(files, folder, suffix):
    """A path in ``folder`` for what is made of each file, all different.

    A file's place below the folder that was named is kept. Where two would be one, their own suffixes stay in the
    name, and where that does not tell them apart, a number does.

    Examples
    --------
    >>> names = "a.wav", "b.wav", "b.mp3", "b.mp3"
    >>> files = [AudioFile(Path("x", name), Path(name)) for name in names]
    >>> [path.name for path in outputs(files, Path("out"), "txt")]
    ['a.txt', 'b.wav.txt', 'b.mp3.txt', 'b.mp3-2.txt']
    """
    stems = Counter(file.inside.with_suffix("") for file in files)
    taken, paths = set(), []
    for file in files:
        stem = file.inside.with_suffix("") if stems[file.inside.with_suffix("")] == 1 else file.inside
        numbers = itertools.chain([""], (f"-{i}" for i in itertools.count(2)))
        names = (folder / stem.with_name(_name(stem.name, number, suffix)) for number in numbers)
        path = next(path for path in names if path not in taken)
        taken.add(path)
        paths.append(path)
    return paths


def _name(stem, number, suffix):
    """A file's name, of at most so many bytes as file systems allow; a stem that is cut keeps a sum of what it was."""
    name = f"{stem}{number}.{suffix}"
    if len(os.fsencode(name)) <= MOST_BYTES:
        return name
    end = f"-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:8]}{number}.{suffix}"
    return os.fsencode(stem)[: MOST_BYTES - len(end)].decode("utf-8", "ignore") + end


def _listed(stdin):
    lines = stdin.read().removeprefix(codecs.BOM_UTF8).splitlines()
    return [os.fsdecode(line) for line in lines if line]  # names of files need not be text


def _files(path):
    if not path.is_dir():
        return [AudioFile(path, Path(path.name))]
    found = sounds(path)
    if not found and (path / RUN).is_file():
        raise UserError(f"{path}: is a result folder, not audio; give the model first, then the audio")
    if not found:
        raise UserError(f"{path}: holds no audio ({', '.join(AUDIO)})")
    return [AudioFile(file, file.relative_to(path)) for file in found]
