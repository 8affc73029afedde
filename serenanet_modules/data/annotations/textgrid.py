"""Praat's ``.TextGrid`` (Boersma and Weenink, "Praat: doing phonetics by computer"), long or short.

As Praat itself does, the reader takes only what stands free between white space: numbers, texts in quotation marks and
flags in angle brackets. All else, such as ``xmin =`` and ``intervals [1]:``, is there for people.
"""

import re
import tempfile
from pathlib import Path

from serenanet_modules.data.annotations.model import Annotation, Document, Tier, apart
from serenanet_modules.data.annotations.opening import ANEW, MOST_ITEMS, data_of, seconds, text_of
from serenanet_modules.errors import UserError

TOKEN = re.compile(
    r"""
    (?<!\S)
    (?: "(?P<text>(?:[^"]|"")*+)" | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)%? | (?P<flag><\w+>) )
    (?!\S)""",
    re.VERBOSE,
)
INTERVALS, POINTS = "IntervalTier", "TextTier"
CHRONOLOGICAL = '"Praat chronological TextGrid text file"'


def read(path):
    """The tiers of a file; a point is an annotation that takes no time.

    Returns
    -------
    list of Document
        One, which names no media.

    Raises
    ------
    UserError
    """
    if data_of(path).startswith(b"ooBinaryFile"):
        raise UserError(f"{path}: is a binary TextGrid; save it in Praat as a text file.")
    text = text_of(path)
    if text.lstrip().startswith(CHRONOLOGICAL):
        raise UserError(f"{path}: is a chronological TextGrid; save it in Praat as an ordinary text file.")
    tokens = _Tokens(path, text)
    if [tokens.text(), tokens.text()] != ["ooTextFile", "TextGrid"]:
        raise UserError(f"{path}: does not begin as a TextGrid does.")
    tokens.seconds(), tokens.seconds()
    tiers = [_tier(tokens) for _ in range(tokens.count())] if tokens.flag() == "<exists>" else []
    tokens.end()
    return [Document(path, tuple(tiers))]


def _tier(tokens):
    kind, name = tokens.text(), tokens.text()
    if kind not in (INTERVALS, POINTS):
        raise UserError(f"{tokens.path}: the tier {name!r:.60} is {kind!r:.40}, not {INTERVALS} or {POINTS}.")
    tokens.seconds(), tokens.seconds()
    found = []
    for _ in range(tokens.count()):
        start = tokens.seconds()
        end = tokens.seconds() if kind == INTERVALS else start
        found.append(Annotation(tokens.text(), start, end))
    return Tier(name, tuple(found), type=kind)


def write(document, duration=None):
    """A long TextGrid of the tiers of a `Document`, as long as the recording (by default as its last annotation).

    Of annotations of a tier that overlap, the second begins when the first ends.

    Returns
    -------
    str
    """
    from praatio import textgrid

    inside = {tier.name: apart(tier.annotations) for tier in document.tiers}
    end = max([duration or 0.0, *(a.end for annotations in inside.values() for a in annotations)]) or 1.0
    grid = textgrid.Textgrid(0, end)
    for name, annotations in inside.items():
        rows = [(a.start, a.end, " ".join(a.text.splitlines())) for a in annotations]
        grid.addTier(textgrid.IntervalTier(name, rows, 0, end))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "grid.TextGrid"
        grid.save(str(path), format="long_textgrid", includeBlankSpaces=True)
        return path.read_text(encoding="utf-8")


class _Tokens:
    """What stands free in a TextGrid, one after another."""

    def __init__(self, path, text):
        self.path, self._found = path, TOKEN.finditer(text)

    def _next(self, kind, means):
        token = next(self._found, None)
        if token is None or token[kind] is None:
            if token is None:
                raise UserError(f"{self.path}: ends early; it seems cut off; {ANEW}.")
            raise UserError(f"{self.path}: has {token[0]!r:.40} where {means} should be; it is no whole TextGrid.")
        return token[kind]

    def end(self):
        if more := next(self._found, None):
            raise UserError(f"{self.path}: has more tiers or intervals than it says, from {more[0]!r:.40} on.")

    def text(self):
        return self._next("text", "a text").replace('""', '"')

    def flag(self):
        return self._next("flag", "a flag")

    def seconds(self):
        return seconds(self._next("number", "a time"), self.path)

    def count(self):
        number = self._next("number", "a number of tiers or intervals")
        if not number.isdigit() or len(number) > 9 or int(number) > MOST_ITEMS:
            raise UserError(f"{self.path}: says that it has {number:.20} tiers or intervals.")
        return int(number)
