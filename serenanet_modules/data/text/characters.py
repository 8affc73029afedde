"""Steps that the languages' rules share."""

import re
import unicodedata

# Everything people type for an apostrophe: quotes, primes, accents, modifier letters.
APOSTROPHES = "'’‘‛`´′ʹʼʻʽˈꞌ՚＇"
LETTERS_WITHOUT_PARTS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ß": "ss", "ı": "i"}
)


def drop_invisible(text: str) -> str:
    """Remove zero-width characters, soft hyphens and byte-order marks (category Cf)."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf")


def plain_apostrophes(text: str, spellings: str = APOSTROPHES) -> str:
    """Write every apostrophe, however it is spelled or doubled, as one ASCII ``'``."""
    return re.sub(f"[{spellings}]+", "'", text)


def plain_latin(text: str) -> str:
    """Lower-case text in ASCII where Latin letters have an ASCII base; digits become ASCII too.

    >>> plain_latin("Curaçao, Øre ٣")
    'curacao, ore 3'
    """
    parts = unicodedata.normalize("NFKD", text.lower().translate(LETTERS_WITHOUT_PARTS)).lower()
    return "".join(str(unicodedata.decimal(c, c)) for c in parts if unicodedata.category(c)[0] != "M")
