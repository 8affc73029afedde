"""Small models of every family, and each of their exports once a session."""

import os

import numpy as np
import pytest

from serenanet_modules.export.check import Eager
from serenanet_modules.export.command import export
from serenanet_modules.runs.opening import open_run
from tests.support.families import FAMILIES, make_result, sounds


class Exports:
    """Result folders and exported files by family, made when first asked for."""

    def __init__(self, folder):
        self._folder, self._opened, self._files = folder, {}, {}

    def folder(self, family):
        """The result folder."""
        return self.opened(family) and self._folder / family

    def opened(self, family):
        """The model itself, opened."""
        if family not in self._opened:
            make_result(self._folder / family, *FAMILIES[family])
            self._opened[family] = open_run(self._folder / family, "cpu")
        return self._opened[family]

    def eager(self, family):
        """The model as a function of arrays."""
        return Eager(self.opened(family))

    def file(self, family, to):
        """The exported file, of some with a copy in 8 bits; what was said is in `lines`."""
        if (family, to) not in self._files:
            folder, lines = self.folder(family), []
            small = to == "sherpa" or (family, to) == ("conformer-hybrid", "onnx")
            paths = export(folder, to, int8=small, say=lines.append)
            self._files[family, to] = paths[0], lines
        return self._files[family, to][0]

    def lines(self, family, to):
        """What the export said."""
        self.file(family, to)
        return self._files[family, to][1]


@pytest.fixture(scope="session")
def exports(tmp_path_factory):
    before = os.environ.get("SERENANET_OPS_BACKEND")
    made = Exports(tmp_path_factory.mktemp("exports"))
    yield made
    assert os.environ.get("SERENANET_OPS_BACKEND") == before  # what an export sets, it takes back


@pytest.fixture
def speech():
    """A ragged batch of lengths that no export was traced with: audio (3, S), lengths (3,)."""
    return sounds(3, 42000), np.array([20011, 41234, 801])
