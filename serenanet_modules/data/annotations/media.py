"""Where the recording of an annotation file is.

It is looked for below the file's own folder, in the corpus that was given and below ``audio_folder``, nowhere else: a
file comes from others, and what it names may be anything. A path that it gives counts where it stays inside; else the
name alone; else the annotation file's own name, without the language that subtitles may have in it, with an ending of
audio. Names that differ only in case or in their Unicode form are the same.
"""

import logging
import os
import re
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from serenanet_modules.data.endings import AUDIO
from serenanet_modules.data.placing import Places, by_key, key
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import below

LANGUAGE = re.compile(r"\.[a-z]{2,3}(-\w+)?$")  # of subtitles: a.sw.srt

logger = logging.getLogger(__name__)


def origin(document, recording):
    """The second of a recording at which the times of a `Document` begin.

    Each of those that it names has its own; one that differs in its ending has that; any other has that of the first.
    """
    origins = {}
    for name, second in zip(document.media, document.origins, strict=False):
        for plain in _spellings(name):
            origins.setdefault(key(plain.name), second)
            origins.setdefault(key(plain.stem), second)
    first = next(iter(document.origins), 0.0)
    return origins.get(key(recording.name), origins.get(key(recording.stem), first))


def is_named(document, recording):
    """Whether a `Document` names a recording."""
    return key(recording.name) in {key(plain.name) for name in document.media for plain in _spellings(name)}


class Media:
    """Finds recordings.

    Parameters
    ----------
    audio_folder : str or Path, optional
    corpora : iterable of Path
        Folders that were given: a path in one of them may lead to another place in it, and what a folder is, such as
        Kaldi's, may have paths from any that it is in.

    Raises
    ------
    UserError
        Where that is no folder.
    """

    def __init__(self, audio_folder=None, corpora=()):
        self._folder = None if audio_folder is None else Path(audio_folder).absolute()
        if self._folder is not None and not self._folder.is_dir():
            raise UserError(f"--audio-folder {audio_folder}: there is no such folder")
        self._places, self._corpora = Places(), [Path(corpus).absolute() for corpus in corpora]

    def find(self, document):
        """The recording of a `Document`; where there is none, the path at which one was expected.

        Raises
        ------
        UserError
            Where the file names one outside of its folder, none is inside, and no ``audio_folder`` was given.
        """
        place = document.path.absolute()
        folder = place.parent
        spellings = [_spellings(name) for name in document.media]
        named = [same[0] for same in spellings] + [plain for same in spellings for plain in same[1:]]
        roots = [place] * place.is_dir() + [folder] + [self._folder] * (self._folder is not None)
        within = [corpus for corpus in self._corpora if place.is_relative_to(corpus)]
        above = [p for p in place.parents if place.is_dir() and any(p.is_relative_to(corpus) for corpus in within)]
        places = [_inside(base, name, within) for name in named for base in roots + above]
        if found := next(filter(None, (self._there(path) for path in places if path)), None):
            return found
        stems = [document.name, *(name.stem for name in named), document.path.stem]
        stems += [LANGUAGE.sub("", document.path.stem)]
        for wanted in [*(name.name for name in named), *(f"{stem}.{end}" for stem in stems for end in AUDIO)]:
            inside = (self._places.inside(root).get(key(wanted)) for root in roots)
            if found := next(filter(None, inside), None) or self._below.get(key(wanted)):
                if named and not {key(found.name), key(found.stem)} & {key(name.name) for name in named}:
                    logger.warning("%s: names %s, which is not there; %s is taken", document.path, named[0], found.name)
                return found
        outside = [
            name for name in named if not _inside(folder, name, within) and (".." in name.parts or _is_file(name))
        ]
        if outside and self._folder is None:
            raise UserError(
                f"{document.path}: its recording {outside[0]} lies outside of its folder; say with --audio-folder "
                "where recordings may be read from"
            )
        name = named[0].name if named else document.name
        return folder / (name if named and named[0].suffix else f"{name}.{AUDIO[0]}")

    def _there(self, path):
        return path if path.is_file() else self._places.inside(path.parent).get(key(path.name))

    @cached_property
    def _below(self):
        return {} if self._folder is None else by_key(below(self._folder))


def _plain(name):
    """A path out of a path or ``file:`` URL of any system."""
    if name.lower().startswith("file:"):
        name = unquote(urlsplit(name).path) or name
    return PurePosixPath(name.replace("\\", "/").replace("\0", "") or "recording")


def _spellings(name):
    """The path out of a path or URL, and if it may be written as in a URL the one that it stands for."""
    plain = _plain(name)
    return [plain, PurePosixPath(unquote(str(plain)))] if "%" in str(plain) else [plain]


def _inside(root, name, corpora=()):
    """A path from ``root``, or an absolute one, None where it leads out of that folder, or of corpora that it is in."""
    path = Path(os.path.normpath(root / name))
    return path if any(path.is_relative_to(folder) for folder in (root, *corpora)) else None


def _is_file(name):
    return name.is_absolute() and os.path.isfile(name)
