"""Numbers of a recogniser's text as digits: ``ishirini na moja`` -> ``21``.

A language's file says which words numbers are made of, ``NUMBER_WORDS``, and guesses by ``numbers(words)`` which ones
some words may be. What becomes digits is what the language's rule reads as just these words, so the rule makes of the
result what it makes of the text. Numbers below ten stay words where they stand alone.
"""

from typing import NamedTuple

from serenanet_modules.data import text as rules
from serenanet_modules.data.text.written import MARKS, WIDE
from serenanet_modules.errors import UserError

LONGEST = 24  # words of a number


class Written(NamedTuple):
    """Words ``start`` to ``end`` (not included) of a text, as they are written now."""

    start: int
    end: int
    text: str


def digits(locale):
    """The rule of a language.

    Parameters
    ----------
    locale : str

    Returns
    -------
    callable
        From a list of words, which may have capitals and marks, to a list of `Written` that cover them.

    Raises
    ------
    UserError
        For a language that has none.

    Examples
    --------
    >>> def written(text, locale):
    ...     return " ".join(part.text for part in digits(locale)(text.split()))
    >>> written("mwaka elfu mbili kumi na sita, watu tatu nukta tano", "sw")
    'mwaka 2016, watu 3.5'
    >>> written("in nineteen eighty four twenty one of one hundred and five", "en")
    'in 1984 21 of 105'
    """
    module = rules.module_of(locale)
    if not hasattr(module, "NUMBER_WORDS"):
        raise UserError(f"digits: there is no rule for numbers of {locale}; languages that have one are sw and en")
    rule = rules.normaliser(locale)

    def written(words):
        found, at = [], 0
        plain = [rule(word) for word in words]
        while at < len(words):
            end, text = _longest(words, plain, at, module, rule)
            found.append(Written(at, end, text))
            at = end
        return found

    return written


def _longest(words, plain, at, module, rule):
    """Where the longest number ends that begins at a word, and its digits; or the word itself."""
    end = at
    while end < min(len(words), at + LONGEST) and plain[end] in module.NUMBER_WORDS:
        end += 1
        if words[end - 1][-1] in MARKS + WIDE:
            break
    while end > at:
        said, mark = " ".join(plain[at:end]), words[end - 1][len(words[end - 1].rstrip(MARKS + WIDE)) :]
        for number in module.numbers(plain[at:end]):
            if rule(number) == said:
                return end, number + mark
        end -= 1
    return at + 1, words[at]
