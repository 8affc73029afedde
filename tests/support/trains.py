"""Marks each test that trains: what it is made of comes from a module that starts runs."""

import pytest

from tests.support.folders import make_corpus_and_result
from tests.support.tiny import Run

STARTERS = (Run, make_corpus_and_result)


def pytest_collection_modifyitems(items):
    for item in items:
        if isinstance(item, pytest.Function) and any(_starts_runs(function) for function in _made_of(item)):
            item.add_marker("trains")


def _made_of(item):
    """The test's function and those of its fixtures."""
    fixtures = item._fixtureinfo.name2fixturedefs.values()
    return [item.function, *(fixture.func for definitions in fixtures for fixture in definitions)]


def _starts_runs(function):
    names = getattr(function, "__globals__", {})
    return any(names.get(starter.__name__) is starter for starter in STARTERS)
