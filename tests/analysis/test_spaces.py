"""Word errors that are only a space."""

import random

import pytest

from serenanet_modules.analysis.scoring import score
from serenanet_modules.analysis.spaces import SpaceErrors, respaced, space_errors

CASES = {  # reference, hypothesis -> (word errors, those that are only a space)
    "nothing wrong": ("watu wawili", "watu wawili", 0, 0),
    "joined": ("a watu wawili b", "a watuwawili b", 2, 2),
    "split": ("a wanakula b", "a wana kula b", 2, 2),
    "another place of the space": ("a wa nakula b", "a wana kula b", 2, 2),
    "a letter as well": ("a watu wawili b", "a watuwawil b", 2, 0),
    "beside another error": ("watu wawili kumi", "watuwawili kuni", 3, 2),
    "a word left out": ("watu wawili", "watu", 1, 0),
    "a word too many": ("watu", "wa watu", 1, 0),
    "nothing heard": ("watu", "", 1, 0),
    "nothing said": ("", "watu", 1, 0),
    "in the midst of words that are right": ("na na na ma", "na nana ma", 2, 2),
}


@pytest.mark.parametrize("case", CASES)
def test_by_hand(case):
    reference, hypothesis, errors, spaces = CASES[case]
    found = space_errors({"u": reference}, {"u": hypothesis})
    assert found == SpaceErrors(errors, spaces, len(reference.split()))


def test_sums_and_rates():
    texts = {name: pair for name, pair in enumerate((("a b", "ab"), ("c d", "c x")))}
    found = space_errors(*({name: pair[k] for name, pair in texts.items()} for k in (0, 1)))
    assert found == SpaceErrors(3, 2, 4) and (found.share, found.rate) == (2 / 3, 1 / 4)
    assert found + found == SpaceErrors(6, 4, 8)


def random_word(draw):
    return "".join(draw.choices("ab", k=draw.randint(1, 3)))


def test_random_texts():
    """Only spaces change; there are never more errors than before; other spaces alone are no errors."""
    draw = random.Random(1)
    for _ in range(300):
        reference, other = (" ".join(random_word(draw) for _ in range(draw.randint(1, 6))) for _ in range(2))
        letters = reference.replace(" ", "")
        moved = "".join(c + " " * (draw.random() < 0.4) for c in letters).strip()
        for hypothesis in (other, moved):
            written = respaced(reference, hypothesis)
            assert written.replace(" ", "") == hypothesis.replace(" ", "")
            found = space_errors({"u": reference}, {"u": hypothesis})
            assert 0 <= found.spaces <= found.errors == score([reference], [hypothesis]).total.errors
        assert respaced(reference, moved) == reference
