"""Beam search and scores of words in C++, built as the kernels of `ops` are; they give what the plain ones give."""

import ctypes
import functools
import logging
from pathlib import Path

import numpy as np

from serenanet_modules.decoding.histories import PlainHistories
from serenanet_modules.decoding.search import Found, PlainSearch
from serenanet_modules.ops import backends, cpp

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
_POINTER, _INTEGER, _NUMBER = ctypes.c_void_p, ctypes.c_int64, ctypes.c_double
_NGRAMS = {
    "begin": np.int64, "word": np.int32, "logprob": np.float64, "backoff": np.float64,
    "shorter": np.int32, "state": np.int32,
}  # fmt: skip
_WORDS = {
    "edges": np.int64, "symbol": np.int32, "endings": np.int64, "known": np.int32, "name": np.int32,
    "bonus": np.float64, "ahead": np.float64,
    "spelt": np.int64, "symbols": np.int32, "breaks": np.uint8,
}  # fmt: skip


class _NGramsStructure(ctypes.Structure):
    _fields_ = [*((name, _POINTER) for name in _NGRAMS), ("start", _INTEGER), ("end", _INTEGER)]


class _WordsStructure(ctypes.Structure):
    _fields_ = [
        *(("words", _NGramsStructure), ("letters", _NGramsStructure)),
        *((name, _POINTER) for name in _WORDS),
        *((name, _INTEGER) for name in ("nodes", "blank", "boundary", "has_ngrams")),
        *((name, _NUMBER) for name in ("lm_weight", "word_score")),
    ]


class _LimitsStructure(ctypes.Structure):
    _fields_ = [
        *((name, _INTEGER) for name in ("hypotheses", "labels", "held")),
        *((name, _NUMBER) for name in ("hypothesis_threshold", "label_threshold")),
    ]


class _CompiledWords:
    """`Words` as the C++ file reads them."""

    def __init__(self, words):
        self._arrays, tree = [], words.tree  # kept alive for as long as the structure points to them
        arrays = {
            "edges": tree.edges, "symbol": tree.symbol, "endings": tree.endings, "known": words.ending_known,
            "name": tree.ending_word, "bonus": words.bonus,
            "ahead": words.ahead, "spelt": np.cumsum([0, *map(len, words.spelt)]),
            "symbols": [symbol for symbols in words.spelt for symbol in symbols], "breaks": words.breaks,
        }  # fmt: skip
        self._structure = _WordsStructure(
            self._ngrams(words.ngram),
            self._ngrams(words.letters),
            *(self._address(arrays[name], kind) for name, kind in _WORDS.items()),
            *(len(tree.edges) - 1, words.units.blank_id, words.boundary, words.has_ngram),
            *(words.lm_weight, words.word_score),
        )
        self.reference = ctypes.byref(self._structure)

    def _ngrams(self, ngram):
        addresses = (self._address(getattr(ngram, name), kind) for name, kind in _NGRAMS.items())
        return _NGramsStructure(*addresses, ngram.first, ngram.end)

    def _address(self, values, kind):
        self._arrays.append(np.ascontiguousarray(values, kind))
        return self._arrays[-1].ctypes.data


class CompiledSearch:
    """As `PlainSearch`; several threads may call it at once."""

    def __init__(self, words, limits):
        self._words, self._limits = _CompiledWords(words), _LimitsStructure(**limits._asdict())

    def __call__(self, log_probs, wanted):
        """As of `PlainSearch`."""
        log_probs = np.ascontiguousarray(log_probs, np.float32)
        (frames, units), room = log_probs.shape, len(log_probs) + 1
        wanted = min(wanted, self._limits.hypotheses)
        scores, counts = np.zeros(wanted), np.zeros((2, wanted), np.int64)
        labels, names = np.zeros((2, wanted, room), np.int32)
        found = library().serena_search(
            self._words.reference, ctypes.byref(self._limits), log_probs.ctypes.data, frames, units, wanted,
            *(array.ctypes.data for array in (scores, labels, counts[0], names, counts[1])),
        )  # fmt: skip
        return [
            Found(float(scores[i]), labels[i, : counts[0, i]].tolist(), names[i, : counts[1, i]].tolist())
            for i in range(found)
        ]


class CompiledHistories:
    """As `PlainHistories`; a state is an array (n, bytes)."""

    def __init__(self, words):
        self._words = _CompiledWords(words)
        self._first = np.zeros(library().serena_start(self._words.reference, None), np.uint8)
        library().serena_start(self._words.reference, self._first.ctypes.data)

    def start(self, n):
        """As of `PlainHistories`."""
        return np.tile(self._first, (n, 1))

    def step(self, units, state):
        """As of `PlainHistories`."""
        units, state, scores = units.astype(np.int32), state.copy(), np.zeros((2, len(units)))
        library().serena_continue(
            self._words.reference,
            len(units),
            units.ctypes.data,
            state.ctypes.data,
            *(row.ctypes.data for row in scores),
        )
        return scores, state

    @staticmethod
    def reorder(state, hypotheses):
        """As of `PlainHistories`."""
        return state[hypotheses]


def search_of(words, limits):
    """The compiled search or, where there is none or plain PyTorch is asked for in place of kernels, the plain one."""
    return (PlainSearch if plain() else CompiledSearch)(words, limits)


def histories_of(words):
    """The compiled histories, or the plain ones, as `search_of`."""
    return (PlainHistories if plain() else CompiledHistories)(words)


def plain():
    """Whether Python takes the place of the compiled parts: there are none, or plain PyTorch is asked for."""
    return backends.requested(None) == "torch" or why_not() is not None


@functools.cache
def why_not():
    """None where the compiled search can run, else the reason; the first call builds it if the cache has none."""
    try:
        library()
    except cpp.CompileError as error:
        logger.warning("The compiled beam search cannot be used, but a slower one in Python: %s", error)
        return str(error)
    return None


@functools.cache
def library():
    """The compiled parts; `CompileError` where they cannot be built."""
    library = cpp.load(FOLDER)
    types = {
        "serena_search": (_INTEGER, [*[_POINTER] * 3, *[_INTEGER] * 3, *[_POINTER] * 5]),
        "serena_start": (_INTEGER, [_POINTER] * 2),
        "serena_continue": (None, [_POINTER, _INTEGER, *[_POINTER] * 4]),
        "serena_prefix_extend": (None, [_POINTER, _INTEGER, *[_POINTER] * 4]),
        "serena_prefix_advance": (None, [_POINTER, *[_INTEGER] * 2, *[_POINTER] * 7]),
    }
    for name, (result, arguments) in types.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
