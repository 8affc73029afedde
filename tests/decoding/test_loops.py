"""Loops are found as soon as they are there, cut to one phrase, and ordinary speech has none."""

import random

import pytest

from serenanet_modules.decoding.loops import LEAST, LONGEST, TIMES, dense, loop, without_loop


@pytest.mark.parametrize("size", range(1, LONGEST + 1))
def test_a_phrase_of_any_length(size):
    """Found with the last label that makes it one, not before, and what was said before it stays."""
    phrase, before = list(range(100, 100 + size)), [1, 2, 3]
    said = before + phrase * (LEAST + TIMES)
    needed = len(before) + max(LEAST, size * TIMES)
    assert [bool(loop(said[:n])) for n in (needed - 1, needed)] == [False, True]
    assert loop(said[:needed]) == size
    assert without_loop(said[:needed]) == before + phrase


def test_what_is_no_loop():
    rng = random.Random(0)
    for _ in range(200):
        said = [rng.randrange(30) for _ in range(rng.randrange(60))]
        assert not loop(said) and without_loop(said) == said
    assert not loop([])
    assert not loop([1, 2, 3, 4] * 3 + [1, 2, 3])
    assert not loop([1] * 40 + [2])  # it has gone on


@pytest.mark.parametrize("first", [0x61, 0x905, 0xB85, 0xE01, 0x1000, 0x10D0, 0x1780, 0x4E00])
def test_text_of_any_script(first):
    """Words of letters of one block of Unicode, of which UTF-8 writes most with two alike bytes."""
    rng = random.Random(first)
    words = ["".join(chr(first + rng.randrange(24)) for _ in range(rng.randrange(2, 9))) for _ in range(60)]
    assert not dense(" ".join(words))
    assert dense(" ".join(words[:3] * 20))
