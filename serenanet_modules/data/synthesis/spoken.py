"""Sentences as espeak-ng is to say them: the words that a recogniser should write, with the pauses of the original."""

import re

from serenanet_modules.data.text import normaliser

PAUSES = re.compile(r"[,.;:?!…。、，！？]+$")
NASAL = re.compile("ng'?")  # in Swahili, [ŋ] with the apostrophe and [ŋɡ] without


def spoken(sentence, locale, espeak, voice):
    """A sentence for `Espeak.say`.

    Numbers and signs become the words that the locale's text rules read there, so that sound and transcript agree.

    Parameters
    ----------
    sentence : str
        As written.
    locale : str
    espeak : Espeak
    voice : str
        An espeak-ng language.

    Returns
    -------
    str
        "" where the rules leave nothing.
    """
    normalise = normaliser(locale)
    whole, tokens = normalise(sentence), sentence.split()
    words = [normalise(token) for token in tokens]
    if " ".join(filter(None, words)) != whole:  # rules that look at several tokens, such as 20 000
        words, tokens = [whole], [sentence]
    marked = [_pronounced(w, espeak, voice) + _pause(t) for w, t in zip(words, tokens, strict=True) if w]
    return " ".join(marked)


def _pause(token):
    found = PAUSES.search(token.rstrip("\"'”’»)]"))
    return found[0] if found else ""


def _pronounced(words, espeak, voice):
    """Words whose spelling espeak-ng misreads as phonemes: Swahili's ng', which it spells out."""
    if voice != "sw" or "ng'" not in words:
        return words
    return " ".join(f"[[{_velar(w, espeak, voice)}]]" if "ng'" in w else w for w in words.split())


def _velar(word, espeak, voice):
    """Phonemes of a word without the apostrophes, and without [ɡ] where they stood."""
    plain = iter([found[0] for found in NASAL.finditer(word)])
    (phones,) = espeak.phones(word.replace("'", ""), voice)
    return re.sub("Ng", lambda _: "N" if next(plain, "ng") == "ng'" else "Ng", phones)
