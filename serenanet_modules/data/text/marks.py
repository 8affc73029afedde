"""What transcribers write that nobody says: noises, hesitations, what could not be understood."""

import re

from serenanet_modules.data.text.characters import UNSPACED

KEPT = re.compile(r"<(?!(?:blank|unk)>)[\w#]+>")  # a mark as `kept` writes it
MOST = 20  # letters of a word in round brackets that may be a mark
MARK = re.compile(
    r"""
      \[[^][\n]{0,80}\]                    # [kelele], [background noise]
    | \{[^{}\n]{0,80}\}                    # {laugh}
    | </?[\w\#][\w.:-]{0,40}/?>           # <unk>, </en>
    | \((?P<aside>[^\W\d_]+(?:['’-][^\W\d_]+)*)\)  # (anacheka), if `_is_aside`
    | (?<!\S)%[^\W\d_][\w-]*               # %HESITATION
    | (?<!\S)&[=+-]\S+                     # &=laughs, &-uh: CHAT's noises, fillers and beginnings of words
    | (?<!\S)![A-Z]+(?!\S)                 # !SIL
    | (?<!\w)(?:xxx|yyy)(?!\w)             # CHAT's unintelligible speech
    | (?<!\S)(?:www|\#+)(?!\S)             # CHAT's untranscribed speech; pauses
    """,
    re.VERBOSE,
)
SIGNS = re.compile(r"[][{}<(%&!#]|xxx|yyy|www")  # one of which every mark has


def without_marks(text: str) -> str:
    """Leave transcribers' marks out.

    - All in square or curly brackets, and a name in angle brackets: ``[kelele]``, ``<unk>``.
    - A single word without capitals in round brackets: ``(anacheka)``. More words, names and abbreviations are read.
    - ``%HESITATION``, ``!SIL``, ``#``, and CHAT's ``xxx``, ``yyy``, ``www``, ``&=laughs``.

    Examples
    --------
    >>> without_marks("[kelele] Kisu <unk> hiki (anacheka) cha Hebroni (ndio Yerusalemu).").split()
    ['Kisu', 'hiki', 'cha', 'Hebroni', '(ndio', 'Yerusalemu).']
    """
    return MARK.sub(lambda m: " " if _is_mark(m) else m[0], text) if SIGNS.search(text) else text


def kept(text: str, rule) -> str:
    """A text by a rule in which each mark stays as a word of its own, always written alike: ``<kelele>``.

    >>> kept("[Kelele] Kisu (anacheka) %HESITATION [a b] <kelele>", str.lower)
    '<kelele> kisu <anacheka> <hesitation> <a_b> <kelele>'
    """
    parts, at = [], 0
    for m in MARK.finditer(text) if SIGNS.search(text) else ():
        if _is_mark(m):
            parts += [rule(text[at : m.start()]), _name(m[0])]
            at = m.end()
    return " ".join(filter(None, (*parts, rule(text[at:])))).replace("  ", " ").strip()


def _name(mark):
    """A mark as a word, by what it says; ``<#>`` of one that says nothing."""
    said = re.sub(r"[^\w]+", "_", mark.lower()).strip("_")
    name = f"<{said[:MOST] or '#'}>"
    return name if KEPT.fullmatch(name) else f"<{said}_>"  # which no unit of the model's own is called


def marks(text: str) -> list[str]:
    """The marks that `without_marks` leaves out, in their order."""
    return [m[0] for m in MARK.finditer(text) if _is_mark(m)] if SIGNS.search(text) else []


def _is_mark(match):
    word = match["aside"]
    if word is None:
        return True
    most = 2 if re.search(f"[{UNSPACED}]", word) else MOST  # which may be a sentence where no space parts words
    return len(word) <= most and word == word.lower()
