"""Texts that rules of numbers and spaces could take for ever, or which they could change the second time."""

import pytest
from hypothesis import strategies as st

from serenanet_modules.data.text import normaliser
from tests.support.battery import all_hold

PARTS = st.sampled_from([*"70. %$'ŋ-٣½²e&\u00a0\u200dﬁİ", "1,", "st", "ng'"])
LONG = st.tuples(st.lists(PARTS, min_size=1, max_size=4), st.integers(1, 20_000), PARTS)


def a_rule(locale):
    """A text of a few parts, over and over, is normalised, and what comes of it stays as it is."""
    normalise = normaliser(locale)

    def check(case):
        parts, times, end = case
        found = normalise("".join(parts) * times + end)
        assert normalise(found) == found

    return check


@pytest.mark.parametrize("locale", ["sw", "en", "tr", "mdw"])
def test_long_texts(locale):
    all_hold("texts", LONG, a_rule(locale))


@pytest.mark.parametrize(("locale", "word"), [("sw", "saba"), ("en", "seven")])
def test_a_hundred_thousand_digits(locale, word):
    assert normaliser(locale)("kisu " + "7" * 100_000).split() == ["kisu"] + [word] * 100_000
