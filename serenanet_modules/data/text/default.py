"""The rule for a language that has no rule of its own."""

import unicodedata

from serenanet_modules.data.text.characters import drop_invisible, plain_apostrophes

# The apostrophes that are not letters in any alphabet; ʼ and ʻ are letters in some.
PUNCTUATION_APOSTROPHES = "'’‘‛`´′＇"


def normalise(text: str) -> str:
    """Keep letters with their marks, and digits; everything else parts words.

    - Unicode NFC, lower case; zero-width characters go.
    - Combining marks stay with their letter, so tones survive.
    - An apostrophe stays, as ``'``, inside a word only. ``ʼ`` and ``ʻ`` are letters and stay.
    - Digits stay as they are: how they are read depends on the language.
    - Punctuation and symbols, hyphens too, become spaces; spaces are squeezed.

    Examples
    --------
    >>> normalise("«Ábia» bó-bo, l’eau 25 'x'")
    "ábia bó bo l'eau 25 x"
    """
    text = plain_apostrophes(drop_invisible(text), PUNCTUATION_APOSTROPHES)
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
    kept, letter = [], False
    for character in text:
        category = unicodedata.category(character)
        letter = category[0] == "L" or (letter and category[0] == "M")
        kept.append(character if letter or category == "Nd" or character == "'" else " ")
    words = (word.strip("'") for word in "".join(kept).split())
    return " ".join(word for word in words if word)
