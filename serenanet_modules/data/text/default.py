"""The rule for a language that has no rule of its own."""

import re
import unicodedata

from serenanet_modules.data.text.characters import JOINERS, UNSPACED, drop_invisible, joined, plain_apostrophes

# The apostrophes that are not letters in any alphabet; ʼ and ʻ are letters in some.
PUNCTUATION_APOSTROPHES = "'’‘‛`´′＇"
INSIDE = "'·׳״"  # may stand inside a word: apostrophe, Catalan's middle dot, Hebrew's geresh and gershayim
# What letters are made of in some orthographies and Unicode calls a symbol: tone letters, ꞉ and ꞊.
SYMBOLS_THAT_ARE_LETTERS = frozenset([*map(chr, (*range(0x2E5, 0x2EA), *range(0xA700, 0xA717), 0xA789, 0xA78A))])
TONES = frozenset("⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉")  # digits that say the tone of the letters before them
AREA = re.compile(r"(?<!\w)([kcmd]?m)[²³](?!\w)")  # and volume
SPACELESS = re.compile(f"[{UNSPACED}]")
TATWEEL = "\u0640"  # makes Arabic words longer to the eye
BETWEEN_LETTERS = ":="  # length and clitics: where there is a letter on both sides


def normalise(text: str) -> str:
    """Keep letters with their marks, and digits; everything else parts words.

    - Unicode NFC, lower case. Zero-width characters go, but for joiners between letters of scripts that spell with
      them (Persian, Sinhala, Malayalam, …); Malayalam's chillu letters are single characters.
    - Combining marks stay with their letter, so tones survive; tone letters (˥, ꜛ), ꞉ and ꞊ are letters.
    - ``:`` and ``=`` stay between letters (``ba:ka``, ``na=lima``), where a space or the end follows they do not.
    - Raised and lowered digits stay behind a letter (``ma⁵⁵``), where they are tones; but for m² and the like.
    - An apostrophe stays, as ``'``, inside a word only. ``ʼ`` and ``ʻ`` are letters and stay.
    - Digits stay as they are: how they are read depends on the language.
    - The middle dot (``col·legi``) and Hebrew's geresh stay likewise.
    - Punctuation and symbols, hyphens too, become spaces; spaces are squeezed.
    - Chinese, Japanese, Thai, Lao, Khmer and Burmese are written without spaces, so none stays between their letters.
      What counts there is the character error rate.

    Examples
    --------
    >>> normalise("«Ábia» bó-bo, l’eau 25 'x'")
    "ábia bó bo l'eau 25 x"
    >>> normalise("你好， 世界 2019 年。")
    '你好世界 2019 年'
    """
    text = plain_apostrophes(drop_invisible(joined(text), JOINERS), PUNCTUATION_APOSTROPHES)
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower()).replace(TATWEEL, "")
    text = AREA.sub(r"\1", text)
    kept, letter, before = [], False, " "
    for character, after in zip(text, f"{text[1:]} ", strict=False):
        between = character in BETWEEN_LETTERS and letter and _is_letter(after) and not SPACELESS.match(after)
        letter = _is_letter(character) or (
            letter and (unicodedata.category(character)[0] == "M" or character in JOINERS)
        )
        tone = character in TONES and (_is_letter(before) or unicodedata.category(before)[0] == "M" or before in TONES)
        before = character if tone or character not in TONES else " "
        kept.append(character if letter or between or tone or _is_kept(character) else " ")
    words = (word.strip(INSIDE + JOINERS) for word in "".join(kept).split())
    return re.sub(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", " ".join(word for word in words if word))


def _is_letter(character):
    return unicodedata.category(character)[0] == "L" or character in SYMBOLS_THAT_ARE_LETTERS


def _is_kept(character):
    return unicodedata.category(character) in ("Nd", "Nl") or character in INSIDE
