import pytest

from serenanet_modules.decoding.lexicon import MAX_HOMOPHONES, Lexicon
from serenanet_modules.errors import UserError
from tests.support.fake_units import phonemes


def test_words_and_spellings_have_one_order():
    lexicon = Lexicon({"b": [[2], [1, 2], [2]], "a": [[1]]})
    assert lexicon.words == ["a", "b"]
    assert lexicon.spellings == {"a": [(1,)], "b": [(1, 2), (2,)]}


def test_from_words_spells_with_the_g2p():
    assert Lexicon.from_words(["ab", "ba", "ab"], list, phonemes()).spellings == {
        "ab": [(1, 2)],
        "ba": [(2, 1)],
    }


@pytest.mark.parametrize("spellings", [{}, {"a": []}, {"a": [[1], []]}])
def test_unusable(spellings):
    with pytest.raises(UserError):
        Lexicon(spellings)


def test_trie_holds_spelling_and_boundary():
    trie = Lexicon({"a": [[1]], "ab": [[1, 2]]}).trie(4, 0, 3, None)
    assert trie.search([1, 3]).labels == [0]
    assert trie.search([1, 2, 3]).labels == [1]
    assert trie.search([1, 2]).labels == []
    assert trie.search([2]) is None


def test_dropped_homophones_are_named(caplog):
    words = [f"w{i}" for i in range(MAX_HOMOPHONES + 1)]
    trie = Lexicon({word: [[1]] for word in words}).trie(4, 0, 3, None)
    assert trie.search([1, 3]).labels == list(range(MAX_HOMOPHONES))
    assert words[-1] in caplog.text
