"""Values of every option of every command: taken within bounds, or refused in one sentence; an empty one is none."""

import argparse
import functools
import math

import pytest
from hypothesis import strategies as st

from serenanet_modules import cli
from serenanet_modules.cli import values
from serenanet_modules.errors import UserError
from tests.support.battery import all_hold, is_found
from tests.support.refusals import sentence

WILD = st.one_of(
    st.sampled_from(
        [
            "",
            "nan",
            "inf",
            "-inf",
            "1e400",
            "-1",
            "0",
            "1e-300",
            "²",
            "٣",
            "\0",
            "\udcff",
            "a" * 300,
            "--x",
            "-",
            "a\nb",
        ]
    ),
    st.integers(1, 6000).map("9".__mul__),
    st.floats().map(repr),
    st.text(st.characters(), max_size=20),
)


@functools.cache
def options():
    """(parser of a command, one of its options that takes a value)."""
    (parsers,) = [action.choices for action in cli._parser()._actions if hasattr(action.choices, "values")]
    return [
        (parser, action)
        for parser in parsers.values()
        for action in parser._actions
        if action.option_strings and action.nargs != 0
    ]


OPTIONS = st.tuples(st.integers(0, 10**6), WILD)


def within_bounds(case):
    """What is let pass is no empty word, and as a number finite and no larger than any option takes."""
    number, text = case
    parser, action = options()[number % len(options())]
    try:
        value = parser._get_value(action, text)
    except (argparse.ArgumentError, UserError) as error:
        sentence(argparse.ArgumentTypeError(repr(str(error))))
        return
    assert text and not (action.dest in ("out", "plot") and (text == "-" or not text.isprintable() and "\n" in text))
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, (int, float)) and action.dest not in ("port", "max_upload"):
            assert math.isfinite(one) and abs(one) <= values.LARGEST


def test_values():
    all_hold("values of options", OPTIONS, within_bounds)


@pytest.mark.parametrize(
    ("place", "name", "fault"),
    [
        (values, "_whole", lambda text, least, otherwise: int(text)),
        (cli._Parser, "_get_value", argparse.ArgumentParser._get_value),
    ],
    ids=["no bounds", "empty"],
)
def test_planted_faults(monkeypatch, place, name, fault):
    monkeypatch.setattr(place, name, fault)
    assert is_found(OPTIONS, within_bounds)
