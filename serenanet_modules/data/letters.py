"""Phonemes of a language whose letters say them, by a table of its own.

A line a letter or a run of letters, white space, and the phoneme; lines that begin with ``#`` and empty ones are none:

    # Consonants
    p   p
    ng  ŋ
"""

import re
import unicodedata

from serenanet_modules.data.tables import rule_lines
from serenanet_modules.errors import UserError


class Letters:
    """A function from a normalised word to its phonemes: of several runs that fit, the longest is taken.

    Letters that the table does not have are left out.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    UserError
        Naming the line: another number of fields than two, the same letters with another phoneme; or for a file that
        cannot be read or holds nothing.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "letters.txt")
    ...     _ = path.write_text("# ours\\na a\\naa a:\\nng ŋ\\nn n\\n", encoding="utf-8")
    ...     say = Letters(path)
    >>> say("naanga"), say.without_sound("nax")
    (['n', 'a:', 'ŋ', 'a'], ['x'])
    """

    def __init__(self, path):
        self._sounds = {}
        for number, line in rule_lines(path, "--letter_to_sound"):
            fields = line.split()
            if len(fields) != 2:
                raise UserError(f"{path}: line {number} must have letters and their phoneme, and no more")
            letters = unicodedata.normalize("NFC", fields[0]).lower()
            if self._sounds.setdefault(letters, fields[1]) != fields[1]:
                raise UserError(f"{path}: line {number} gives {letters!r} another phoneme than a line before")
        if not self._sounds:
            raise UserError(f"{path}: holds no letter and its phoneme")
        longest_first = sorted(self._sounds, key=len, reverse=True)
        self._runs = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, word):
        return [self._sounds[run] for run in self._runs.findall(word)]

    def without_sound(self, text):
        """The characters of a text, each time that one stands there, that no run of the table takes."""
        return [c for c in self._runs.sub("", text) if not c.isspace()]
