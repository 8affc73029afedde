"""Runs that do what they are told."""

import pytest

from tests.support.ablations import FakeRun


@pytest.fixture(name="run")
def _run(tmp_path):
    """``run(name, act="ok", needs=None) -> FakeRun`` in a folder of that name."""

    def make(name, act="ok", needs=None):
        return FakeRun(name, tmp_path / name, act, needs)

    return make
