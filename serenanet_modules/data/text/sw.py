"""Swahili."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from serenanet_modules.data.text import figures
from serenanet_modules.data.text.characters import drop_invisible, parted_digits, plain_apostrophes, plain_latin

ONES = "sifuri moja mbili tatu nne tano sita saba nane tisa".split()
TENS = "kumi ishirini thelathini arobaini hamsini sitini sabini themanini tisini".split()
MONTHS = "januari februari machi aprili mei juni julai agosti septemba oktoba novemba desemba".split()
POWERS = {10**12: "trilioni", 10**9: "bilioni", 10**6: "milioni", 1000: "elfu", 100: "mia"}
GROUPED = r"(?<!\d)\d{1,3}(?:,\d{3})+(?!\d)|(?<![\w/⁄.,])\d{1,3}([ \u00a0\u202f])\d{3}(?:\1\d{3})*(?!\w)"
NUMBER_WORDS = frozenset([*ONES, *TENS, *POWERS.values(), "na", "nukta"])
NUMBER = r"\d+(?:\.\d+)?"


def normalise(text: str) -> str:
    """Lower-case a to z, with the apostrophe of ``ng'``; numbers in words.

    - ``ng'`` before a vowel or w keeps its apostrophe, as ``'``, in every Unicode spelling; the
      letter ``ŋ`` is written ``ng'``. Any other apostrophe goes and leaves no gap inside a word.
    - Accents are dropped, other scripts are left out, zero-width characters go.
    - Numbers are read as cardinals, as :func:`cardinal` says, even next to letters (``covid19``).
      Three-digit groups after a comma or one space are thousands (``20 000``, ``1,500``). A point
      before a digit is a decimal point, ``nukta``, after which every digit is read by itself.
      Telephone numbers are read digit by digit, ``25/12/2019`` as ``ishirini na tano desemba elfu
      mbili kumi na tisa``, ``10-20`` as ``kumi hadi ishirini``.
      ``30%`` is ``asilimia thelathini``, ``$5`` ``dola tano``, ``&`` ``na``; a sign is not read.
    - All other punctuation, hyphens too, becomes spaces; spaces are squeezed.

    Examples
    --------
    >>> normalise("Ng’ombe wa ng‘ambo: 'ghali'? Ndiyo — 20 000!")
    "ng'ombe wa ng'ambo ghali ndiyo elfu ishirini"
    >>> normalise("Asilimia ni 3.25, si 30%.")
    'asilimia ni tatu nukta mbili tano si asilimia thelathini'
    """
    text = plain_apostrophes(drop_invisible(text))
    text = re.sub("ŋ(?=[aeiouw])", "ng'", parted_digits(plain_latin(text))).replace("ŋ", "ng")
    text = figures.read(text, _digits, _date, "hadi")
    text = re.sub(GROUPED, lambda m: re.sub(r"\D", "", m[0]), text)
    text = re.sub(rf"({NUMBER})\s?%", r" asilimia \1 ", text)
    text = re.sub(rf"\$\s?({NUMBER})", r" dola \1 ", text).replace("&", " na ")
    text = re.sub(NUMBER, lambda m: f" {_read(m[0])} ", text)
    text = re.sub(r"(?<=[a-z])(?<!ng)'(?=[a-z])|(?<=ng)'(?=[b-df-hj-np-tvx-z])", "", text)
    text = re.sub(r"[^a-z']+|(?<!ng)'|'(?![aeiouw])", " ", text)
    return " ".join(text.split())


def cardinal(number: int) -> str:
    """Spell a whole number from 0 below 10**15 in Swahili.

    The largest part comes first, and *na* stands before the last part only.

    Examples
    --------
    >>> [cardinal(n) for n in (21, 105, 1965)]
    ['ishirini na moja', 'mia moja na tano', 'elfu moja mia tisa sitini na tano']
    >>> cardinal(2016)
    'elfu mbili kumi na sita'
    """
    parts = []
    for power, name in POWERS.items():
        if number >= power:
            parts.append(f"{name} {cardinal(number // power)}")
            number %= power
    if number >= 10:
        parts.append(TENS[number // 10 - 1])
        number %= 10
    if number or not parts:
        parts.append(ONES[number])
    return " ".join(parts[:-1]) + (" na " if parts[1:] else "") + parts[-1]


def _digits(said):
    return " ".join(ONES[int(digit)] for digit in said)


def _date(day, month, year):
    return f"{cardinal(day)} {MONTHS[month - 1]} {cardinal(year)}"


def numbers(words: Sequence[str]) -> Iterator[str]:
    """Yield the numbers that some words may be, the largest first.

    Examples
    --------
    >>> list(numbers("elfu ishirini na moja".split()))
    ['21000', '20001']
    >>> [list(numbers(said.split())) for said in ("tatu nukta mbili tano", "tatu", "sifuri saba moja")]
    [['3.25'], [], ['071']]
    """
    whole, point, fraction = (list(words), [], [])
    if "nukta" in words:
        at = words.index("nukta")
        whole, point, fraction = whole[:at], ["."], whole[at + 1 :]
    if words[0] == "sifuri" and not point and set(words) <= set(ONES):
        yield "".join(str(ONES.index(word)) for word in words)
    elif set(fraction) <= set(ONES) and bool(point) == bool(fraction):
        behind = "".join(point + [str(ONES.index(word)) for word in fraction])
        for number in sorted(_cardinals(tuple(whole)), reverse=True):
            if point or number >= 10:
                yield f"{number}{behind}"


@lru_cache(2**12)
def _cardinals(words):
    """Numbers that may be said so."""
    if not words:
        return frozenset()
    if words[0] == "na":
        return frozenset(number for number in _cardinals(words[1:]) if words[1] != "na")
    found = set()
    power = next((power for power, name in POWERS.items() if name == words[0]), None)
    if power:
        for end in range(2, len(words) + 1):
            rest = {0} if end == len(words) else _cardinals(words[end:])
            found |= {q * power + r for q in _cardinals(words[1:end]) for r in rest if r < power}
    elif words[0] in TENS:
        ten = 10 * (1 + TENS.index(words[0]))
        found = {ten} if len(words) == 1 else {ten + r for r in _cardinals(words[1:]) if 0 < r < 10}
    elif len(words) == 1 and words[0] in ONES:
        found = {ONES.index(words[0])}
    return frozenset(found)


def _read(number):
    """Read digits with at most one point; codes, which start with 0 or are long, digit by digit."""
    whole, _, fraction = number.partition(".")
    code = len(whole) > 15 or (len(whole) > 1 and whole[0] == "0")
    words = _digits(whole) if code else cardinal(int(whole))
    return words + (f" nukta {_digits(fraction)}" if fraction else "")
