"""espeak-ng says the same whatever it said before, in the language of a locale, and its absence is a sentence."""

import os
import signal
import sys
import time

import pytest

from serenanet_modules.data.espeak import Espeak, Manner, Talker
from serenanet_modules.data.synthesis.spoken import spoken
from tests.support.refusals import refusal

SAID = [
    (text, Manner(f"sw+{v}", 160, 40)) for text in ("Habari ya asubuhi?", "Watoto wanacheza.") for v in ("f2", "m8")
]


@pytest.fixture(scope="module")
def espeak():
    return Espeak("this test")


def test_what_was_said_before_changes_nothing(espeak):
    """Nor does the time of day. The library alone does not keep this: said again, a sentence has other samples."""
    with Talker() as one:
        first = [one.say(*words) for words in SAID]
        time.sleep(1.0)  # its clock has seconds
        with Talker() as other:
            again = [other.say(*words) for words in reversed(SAID)]
        assert first == again[::-1] == [one.say(*words) for words in SAID]
    assert all(len(sound) > espeak.sample_rate for sound in first) and len(set(first)) == len(SAID)
    assert espeak.say(*SAID[0]) != espeak.say(*SAID[0])


def test_the_manner_is_heard():
    text, (fast, slow, high) = SAID[0][0], (Manner("sw", 220), Manner("sw", 110), Manner("sw", 220, 90))
    with Talker() as talker:
        quick, long, other = (talker.say(text, manner) for manner in (fast, slow, high))
    assert len(long) > 1.5 * len(quick) and other != quick


def test_a_voice_that_fails_and_a_process_that_is_gone():
    with Talker() as talker:
        assert talker.say("habari", Manner("nobody")) == b"" != talker.say("habari", Manner("sw"))
        os.kill(talker._process.pid, signal.SIGKILL)
        refusal(lambda: talker.say("habari", Manner("sw")), "habari")


def test_languages(espeak):
    locales = ("sw", "SW_ke", "sv-SE", "zh-TW", "nn-NO", "en_US", "pa-IN", "swa", "swh-KE", "deu")
    known = ["sw", "sw", "sv", "cmn", "nb", "en-us", "pa", "sw", "sw", "de"]
    assert [espeak.language_of(locale) for locale in locales] == known
    assert "sw (Swahili)" in refusal(lambda: espeak.language_of("mdw"), "'mdw'", "--espeak-voice")
    assert espeak.variants()["m1"] and not espeak.variants()["f1"] and "whisper" not in espeak.variants()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    refusal(lambda: Espeak("synthetic speech"), "synthetic speech", "pip install espeakng-loader")


@pytest.mark.parametrize(
    ("locale", "sentence", "said"),
    [
        ("sw", "Ng’ombe 20, sivyo?", "[[N'ombe]] ishirini, sivyo?"),
        ("sw", "«Mngwana wa mng'ao!»", "mngwana wa [[m-N'ao]]!"),
        ("sw", "Ng'ang'ania ngoma.", "[[N,aNan'ia]] ngoma."),
        ("sw", "Bei ni 20 000, basi.", "bei ni elfu ishirini basi."),  # which only the whole sentence tells
        ("en", "It's 5 o’clock; go!", "it's five o'clock; go!"),
        ("sw", "— !", ""),
    ],
)
def test_sentences_are_said_as_they_are_written_down(espeak, locale, sentence, said):
    assert spoken(sentence, locale, espeak, espeak.language_of(locale)) == said


def test_ng_is_said_without_g(espeak):
    """Where espeak-ng by itself spells the letters out."""
    assert espeak.ipa("ng'ombe", "sw").count("_") > 6
    (phones,) = espeak.phones("ngombe", "sw")
    assert phones == "Ng'ombe"
