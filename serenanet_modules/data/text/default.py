"""The rule for a language that has no rule of its own."""

import re
import unicodedata

from serenanet_modules.data.text.characters import drop_invisible, plain_apostrophes

# The apostrophes that are not letters in any alphabet; ʼ and ʻ are letters in some.
PUNCTUATION_APOSTROPHES = "'’‘‛`´′＇"
INSIDE = "'·׳״"  # may stand inside a word: apostrophe, Catalan's middle dot, Hebrew's geresh and gershayim
# Scripts that part no words: Thai, Lao, Burmese, Khmer, Chinese and Japanese. A space between two of their letters
# marks a pause or the end of a clause, or stood where there was punctuation.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\u1780-\u17ff"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)


def normalise(text: str) -> str:
    """Keep letters with their marks, and digits; everything else parts words.

    - Unicode NFC, lower case; zero-width characters go.
    - Combining marks stay with their letter, so tones survive.
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
    text = plain_apostrophes(drop_invisible(text), PUNCTUATION_APOSTROPHES)
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    kept, letter = [], False
    for character in text:
        category = unicodedata.category(character)
        letter = category[0] == "L" or (letter and category[0] == "M")
        kept.append(character if letter or category in ("Nd", "Nl") or character in INSIDE else " ")
    words = (word.strip(INSIDE) for word in "".join(kept).split())
    return re.sub(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])", "", " ".join(word for word in words if word))
