import pytest

from serenanet_modules.decoding.lexicon import Lexicon
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
