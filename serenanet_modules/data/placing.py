"""Which file a path in somebody's list means, where the list was made on another system."""

import logging
import os
import unicodedata
from pathlib import Path

from serenanet_modules.data import tars

logger = logging.getLogger(__name__)

CLIPS = "clips"  # where a Common Voice release has what its lists name


def key(name):
    """What names have in common that differ in case or in their Unicode form alone."""
    return unicodedata.normalize("NFC", name).casefold()


def by_key(paths):
    """Files by the `key` of their names; of two that have one, the first."""
    return {key(path.name): path for path in sorted(paths, reverse=True) if path.is_file()}


class Places:
    """Finds files, and reads no folder twice."""

    def __init__(self):
        self._folders, self._other_names = {}, 0

    def inside(self, folder):
        """The files of a folder by `key`; of one that is not there or cannot be read, none."""
        if folder not in self._folders:
            try:
                self._folders[folder] = by_key(folder.iterdir())
            except (OSError, ValueError):
                self._folders[folder] = {}
        return self._folders[folder]

    def find(self, path):
        """The file that a path means; the path itself where there is none.

        That is the path; or it with backslashes as Windows parts folders by them; or without spaces around its parts;
        or its name in `CLIPS` beside it; or what these become in another Unicode form or case, which the first time is
        said in a warning.
        """
        plain = Path(str(path).replace("\\", "/"))
        spellings = path, plain, Path(*map(str.strip, plain.parts))
        tried = [*spellings, *(p.parent / CLIPS / p.name for p in spellings)]
        if found := next((p for p in tried if tars.member(p) or os.path.isfile(p)), None):
            return found
        found = next(filter(None, (self.inside(p.parent).get(key(p.name)) for p in tried)), None)
        if found and not self._other_names:
            logger.warning(
                "%s is not there; %s is taken, whose name differs in case or Unicode form alone", path, found
            )
        self._other_names += bool(found)
        return found or path
