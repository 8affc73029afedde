"""English."""

import re
from collections.abc import Iterator, Sequence

from num2words import num2words

from serenanet_modules.data.text import figures
from serenanet_modules.data.text.characters import drop_invisible, parted_digits, plain_apostrophes, plain_latin

MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august", "september"),
    *("october", "november", "december"),
)
CURRENCIES = {"$": "dollar", "£": "pound", "€": "euro"}
ONES = "zero one two three four five six seven eight nine".split()
TEENS = "ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen".split()
TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
POWERS = {10**12: "trillion", 10**9: "billion", 10**6: "million", 1000: "thousand"}
VALUES = {name: value for value, name in enumerate(ONES + TEENS)} | {n: 10 * i for i, n in enumerate(TENS, start=2)}
NUMBER_WORDS = frozenset([*VALUES, *POWERS.values(), "hundred", "and", "oh", "point"])
NUMBER = r"\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?"


def normalise(text: str) -> str:
    """Lower-case a to z with apostrophes inside words; numbers in words.

    - Accents are dropped (``café`` → ``cafe``), other scripts are left out.
    - An apostrophe stays, as ``'``, inside a word only.
    - Numbers are read by num2words: ``1,234`` and ``3.5`` as such, ``21st`` as an ordinal, four
      digits from 1100 to 2099 without a comma as a year; numbers that start with 0 or have more
      than 15 digits digit by digit, and so are telephone numbers. ``25/12/2019`` is ``december
      twenty fifth twenty nineteen``, ``10-20`` ``ten to twenty``. ``$5`` is ``five dollars``, ``5%`` ``five percent``,
      ``&`` ``and``; a sign before a number is not read.
    - All other punctuation, hyphens too, becomes spaces; spaces are squeezed.

    Examples
    --------
    >>> normalise("In 1984 the 2nd café's tea was $1.50.")
    "in nineteen eighty four the second cafe's tea was one point five zero dollars"
    """
    words = (word.strip("'") for word in re.sub(r"[^a-z']+", " ", spoken(text)).split())
    return " ".join(word for word in words if word)


def spoken(text: str) -> str:
    """Lower-case ASCII with numbers and symbols in words; other punctuation still stands."""
    text = parted_digits(plain_latin(plain_apostrophes(drop_invisible(text))))
    text = figures.read(text, _digits, _date, "to")
    text = re.sub(rf"([$£€])\s?({NUMBER})", _money, text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", lambda m: f" {_ordinal(m[1])} ", text)
    text = re.sub(NUMBER, lambda m: f" {_cardinal(m[0])} ", text)
    return text.replace("%", " percent ").replace("&", " and ")


def numbers(words: Sequence[str]) -> Iterator[str]:
    """Yield the numbers that some words may be.

    Examples
    --------
    >>> list(numbers("one thousand two hundred and five".split())), list(numbers("nineteen oh five".split()))
    (['1205'], ['1905'])
    >>> list(numbers("three point one four".split())), list(numbers(["three"])), list(numbers("zero seven one".split()))
    (['3.14'], [], ['071'])
    """
    if words[0] == "zero" and set(words) <= set(ONES) and len(words) > 1:
        yield "".join(str(ONES.index(word)) for word in words)
    elif "point" in words:
        at = words.index("point")
        whole, fraction = _value(words[:at]), words[at + 1 :]
        if whole is not None and fraction and set(fraction) <= set(ONES):
            yield f"{whole}." + "".join(str(ONES.index(word)) for word in fraction)
    else:
        for number in dict.fromkeys((_value(words), _year(words))):
            if number is not None and number >= 10:
                yield str(number)


def _value(words):
    """A cardinal number, or None."""
    total, group, last = 0, None, None
    for word in words:
        if word in VALUES:
            group = (group or 0) + VALUES[word]
        elif word == "hundred" and group:
            group *= 100
        elif word in POWERS.values() and group:
            total, group = total + group * next(power for power, name in POWERS.items() if name == word), None
        elif word != "and" or last is None:
            return None
        last = word
    return None if last is None or last == "and" else total + (group or 0)


def _year(words):
    """A year of two parts, or None."""
    for at in range(1, len(words)):
        century, rest = _value(words[:at]), _value([word for word in words[at:] if word not in ("oh", "hundred")])
        if century is not None and 11 <= century <= 20 and (rest is not None or words[at:] == ["hundred"]):
            return 100 * century + (rest or 0)
    return None


def _money(match):
    symbol, number = match.groups()
    return f" {number} {CURRENCIES[symbol]}{'' if number == '1' else 's'} "


def _digits(number):
    return " ".join(num2words(int(digit)) for digit in number)


def _date(day, month, year):
    return f"{MONTHS[month - 1]} {num2words(day, to='ordinal')} {num2words(year, to='year')}"


def _ordinal(number):
    return num2words(int(number), to="ordinal") if len(number) <= 15 else _digits(number)


def _cardinal(number):
    whole, _, fraction = number.replace(",", "").partition(".")
    if len(whole) > 15 or (len(whole) > 1 and whole[0] == "0"):
        words = _digits(whole)
    elif number == whole and 1100 <= int(whole) <= 2099:
        words = num2words(int(whole), to="year")
    else:
        words = num2words(int(whole))
    return f"{words} point {_digits(fraction)}" if fraction else words
