"""Which kind of sound a phone is: vowel, stop, fricative, nasal or another sonorant."""

import unicodedata

from serenanet_modules.data.alignment import SILENCE
from serenanet_modules.data.phonemes import ARPABET

CLASSES = ("vowel", "stop", "fricative", "nasal", "sonorant", "silence")

# Symbols of the IPA by which a phone begins: an affricate counts as the stop that it begins with.
BEGINS = {
    "vowel": "aeiouyɑæɐʌəɘɜɞɚɝɔɒɛɪʊɨʉɯøœɶɤɵᵻʏ",
    "stop": "pbtdʈɖcɟkɡgqɢʔɓɗᶑʄɠʛʘǀǃǂǁ",
    "fricative": "ɸβfvθðszʃʒʂʐɕʑçʝxɣχʁħʕhɦɬɮ",
    "nasal": "mɱnɳɲŋɴ",
    "sonorant": "lɫɭʎʟrɾɽʀɹɻɺɥjwʍʋɰ",
}
KINDS = {symbol: kind for kind, symbols in BEGINS.items() for symbol in symbols}
IPA = {phone: symbol for symbol, phone in reversed(ARPABET.items())}  # of ARPAbet, the first symbol that is written so


def phone_class(phone):
    """One of `CLASSES`, None for what is no phone.

    Parameters
    ----------
    phone : str
        In IPA, in ARPAbet, or `SILENCE`. A letter of a language without pronunciation rules counts as the sound that
        the IPA writes so.

    Examples
    --------
    >>> [phone_class(phone) for phone in ("a", "tʃ", "TH", "ŋ", "w", "sil")]
    ['vowel', 'stop', 'fricative', 'nasal', 'sonorant', 'silence']
    >>> phone_class("ɛ̃́"), phone_class("ⁿd"), phone_class("'")
    ('vowel', 'stop', None)
    """
    if phone == SILENCE:
        return "silence"
    symbols = unicodedata.normalize("NFD", IPA.get(phone, phone)).lower()
    return next((KINDS[symbol] for symbol in symbols if symbol in KINDS), None)
