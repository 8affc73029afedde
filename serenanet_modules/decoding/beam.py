"""CTC beam search as a `Decoder`: open vocabulary or lexicon, with n-gram models."""

import copy
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.cpp import search_of
from serenanet_modules.decoding.decoder import SPARE, Decoder, Hypothesis, different
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.search import Limits
from serenanet_modules.decoding.words import Words, usual_weights
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.bars import Bar

THRESHOLD = 12.0  # `benchmarks/decoding.py --curve` measures it, and that of labels
LOG_ZERO = -1e4  # stands for minus infinity, of which differences would be NaN


@dataclass
class BeamDecoder(Decoder):
    """CTC beam search.

    Parameters
    ----------
    units : object
        The units of the log-probabilities (`blank_id`, `size`, `pieces`, `boundary`, `decode`).
    lm : path or NGram, optional
        An n-gram model of words, or its ARPA file.
    lexicon : Lexicon, optional
        Restricts the search to these words; needs units with a boundary unit of their own.
    beam_size : int
        Hypotheses kept per frame.
    beam_size_token : int
        Best labels tried per frame.
    beam_threshold : float, optional
        Hypotheses this much worse than the best are dropped; by default 12, with a lexicon 25.
    token_threshold : float
        Labels with a log-probability this much below the frame's best are not tried (open
        vocabulary only: a lexicon may need an unlikely label).
    lm_weight : float, optional
        Weight of the model's natural-log probabilities; by default that and the next are `words.usual_weights`.
    word_score : float, optional
        Added for every word that the model knows: positive values make for more, shorter words.
    scoring : str
        Which of a network's log-probabilities are searched.
    hotwords : dict of str to float, optional
        Words that are expected, and what each scores more.
    jobs : int
        Threads that search the utterances of a batch.

    Raises
    ------
    UserError
        For a model that cannot be read, or options that do not go together.
    """

    units: Any
    lm: str | Path | NGram | None = None
    lexicon: Lexicon | None = None
    beam_size: int = 32
    beam_size_token: int = 16
    beam_threshold: float | None = None
    token_threshold: float = 10.0
    lm_weight: float | None = None
    word_score: float | None = None
    scoring: str = "decoder"
    hotwords: dict[str, float] | None = None
    jobs: int = 1

    @property
    def name(self) -> str:
        """As of `Decoder`."""
        kind = "prefix" if self.lexicon is None else "lexicon"
        lm, hotwords = "" if self.lm is None else "+lm", "+hotwords" if self.hotwords else ""
        return f"{self.scoring}/{kind}-beam{lm}{hotwords}"

    @property
    def writes_words(self) -> bool:
        """As of `Decoder`."""
        return self.lexicon is not None or super().writes_words

    def __post_init__(self):
        if self.beam_threshold is None:
            self.beam_threshold = THRESHOLD if self.lexicon is None else 25.0
        self._check()
        ngram = self.lm if self.lm is None or isinstance(self.lm, NGram) else NGram(self.lm)
        self.usual = {"lm_weight": 0.0, "word_score": 0.0} if ngram is None else usual_weights(ngram)
        for name, weight in self.usual.items():
            setattr(self, name, weight if getattr(self, name) is None else getattr(self, name))
        self._words = Words(self.units, ngram, self.lexicon, self.lm_weight, self.word_score, self.hotwords)

    def _check(self) -> None:
        for option in ("beam_size", "beam_size_token", "beam_threshold", "token_threshold"):
            if not getattr(self, option) > 0:
                raise UserError(f"Beam search: {option} {getattr(self, option)} must be positive.")
        mark = self.units.boundary
        if self.lexicon and [piece for piece in self.units.pieces if piece.startswith(mark)] != [mark]:
            raise UserError(
                "Beam search: a lexicon needs units with a word boundary of their own, "
                "as phonemes have; leave the lexicon out for these units."
            )

    def with_weights(self, lm_weight: float, word_score: float) -> "BeamDecoder":
        """The same decoder with other weights; the model and the lexicon are shared."""
        other = copy.copy(self)
        other.__dict__.pop("_search", None)
        other.lm_weight, other.word_score = lm_weight, word_score
        other._words = self._words.with_weights(lm_weight, word_score)
        return other

    def decode(self, outputs, lengths) -> list[Hypothesis]:
        """As of `Decoder`."""
        return [found[0] for found in self.listed(outputs, lengths, 1)]

    def listed(self, outputs, lengths, n) -> list[list[Hypothesis]]:
        """As of `Decoder`."""
        batch, lengths = as_array(outputs.log_probs(self.scoring)), [int(length) for length in lengths]
        rows = [frames[:length] for frames, length in zip(batch, lengths, strict=True)]
        return [different(found, n) for found in self._searched(rows, SPARE * n, self.jobs)]

    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None) -> list[Hypothesis]:
        """As of `Decoder`."""
        with Bar(total=len(rows), desc=title, unit="utt", disable=title is None) as bar:
            return self.decode_all([as_array(row.log_probs) for row in rows], jobs, bar)

    def decode_all(self, utterances: Sequence[np.ndarray], jobs: int, bar: Bar) -> list[Hypothesis]:
        """The best hypothesis of each utterance (T, V), in order, found by ``jobs`` threads."""
        found = []
        for hypotheses in self._searched(utterances, 1, jobs):
            found += hypotheses
            bar.update()
        return found

    def _searched(self, utterances, n, jobs):
        """Yield the n-best list of each utterance, in order."""
        if jobs < 1:
            raise UserError(f"Beam search: jobs {jobs} must be at least 1.")
        search = self._search  # made here, not by several threads
        if jobs == 1:
            yield from (self._nbest(search, log_probs, n) for log_probs in utterances)
            return
        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(lambda log_probs: self._nbest(search, log_probs, n), utterances)

    def best(self, log_probs) -> Hypothesis:
        """The best hypothesis for one utterance, `log_probs` (T, V)."""
        return self.nbest(log_probs, 1)[0]

    def nbest(self, log_probs, n: int) -> list[Hypothesis]:
        """Up to `n` different hypotheses for one utterance, `log_probs` (T, V), best first."""
        return self._nbest(self._search, log_probs, n)

    @cached_property
    def _search(self):
        threshold = self.token_threshold if self.lexicon is None else np.inf
        return search_of(self._words, Limits(self.beam_size, self.beam_size_token, self.beam_threshold, threshold))

    def _nbest(self, search, log_probs, n):
        log_probs, size = as_array(log_probs), self.units.size
        if log_probs.ndim != 2 or log_probs.shape[1] != size:
            raise ValueError(f"log_probs are {log_probs.shape}, not (T, {size}): other units?")
        if np.isnan(log_probs).any():
            raise ValueError("log_probs hold NaN")
        return [self._hypothesis(found) for found in search(np.maximum(log_probs, np.float32(LOG_ZERO)), n)]

    def _hypothesis(self, found) -> Hypothesis:
        if self.lexicon is None:
            return Hypothesis(found.labels, self.units.decode(found.labels), score=found.score)
        words = [self.lexicon.words[word] for word in found.words]
        return Hypothesis(found.labels, " ".join(words), words, found.score)


def as_array(values) -> np.ndarray:
    """A float32 array from an array or a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype=np.float32)
