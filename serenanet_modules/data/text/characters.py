"""Steps that the languages' rules share."""

import re
import unicodedata

# Everything people type for an apostrophe: quotes, primes, accents, modifier letters.
APOSTROPHES = "'’‘‛`´′ʹʼʻʽˈꞌ՚＇"
# Scripts that part no words: Thai, Lao, Burmese, Khmer, Chinese and Japanese. A space between two of their letters
# marks a pause or the end of a clause, or stood where there was punctuation.
UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\uaa60-\uaa7f\ua9e0-\ua9ff\u1780-\u17ff"
    "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\uff66-\uff9f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
JOINERS = "\u200c\u200d"
# Scripts that spell with joiners: Arabic, Syriac, those of India, Sinhala, Mongolian.
JOINING = "\u0600-\u074f\u0750-\u077f\u08a0-\u08ff\u0900-\u0dff\u1800-\u18af"
CHILLUS = str.maketrans({"ണ": "ൺ", "ന": "ൻ", "ര": "ർ", "ല": "ൽ", "ള": "ൾ", "ക": "ൿ"})
LONGEST_NUMBER = 40  # digits
LETTERS_WITHOUT_PARTS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "ß": "ss", "ı": "i"}
)


def parts_words(texts) -> bool:
    """Whether texts have spaces between words: most of their letters are not of `UNSPACED`.

    >>> parts_words(["moja mbili"]), parts_words(["你好 abc", "再见"])
    (True, False)
    """
    letters = "".join(text.replace(" ", "") for text in texts)
    return 2 * len(re.findall(f"[{UNSPACED}]", letters)) <= len(letters)


def drop_invisible(text: str, but: str = "") -> str:
    """Remove zero-width characters, soft hyphens and byte-order marks (category Cf), ``but`` these."""
    return "".join(c for c in text if unicodedata.category(c) != "Cf" or c in but)


def joined(text: str) -> str:
    """Remove zero-width joiners but for one between characters of `JOINING`; Malayalam's chillus are one character.

    >>> joined("\u0d28\u0d4d\u200d") == "\u0d7b", joined("a\u200db"), "\u200c" in joined("می\u200cخواهم")
    (True, 'ab', True)
    """
    text = re.sub("([ണനരലളക])\u0d4d\u200d", lambda m: m[1].translate(CHILLUS), text)
    text = re.sub(f"(?<![{JOINING}])[{JOINERS}]+|[{JOINERS}]+(?![{JOINING}{JOINERS}])", "", text)
    return re.sub(f"([{JOINERS}])[{JOINERS}]+", r"\1", text)


def plain_apostrophes(text: str, spellings: str = APOSTROPHES) -> str:
    """Write every apostrophe, however it is spelled or doubled, as one ASCII ``'``."""
    return re.sub(f"[{spellings}]+", "'", text)


def plain_latin(text: str) -> str:
    """Lower-case text in ASCII where Latin letters have an ASCII base; digits become ASCII too, raised ones apart.

    >>> plain_latin("Curaçao, Øre ٣ 10²")
    'curacao, ore 3 10 2 '
    """
    text = "".join(f" {c} " if unicodedata.category(c) == "No" else c for c in text)
    parts = unicodedata.normalize("NFKD", text.lower().translate(LETTERS_WITHOUT_PARTS)).lower()
    return "".join(str(unicodedata.decimal(c, c)) for c in parts if unicodedata.category(c)[0] != "M")


def parted_digits(text: str) -> str:
    """Put spaces between the digits of what is too long to be a number; rules of numbers take the square of its length.

    >>> parted_digits("12 " + "7" * 41) == "12 " + " ".join("7" * 41)
    True
    """
    return re.sub(rf"\d{{{LONGEST_NUMBER + 1},}}", lambda m: " ".join(m[0]), text)
