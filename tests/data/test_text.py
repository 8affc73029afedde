"""Text normalisers: the stated rules, and idempotence on any text."""

import random
import re
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from serenanet_modules.data.text import Style, characters, default, en, normaliser, sw, tr
from serenanet_modules.data.text.marks import KEPT, marks, without_marks
from serenanet_modules.errors import UserError


@pytest.mark.parametrize(
    ("locale", "code", "text"),
    [
        ("swa", "sw", "watu 21"),
        ("swh-KE", "sw", "watu 21"),
        ("eng", "en", "21 people"),
        ("aze", "az", "I"),
        ("tur", "tr", "I"),
        ("lug", "xx", "abantu 21"),
        ("azb", "xx", "سلام"),
    ],
)
def test_a_language_has_its_rules_by_any_code(locale, code, text):
    """And South Azerbaijani, in Arabic letters, the default."""
    assert normaliser(locale)(text) == normaliser(code)(text) != ""


@pytest.mark.parametrize("apostrophe", characters.APOSTROPHES)
def test_swahili_keeps_the_apostrophe_of_ng_in_every_spelling(apostrophe):
    assert sw.normalise(f"Ng{apostrophe}ombe ANANG{apostrophe}OA") == "ng'ombe anang'oa"


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Je, umefika?", "je umefika"),
        ("‘Karibu’ alisema “mama”", "karibu alisema mama"),
        ("alisema 'karibu' na 'mtung'", "alisema karibu na mtung"),
        ("mji wa N'Djamena", "mji wa ndjamena"),
        ("ng''ombe", "ng'ombe"),
        ("ng\u200bombe\ufeff \u00adsana", "ngombe sana"),
        ("Ŋombe", "ng'ombe"),
        ("Ng'weng'we", "ng'weng'we"),
        ("wasi-wasi…  mkubwa/mdogo", "wasi wasi mkubwa mdogo"),
        ("Café Müller na Łódź", "cafe muller na lodz"),
        ("Москва ni mji", "ni mji"),
        ("", ""),
        (" .,!? ", ""),
    ],
)
def test_swahili_letters(text, normal):
    assert sw.normalise(text) == normal


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("0", "sifuri"),
        ("watu 14", "watu kumi na nne"),
        ("COVID19", "covid kumi na tisa"),
        ("watu 208 000 na 1,500", "watu elfu mia mbili na nane na elfu moja na mia tano"),
        ("1 000 000", "milioni moja"),
        ("Aprili 4 2019", "aprili nne elfu mbili kumi na tisa"),
        ("2,5 au 12,3456", "mbili tano au kumi na mbili elfu tatu mia nne hamsini na sita"),
        ("3.14", "tatu nukta moja nne"),
        ("mwaka 1999.", "mwaka elfu moja mia tisa tisini na tisa"),
        ("30% au 2.5 %", "asilimia thelathini au asilimia mbili nukta tano"),
        ("$5", "dola tano"),
        ("0712", "sifuri saba moja mbili"),
        ("5-10", "tano hadi kumi"),
        ("٣", "tatu"),
        ("saa 3:30", "saa tatu thelathini"),
        ("A&B", "a na b"),
        ("1" * 16, " ".join(["moja"] * 16)),
        ("Piga 0712 345 678.", "piga sifuri saba moja mbili tatu nne tano sita saba nane"),
        ("+255-712-345 lita 300", "mbili tano tano saba moja mbili tatu nne tano lita mia tatu"),
        ("tarehe 25/12/2019", "tarehe ishirini na tano desemba elfu mbili kumi na tisa"),
        (
            "9.12.1961 na 2010–2015",
            "tisa desemba elfu moja mia tisa sitini na moja na elfu mbili na kumi hadi elfu mbili kumi na tano",
        ),
        ("1.250.000, 1 250 000", "milioni moja na elfu mia mbili na hamsini milioni moja na elfu mia mbili na hamsini"),
    ],
)
def test_swahili_numbers(text, normal):
    assert sw.normalise(text) == normal


def test_swahili_cardinals_of_neighbours_differ():
    # 14 000 and 10 004 sound the same in Swahili, so uniqueness holds below ten thousand only.
    assert len({sw.cardinal(n) for n in range(10000)}) == 10000
    assert sw.cardinal(10**15 - 1).startswith("trilioni mia tisa tisini na tisa bilioni")


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("It’s the dogs' bone, 'quoted'.", "it's the dogs bone quoted"),
        ("naïve — café", "naive cafe"),
        ("1,234 and 1234", "one thousand two hundred and thirty four and twelve thirty four"),
        ("the 21st and 3rd", "the twenty first and third"),
        ("3.05%", "three point zero five percent"),
        ("$1 or £2", "one dollar or two pounds"),
        ("$1,500", "one thousand five hundred dollars"),
        ("0800 R&B", "zero eight zero zero r and b"),
        ("2019", "twenty nineteen"),
        ("12345678901234567890th", "one two three four five six seven eight nine zero " * 2),
        ("9" * 400, "nine " * 400),
        ("call +44 (0)20 7946 0018", "call four four zero two zero seven nine four six zero zero one eight"),
        ("on 25/12/2019, 12/25/2019", "on december twenty fifth twenty nineteen december twenty fifth twenty nineteen"),
        ("2019-03-01 or 45/12/2019", "march first twenty nineteen or forty five twelve twenty nineteen"),
        (
            "pages 10-20, score 3-2, 1.250.000",
            "pages ten to twenty score three two one million two hundred and fifty thousand",
        ),
    ],
)
def test_english(text, normal):
    assert en.normalise(text) == normal.strip()


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("Lápo TEÉMI, gωLΏ; dεpέ!", "lápo teémi gωlώ dεpέ"),
        ("bo\u0301na e\u0323\u0301", "bóna ẹ\u0301"),
        ("L’eau d`or 'x' rock'n'roll", "l'eau d'or x rock'n'roll"),
        ("Hawaiʻi ʼa", "hawaiʻi ʼa"),
        ("25 km² 𝄞", "25 km"),
        ("ma⁵⁵ bé¹-to²³ ⁵", "ma⁵⁵ bé¹ to²³"),
        ("اــ ـــ ب", "ا ب"),
        ("वह हिन्दी", "वह हिन्दी"),
        ("a\u200bb-c_d", "ab c d"),
        ("ə˧ʝi˧-se˩ ꜛma ˥", "ə˧ʝi˧ se˩ ꜛma ˥"),
        ("ka\ua789ma: Mo:KO na=lima, x: y = z", "ka\ua789ma mo:ko na=lima x y z"),
        ("3:30 http://x.y 说:你好", "3 30 http x y 说你好"),
        ("می\u200cخواهم \u200ca\u200db\u200c", "می\u200cخواهم ab"),
        ("ශ්\u200dරී\u200d, ශ්\u200d\u200dරී", "ශ්\u200dරී ශ්\u200dරී"),
        ("അവൻ അവന്\u200d", "അവൻ അവൻ"),
    ],
)
def test_default_rule(text, normal):
    assert default.normalise(text) == normal


ALPHABET = st.characters() | st.sampled_from(
    "ng'’ŋaeo0123456789., %$&stndrh\u0301ÀẞİŉΣI你ก·״〇˥:=\u200c\u200dمنර്න[]()<>"
)


@given(st.text(ALPHABET))
@example(text="[] [12] {}")
@example(text="WWW.")
def test_kept_marks_are_words_that_stay(text):
    """Marks as words are what they were when the rule is applied again, and without them the text is the usual one."""
    keep = normaliser("sw", Style(marks="keep"))
    once = keep(text)
    assert keep(once) == once
    assert KEPT.sub("", once).split() == normaliser("sw")(text).split()


@pytest.mark.parametrize("rule", [sw.normalise, en.normalise, default.normalise, tr.normalise])
@given(text=st.text(ALPHABET, max_size=30))
@example(text="n'g'ombe ng'' 'ng'a $1% 1,000,00 1.000.000 '\u0301a")
def test_idempotent_and_clean(rule, text):
    normal = rule(text)
    assert rule(normal) == normal
    assert normal == " ".join(normal.split())
    if rule in (sw.normalise, en.normalise):
        assert re.fullmatch("[a-z' ]*", normal)


@given(text=st.text("ng'aok "))
def test_swahili_apostrophes_stand_in_ng_only(text):
    assert re.fullmatch("([a-z ]|(?<=ng)'(?=[aeiouw]))*", sw.normalise(text))


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("你好， 世界", "你好世界"),
        ("東京タワー 「すごい」", "東京タワーすごい"),
        ("ปี 2019 มี ความสุข", "ปี 2019 มีความสุข"),
        ("ສະບາຍດີ ທຸກຄົນ", "ສະບາຍດີທຸກຄົນ"),
        ("မြန်မာ စကား။", "မြန်မာစကား"),
        ("ភាសា ខ្មែរ", "ភាសាខ្មែរ"),
        ("한국어 문장", "한국어 문장"),
        ("Wi-Fi 密碼 abc", "wi fi 密碼 abc"),
    ],
)
def test_scripts_without_spaces(text, normal):
    """No space stays between letters of a script that parts no words; other spaces do."""
    assert default.normalise(text) == normal


def test_turkish_and_azerbaijani_small_letters():
    for locale in ("tr_tr", "az_az"):
        assert normaliser(locale)("I\u0307zmir IŞIĞI İYİ") == "izmir ışığı iyi"


def test_whole_locale_then_language_then_default():
    assert normaliser("sw") is normaliser("sw-KE") and normaliser("sw")("Ng’ombe 2") == sw.normalise("Ng’ombe 2")
    assert normaliser("EN")("A 2") == en.normalise("A 2")
    for locale in ("mdw", "zh-CN", "nan-tw"):
        assert normaliser(locale) is normaliser("xx") is not normaliser("sw")
    for locale in ("__init__", "../sw", "characters"):
        with pytest.raises(UserError, match="is no code of a language"):
            normaliser(locale)


def test_swahili_text_of_words_is_untouched():
    random.seed(0)
    text = " ".join("".join(random.choices(string.ascii_lowercase, k=5)) for _ in range(50))
    assert sw.normalise(text) == text


@pytest.mark.parametrize(
    ("text", "left", "named"),
    [
        ("[kelele] Kisu <unk> hiki (anacheka).", "Kisu hiki .", ["[kelele]", "<unk>", "(anacheka)"]),
        ("yako ((anacheka)) sana ((Juma)).", "yako sana ((Juma)).", ["((anacheka))"]),
        (
            "ndiyo %HESITATION ## xxx, !SIL &=laughs &-uh",
            "ndiyo ,",
            ["%HESITATION", "##", "xxx", "!SIL", "&=laughs", "&-uh"],
        ),
        ("<en>yes</en> {laugh} (笑) [a b]", "yes", ["<en>", "</en>", "{laugh}", "(笑)", "[a b]"]),
        (
            "sawa (.) ndiyo (0.5) na ((1,2s)) (00:05) (%KICHEKO) m(w)aka (w)atu (5)",
            "sawa ndiyo na mwaka watu (5)",
            ["(.)", "(0.5)", "((1,2s))", "(00:05)", "(%KICHEKO)"],
        ),
        ("sil", "", ["sil"]),
        ("www .", ".", ["www"]),
        ("spn", "", ["spn"]),
        ("Umoja (UM) wa (wa zamani) (Juma) 30 % 5%", "Umoja (UM) wa (wa zamani) (Juma) 30 % 5%", []),
        (
            "a < b na c > d, A&B, www.x.org #5 (我是中国人) maxxx",
            "a < b na c > d, A&B, www.x.org #5 (我是中国人) maxxx",
            [],
        ),
    ],
)
def test_transcribers_marks_are_no_speech(text, left, named):
    assert without_marks(text).split() == left.split() and marks(text) == named
    assert normaliser("xx")(text) == default.normalise(left) and normaliser("sw")(text) == sw.normalise(left)


@given(text=st.text(ALPHABET, max_size=30))
@example(text="WWW")
@example(text="sil.")
@example(text="xxx.yyy!")
def test_marks_are_left_out_once_and_for_all(text):
    """What is left has none, so a normalised text is its own."""
    for locale in ("xx", "sw"):
        normal = normaliser(locale)(text)
        assert normaliser(locale)(normal) == normal
