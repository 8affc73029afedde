"""Units: round trips, files, determinism, and sizes that do not fit."""

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serenanet_modules.data.phonemes import phonemise
from serenanet_modules.data.units import PhonemeUnits, load_units, train_units
from serenanet_modules.errors import UserError

TEXTS = ["ng'ombe wangu anakula nyasi", "watoto wanacheza mpira", "lépo gωlώ umáá dεzí"] * 5
PHONEMES = ["k a | b a", "ŋ o m b e | tʃ u i"]
SENTENCEPIECE = [("char", None), ("bpe", 40), ("unigram", 36)]


@pytest.fixture(scope="module", params=SENTENCEPIECE, ids=lambda p: p[0])
def units(request):
    return train_units(request.param[0], TEXTS, request.param[1])


def test_blank_is_first_and_size_is_the_number_of_pieces(units):
    assert units.blank_id == 0
    assert units.pieces[0] == "<blank>"
    assert units.pieces[1] == "<unk>"
    assert units.size == len(units.pieces) == len(set(units.pieces))


@settings(max_examples=50)
@given(words=st.lists(st.text("abegikmnoruwyz'éωώ", min_size=1), max_size=6))
def test_sentencepiece_round_trip(units, words):
    text = " ".join(words)
    ids = units.encode(text)
    assert 0 not in ids and 1 not in ids
    assert units.decode(ids) == text


def test_word_starts_carry_the_boundary(units):
    starts = [units.pieces[i].startswith(units.boundary) for i in units.encode("mpira wangu")]
    assert sum(starts) == 2


def test_mixed_scripts_can_share_a_piece():
    pieces = train_units("bpe", ["sωndώ"] * 5, 11).pieces
    assert any("s" in piece and "ω" in piece for piece in pieces)


def test_unseen_characters_stay_inside_their_word(units):
    assert units.decode(units.encode("waqto")).split() == ["wa⁇to"]


def test_decode_ignores_blanks_and_repeated_boundaries():
    units = train_units("char", TEXTS, None)
    space, a = units.encode("a")
    assert units.decode([0, space, a, 0, space, space, a, space]) == "a a"


@pytest.mark.parametrize(("kind", "size"), SENTENCEPIECE)
def test_same_text_same_files(kind, size, tmp_path):
    for name in "ab":
        train_units(kind, TEXTS, size, tmp_path / name)
    for file in ("units.json", "units.model"):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


@pytest.mark.parametrize(("kind", "size"), [*SENTENCEPIECE, ("phoneme", None)])
def test_saved_units_load_as_they_were(kind, size, tmp_path):
    texts = PHONEMES if kind == "phoneme" else TEXTS
    units = train_units(kind, texts, size, tmp_path)
    for other in (load_units(tmp_path), pickle.loads(pickle.dumps(units))):
        assert (other.kind, other.pieces) == (kind, units.pieces)
        assert other.encode(texts[0]) == units.encode(texts[0])
    assert not list(tmp_path.glob(".*")), "a temporary file was left"


@pytest.mark.parametrize("kind", ["char", "bpe", "unigram"])
def test_too_large_a_vocabulary_names_the_key_and_a_value_that_works(kind):
    with pytest.raises(UserError, match=r"vocab_size is 5000.* at most \d+") as error:
        train_units(kind, TEXTS, 5000)
    largest = int(str(error.value).split("at most ")[1].split()[0])
    assert train_units(kind, TEXTS, largest).size == largest
    with pytest.raises(UserError):
        train_units(kind, TEXTS, 2 * largest)


def test_too_small_a_vocabulary_names_a_value_that_works():
    with pytest.raises(UserError, match="vocab_size is 10.*smallest") as error:
        train_units("bpe", TEXTS, 10)
    smallest = int(str(error.value).rstrip(".").split()[-1])
    assert train_units("bpe", TEXTS, smallest).size == smallest


@pytest.mark.parametrize("size", [None, 0, -5, "100", 30.0, True])
def test_sizes_that_are_no_sizes(size):
    with pytest.raises(UserError, match="vocab_size is"):
        train_units("bpe", TEXTS, size)


def test_small_character_vocabularies_keep_the_frequent_ones():
    units = train_units("char", ["aaaa bbbb", "a z"], 5)
    assert sorted(units.pieces[2:]) == ["a", "b", "▁"]


def test_long_texts_are_not_skipped():
    assert "z" in train_units("char", ["ab ab", "a " * 5000 + "z"], None).pieces


def test_phoneme_inventory_is_sorted_and_round_trips():
    units = train_units("phoneme", PHONEMES, None)
    assert units.pieces == ["<blank>", "|", *sorted("k a b ŋ o m e tʃ u i".split())]
    for text in PHONEMES:
        assert units.decode(units.encode(text)) == text
    assert units.decode([0, *units.encode("k a"), 0]) == "k a"


def test_unknown_phoneme_is_named():
    with pytest.raises(UserError, match="'ɣ'"):
        train_units("phoneme", PHONEMES, None).encode("k ɣ a")


def test_as_many_phonemes_as_a_language_has():
    """!Xóõ has over a hundred."""
    assert train_units("phoneme", [" ".join(f"p{i}" for i in range(120))], None).size == 122


def test_no_text_and_unknown_kind():
    with pytest.raises(UserError, match="no training text"):
        train_units("char", ["", " "], None)
    with pytest.raises(UserError, match="'word'.*char, bpe"):
        train_units("word", TEXTS, None)


def test_folders_without_or_with_broken_units(tmp_path):
    with pytest.raises(UserError, match="units.json is missing"):
        load_units(tmp_path)
    train_units("bpe", TEXTS, 40, tmp_path)
    (tmp_path / "units.model").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="damaged"):
        load_units(tmp_path)
    train_units("bpe", TEXTS, 40, tmp_path)
    train_units("bpe", TEXTS, 36, tmp_path / "other")
    (tmp_path / "other" / "units.model").replace(tmp_path / "units.model")
    with pytest.raises(UserError, match="40 units.* has 36"):
        load_units(tmp_path)
    (tmp_path / "units.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match="damaged"):
        load_units(tmp_path)


def test_phonemes_of_a_saved_folder_are_readable(tmp_path):
    PhonemeUnits(["ŋ"]).save(tmp_path)
    assert "ŋ" in (tmp_path / "units.json").read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "size"), SENTENCEPIECE)
def test_transcribers_marks_are_units(kind, size, tmp_path):
    """Where the texts keep them: one unit each, written back as they stand."""
    texts = [f"<kelele> {text} <cheka>" for text in TEXTS]
    units = train_units(kind, texts, size and size + 2, tmp_path)
    ids = units.encode("wangu <cheka> mpira <kelele>")
    marks = [units.pieces.index(mark) for mark in ("<cheka>", "<kelele>")]
    assert [i for i in ids if i in marks] == marks and units.decode(ids) == "wangu <cheka> mpira <kelele>"
    assert load_units(tmp_path).pieces == units.pieces
    phones = train_units("phoneme", [phonemise("<kelele> ka ba", list)], None)
    assert "<kelele>" in phones.pieces
