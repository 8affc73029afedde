"""Small models of every family, and each of their exports once a session."""

import os

import numpy as np
import pytest

from serenanet_modules.export.check import Eager
from serenanet_modules.export.command import export
from serenanet_modules.runs.recogniser import open_run
from tests.support.families import make_result, sounds

CONMAMBA = (("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "32"), ("encoder.kernel_size", "5"))
CHUNKED = (
    ("d_model", "32"),
    *(("encoder.outer.n_layers", "1"), ("encoder.outer.d_ffn", "32")),
    *(("encoder.inner.n_layers", "1"), ("encoder.inner.d_ffn", "32")),
)
FAMILIES = {
    "serenanet": (
        "serenanet/small",
        *(("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "32"), ("frontend.gate_size", "8")),
        *(("car.d_model", "16"), ("car.d_state", "4"), ("car.bidirectional", "true"), ("scoring", "average")),
    ),
    "conmamba": ("conmamba_ctc/small", *CONMAMBA),
    "conmamba2-causal": (
        "conmamba_ctc/small",
        *CONMAMBA,
        *(("encoder.causal", "true"), ("encoder.mixer", "mamba2")),
    ),
    "hmamba": ("hmamba/small", *CHUNKED, ("encoder.inner.mixer", "mamba2")),
    "hmamba-chunks": ("hmamba/small", *CHUNKED, ("encoder.read", "chunks"), ("encoder.chunking.max_gap", "3")),
    "hmamba-pooling": ("hmamba_pooling/small", *CHUNKED),
    "conformer-hybrid": (
        "conformer_s2s",
        *(("units", "char"), ("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.n_heads", "2")),
        *(("encoder.d_ffn", "32"), ("attention_decoder.n_layers", "1"), ("attention_decoder.n_heads", "2")),
    ),
}


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
