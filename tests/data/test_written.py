"""Texts with their capitals and punctuation, and with their numbers as digits: the rule hears no difference."""

import pytest

from serenanet_modules.data.text import Style, normaliser
from serenanet_modules.data.text.digits import digits
from serenanet_modules.errors import UserError
from tests.support.tiny import SAMPLE, read_tsv

KEEP = Style("keep", "keep")
SENTENCES = {
    "sw": ["ŊOMBE 20 000; NG’OMBE, covid19!", "«Asilimia 3.25?» — alisema Juma...", ". , Habari"],
    "en": ["Mr. O’Hara's 2nd U.S. visit (in 1984) cost $1.50, ok?", "(Hello.) \"World!\" he said: 'No.'", "x.Y"],
    "tr": ["İstanbul'da IŞIK, iyi."],
    "de": ["Die Straße, GROẞ! Über-Mut…"],
    "zh-CN": ["你好，世界。OK?"],
    "mdw": ["Lápo teémi, Gωlω; ba:ka na=lima."],
}


@pytest.mark.parametrize("style", [KEEP, Style("keep", "drop"), Style("lower", "keep")])
@pytest.mark.parametrize("locale", SENTENCES)
def test_the_rule_makes_the_same_of_it(locale, style):
    """Of the text as it is written, the rule makes what it makes of the text; and written once more it stays."""
    plain, keep = normaliser(locale), normaliser(locale, style)
    corpus = [row["sentence"] for row in read_tsv(SAMPLE / "train.tsv")] if locale == "sw" else []
    for sentence in (*SENTENCES[locale], *corpus):
        written = keep(sentence)
        assert plain(written) == plain(sentence) and keep(written) == written
        if style.case == "lower":
            assert written == written.lower()
        if style.punctuation == "drop":
            assert written.lower().split() == plain(sentence).split() or locale == "tr"


@pytest.mark.parametrize(
    ("locale", "text", "written"),
    [
        ("sw", SENTENCES["sw"][0], "NG'OMBE elfu ishirini; NG'OMBE, covid kumi na tisa!"),
        ("sw", SENTENCES["sw"][1], "Asilimia tatu nukta mbili tano? alisema Juma…"),
        (
            "en",
            SENTENCES["en"][0],
            "Mr. O'Hara's second U S. visit in nineteen eighty four cost one point five zero dollars, ok?",
        ),
        ("en", SENTENCES["en"][1], "Hello. World! he said: No."),
        ("zh-CN", SENTENCES["zh-CN"][0], "你好，世界。OK?"),
        ("tr", SENTENCES["tr"][0], "İstanbul'da IŞIK, iyi."),
        ("de", SENTENCES["de"][0], "Die Straße, GROß! Über Mut…"),
    ],
)
def test_what_is_kept(locale, text, written):
    assert normaliser(locale, KEEP)(text) == written


@pytest.mark.parametrize(
    ("locale", "text", "written"),
    [
        ("sw", "Elfu mbili kumi na sita; moja na mbili, mia moja na tano.", "2016; moja na mbili, 105."),
        ("sw", "na sifuri saba moja mbili nukta kumi na", "na 0712 nukta 10 na"),
        (
            "en",
            "In nineteen eighty four, one of twenty one; two hundred and five point six",
            "In 1984, one of 21; 205.6",
        ),
        ("en", "and hundred point and", "and hundred point and"),
    ],
)
def test_numbers_become_digits(locale, text, written):
    assert " ".join(part.text for part in digits(locale)(text.split())) == written


@pytest.mark.parametrize("locale", ["sw", "en"])
def test_every_number_comes_back(locale):
    """As it is read, alone and among other words; the parts cover all words."""
    rule, write = normaliser(locale), digits(locale)
    for number in (
        *range(10, 130),
        999,
        1000,
        1001,
        1965,
        2016,
        2100,
        12345,
        200000,
        1000001,
        10**9 + 10**6 + 7,
        "3.25",
    ):
        words = ["saa", *rule(str(number)).split(), "x"]
        parts = write(words)
        assert [part.text for part in parts] == ["saa", str(number), "x"]
        assert [part.start for part in parts] == [0, *(part.end for part in parts[:-1])] and parts[-1].end == len(words)


def test_a_language_without_a_rule():
    with pytest.raises(UserError, match="no rule for numbers of mdw"):
        digits("mdw")
