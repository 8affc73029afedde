"""Words that a user expects to be said, from a command line or a file."""

import os
from pathlib import Path

from serenanet_modules.data.text import normaliser
from serenanet_modules.data.text.written import MARKS, WIDE
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import names_a_file

WEIGHT = 0.5  # nats that a hotword scores more for each letter: short words are said by chance more easily
LONGEST = 200  # letters of a word that somebody could say


def read_hotwords(given, spelling, weight=WEIGHT):
    """Words and their weights.

    Parameters
    ----------
    given : str
        A file of a word or a phrase a line, UTF-8, or words and phrases with commas between. Each word of a phrase
        counts for itself.
    spelling : (str, Style, collection of str)
        As of `OpenRun`: how they are written. With capitals a word is also expected at the beginning of a sentence, and
        with punctuation behind each mark that there is.
    weight : float
        Nats a letter.

    Returns
    -------
    dict of str to float

    Raises
    ------
    UserError
        Where there is no word, or one that cannot be written.
    """
    is_file = os.path.isfile(given)  # which, unlike Path's, bears words too many for a name
    if not is_file and names_a_file(given):
        raise UserError(
            f"{given}: there is no such file; give a file of a word or phrase a line, or words with commas between"
        )
    try:
        phrases = Path(given).read_text(encoding="utf-8").splitlines() if is_file else given.split(",")
    except (OSError, ValueError) as error:
        raise UserError(f"{given[:100]}: cannot be read as hotwords ({error})") from None
    return hotwords_of(phrases, spelling, weight)


def hotwords_of(phrases, spelling, weight=WEIGHT):
    """The same of a list of words and phrases.

    Examples
    --------
    >>> from serenanet_modules.data.text import Style
    >>> list(hotwords_of(["mwana wa Juma"], ("sw", Style("keep", "keep"), "MWJmwanuj,")))
    ['mwana', 'Mwana', 'mwana,', 'Mwana,', 'wa', 'Wa', 'wa,', 'Wa,', 'Juma', 'Juma,']
    """
    locale, style, letters = spelling
    normalise, words = normaliser(locale, style), {}
    for phrase in filter(str.strip, phrases):
        written = normalise(phrase).split()
        if not written:
            raise UserError(
                f"Hotword {phrase.strip()[:60]!r}: nothing of it is left by the text rules of {locale}; write it in "
                "that language's letters"
            )
        if (longest := max(map(len, written))) > LONGEST:
            raise UserError(f"Hotword {phrase.strip()[:60]!r}…: has a word of {longest} letters; {LONGEST} at most")
        words |= {form: weight * len(word) for word in written for form in _forms(word, style, letters)}
    if not words:
        raise UserError("hotwords: holds no word; give some with commas between, or a file of a word a line")
    return words


def _forms(word, style, letters):
    """How a word may stand in a text of a style."""
    first = word[0].upper()
    forms = dict.fromkeys([word, first + word[1:]] if style.case == "keep" and first in letters else [word])
    marks = [mark for mark in MARKS + WIDE if style.punctuation == "keep" and mark in letters]
    return [*forms, *(form + mark for mark in marks for form in forms)]
