"""Words that a user expects to be said, from a command line or a file."""

from pathlib import Path

from serenanet_modules.data.text import normaliser
from serenanet_modules.errors import UserError

WEIGHT = 6.0  # nats that a hotword scores more


def read_hotwords(given, locale, weight=WEIGHT):
    """Words and their weights.

    Parameters
    ----------
    given : str
        A file of a word or a phrase a line, UTF-8, or words and phrases with commas between. Each word of a phrase
        counts for itself.
    locale : str
        Whose text rules say how they are written.
    weight : float

    Returns
    -------
    dict of str to float

    Raises
    ------
    UserError
        Where there is no word, or one that cannot be written.
    """
    path = Path(given or ",")
    try:
        phrases = path.read_text(encoding="utf-8").splitlines() if path.is_file() else given.split(",")
    except (OSError, ValueError) as error:
        raise UserError(f"{given[:100]}: cannot be read as hotwords ({error})") from None
    normalise, words = normaliser(locale), {}
    for phrase in filter(str.strip, phrases):
        written = normalise(phrase).split()
        if not written:
            raise UserError(f"Hotword {phrase.strip()[:60]!r}: nothing of it is a word to the text rules of {locale}")
        words |= dict.fromkeys(written, weight)
    if not words:
        raise UserError("--hotwords: holds no word; give some with commas between, or a file of a word a line")
    return words
