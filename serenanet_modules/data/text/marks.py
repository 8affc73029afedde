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
    | \(\(?(?P<aside>[^\W\d_]+(?:['’-][^\W\d_]+)*)\)?\)  # (anacheka), ((anacheka)), if `_is_mark`
    | (?<!\S)%[^\W\d_][\w-]*               # %HESITATION
    | \(\s*%[^\W\d_][\w-]*\s*\)            # (%HESITATION), which may be said or not
    | \(\(?\s*(?:\.+|\d*[.,]\d+\s*s?|\d+\s*s)\s*\)?\)    # (.), ((0.5)), (2 s): pauses
    | \(\d{1,2}(?::\d\d){1,2}(?:[.,]\d+)?\)  # (00:05)
    | \A\s*(?:sil|spn?|SIL|SPN?|www)(?=[\s.]*\Z)  # all that aligners say of silence, CHAT of what it leaves out
    | (?<!\S)&[=+-]\S+                     # &=laughs, &-uh: CHAT's noises, fillers and beginnings of words
    | (?<!\S)![A-Z]+(?!\S)                 # !SIL
    | (?<!\w)(?:xxx|yyy)(?!\w)             # CHAT's unintelligible speech
    | (?<!\S)\#+(?!\S)                     # pauses
    """,
    re.VERBOSE,
)
INSIDE_WORD = re.compile(
    r"\(([^\W\d_]{1,20})\)(?=[^\W\d_])"
)  # m(w)aka: letters of the word that follows, not always said
SIGNS = re.compile(r"[][{}<(%&!#]|xxx|yyy|\A\s*(?:sil|sp|SIL|SP|www)")  # one of which every mark has


def without_marks(text: str) -> str:
    """Leave transcribers' marks out.

    - All in square or curly brackets, and a name in angle brackets: ``[kelele]``, ``<unk>``.
    - A single word without capitals in round brackets: ``(anacheka)``. More words, names and abbreviations are read,
      and so is a part of a word: ``(m)twana``.
    - Pauses and times in round brackets: ``(.)``, ``(0.5)``, ``(00:05)``.
    - ``%HESITATION``, ``!SIL``, ``#``, and CHAT's ``xxx``, ``yyy``, ``&=laughs``.
    - ``sil``, ``sp`` and ``spn`` where they are all of a text, as of aligners, and CHAT's ``www``.

    Examples
    --------
    >>> without_marks("[kelele] Kisu <unk> hiki (anacheka) cha Hebroni (ndio Yerusalemu).").split()
    ['Kisu', 'hiki', 'cha', 'Hebroni', '(ndio', 'Yerusalemu).']
    """
    if not SIGNS.search(text):
        return text
    return MARK.sub(lambda m: " " if _is_mark(m) else m[0], INSIDE_WORD.sub(r"\1", text))


def kept(text: str, rule) -> str:
    """A text by a rule in which each mark stays as a word of its own, always written alike: ``<kelele>``.

    >>> kept("[Kelele] Kisu (anacheka) %HESITATION [a b] <kelele>", str.lower)
    '<kelele> kisu <anacheka> <hesitation> <a_b> <kelele>'
    """
    parts, at = [], 0
    text = INSIDE_WORD.sub(r"\1", text)
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
    return [m[0] for m in MARK.finditer(INSIDE_WORD.sub(r"\1", text)) if _is_mark(m)] if SIGNS.search(text) else []


def _is_mark(match):
    word = match["aside"]
    if word is None:
        return True
    most = 2 if re.search(f"[{UNSPACED}]", word) else MOST  # which may be a sentence where no space parts words
    return len(word) <= most and word == word.lower()
