"""Units of several languages: tokens stand in no text, own units share nothing but the blank."""

import pytest

from serenanet_modules.data.languages import train_language_units
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.spans import word_groups, words_of
from serenanet_modules.decoding.words import Words
from serenanet_modules.errors import UserError
from serenanet_modules.inference.timestamps import timed

TEXTS = {"en_us": ["the dog sleeps", "a cat"], "de_de": ["der hund", "a katze"], "ru_ru": ["собака спит"]}
PAIRS = [(text, locale) for locale, texts in TEXTS.items() for text in texts]


@pytest.fixture(params=[("token", "char"), ("own", "char"), ("token", "bpe"), ("own", "bpe")], ids="-".join)
def units(request):
    how, kind = request.param
    size = {"token": 34, "own": 18}[how] if kind == "bpe" else None
    return train_language_units(how, kind, *zip(*PAIRS, strict=True), size)


def test_what_is_written_is_read_again(units, tmp_path):
    units.save(tmp_path)
    opened = load_units(tmp_path)
    assert (opened.pieces, opened.languages, opened.marks) == (units.pieces, units.languages, units.marks)
    for text, locale in PAIRS:
        labels = units.encode(text, locale)
        assert labels == opened.encode(text, locale) and 0 not in labels and max(labels) < units.size
        assert opened.decode([0, *labels, 0]) == text
    assert (tmp_path / "units.json").read_text().count("en_us") == 1
    broken = (tmp_path / "units.model").read_bytes()[:-9]
    (tmp_path / "units.model").write_bytes(broken)
    with pytest.raises(UserError, match="are damaged; copy the whole result folder again"):
        load_units(tmp_path)


def test_a_token_says_the_language_and_nothing_else(units):
    """Words, times and the word language model know nothing of it."""
    said = {locale: units.encode("a", locale) for locale in ("en_us", "de_de")}
    assert said["en_us"] != said["de_de"]
    if units.languages == "own":
        assert not set(said["en_us"]) & set(said["de_de"])
        assert units.encode("a", "sw_ke") == [] and units.decode(units.encode("z", "en_us")) == "⁇"
        with pytest.raises(UserError, match="give --locale, one of de_de, en_us, ru_ru"):
            units.encode("a")
        return
    assert said["en_us"][1:] == said["de_de"][1:] == units.encode("a") == units.encode("a", "sw_ke")
    assert units.pieces[said["en_us"][0]] == "<en_us>" and units.marks == {units.size - 3 + i for i in range(3)}


def test_words_have_no_token(units):
    labels = units.encode("the dog sleeps", "en_us")
    hypothesis = Hypothesis(labels, units.decode(labels))
    assert [word.text for word in words_of(hypothesis, units)] == ["the", "dog", "sleeps"]
    assert not {labels[i] for group in word_groups(units, labels) for i in group} & units.marks
    frames = [f for label in labels for f in (0, label)]
    log_probs = _sure(frames, units.size)
    segment = timed(hypothesis, units, log_probs, [0.1 * i for i in range(len(frames) + 1)])
    assert segment.text == "".join(token.text for token in segment.tokens).strip() == "the dog sleeps"


def test_a_word_language_model_reads_words_alone(units):
    """The score of a bonus for each word: three words, with or without a token before them."""
    words = Words(units, word_score=1.0)
    context = words.start()
    for label in units.encode("the dog sleeps", "en_us"):
        context = words.extend(context, label)
    assert words.finished(context) == 3.0


def _sure(frames, size):
    import torch

    return torch.eye(size)[frames].clamp(1e-4).log()


def test_own_units_name_the_language_whose_text_is_too_short():
    with pytest.raises(UserError, match="ru_ru: .*vocab_size to"):
        train_language_units("own", "bpe", ["the dog sleeps " * 9, "спит"], ["en_us", "ru_ru"], 18)
