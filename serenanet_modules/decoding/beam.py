"""CTC beam search on flashlight-text: open vocabulary or lexicon, with n-gram models.

How flashlight's decoders are used, where their conventions matter:

- Hypotheses are merged with log-add. A hypothesis is known by its labels and by whether it ends in
  blank, so a result's score sums all its alignments, ln p(labels), as in prefix beam search
  (Graves and Jaitly, 2014), up to what the beam dropped. `beam_size` counts both endings.
- The open-vocabulary decoder begins as if the silence label had just been seen, and would take that
  label in the first frame for a repetition: silence is set to blank.
- The lexicon decoder lets the last label of a spelling last one frame only, while silence may be
  repeated between words. So spellings end in the boundary label, which is also the silence label,
  and a frame that can only be the boundary is appended to the utterance. There is at least one
  boundary between two words; at either end of the utterance it is optional.
- Results hold one label more than there are frames at either end.
"""

import copy
import pickle
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, fields
from functools import cached_property, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from flashlight.lib.text.decoder import (
    CriterionType,
    LexiconDecoder,
    LexiconDecoderOptions,
    LexiconFreeDecoder,
    LexiconFreeDecoderOptions,
    ZeroLM,
)
from tqdm import tqdm

from serenanet_modules.decoding.decoder import Decoder, Hypothesis
from serenanet_modules.decoding.fusion import UnitLM, WordLM
from serenanet_modules.decoding.greedy import collapse
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.ngram import NGram
from serenanet_modules.errors import UserError

LOG_ZERO = -1e4  # stands for minus infinity, of which differences would be NaN


@dataclass
class BeamDecoder(Decoder):
    """CTC beam search; for one thread at a time.

    Parameters
    ----------
    units : object
        The units of the log-probabilities (`blank_id`, `size`, `pieces`, `boundary`, `decode`).
    lm : path, optional
        An n-gram model in ARPA format.
    lm_level : {"word", "unit"}
        Whether the model's words are words, or the units' pieces (open vocabulary only).
    lexicon : Lexicon, optional
        Restricts the search to these words; needs units with a boundary unit of their own.
    beam_size : int
        Hypotheses kept per frame.
    beam_size_token : int
        Best labels tried per frame.
    beam_threshold : float
        Hypotheses this much worse than the best are dropped.
    token_threshold : float
        Labels with a log-probability this much below the frame's best are not tried (open
        vocabulary only: a lexicon may need an unlikely label).
    lm_weight : float
        Weight of the model's natural-log probabilities.
    word_score : float
        Added for every word: positive values make for more, shorter words.
    unk_score : float
        Added to ln p(<unk>) for words that the model does not know.
    scoring : str
        Which of a network's log-probabilities are searched.

    Raises
    ------
    UserError
        For a model that cannot be read, or options that do not go together.
    """

    units: Any
    lm: str | Path | None = None
    lm_level: str = "word"
    lexicon: Lexicon | None = None
    beam_size: int = 32
    beam_size_token: int = 16
    beam_threshold: float = 25.0
    token_threshold: float = 8.0
    lm_weight: float = 0.5
    word_score: float = 0.0
    unk_score: float = -10.0
    scoring: str = "decoder"

    @property
    def name(self) -> str:
        """As of `Decoder`."""
        kind = "prefix" if self.lexicon is None else "lexicon"
        return f"{self.scoring}/{kind}-beam" + ("" if self.lm is None else "+lm")

    @property
    def writes_words(self) -> bool:
        """As of `Decoder`."""
        return self.lexicon is not None or super().writes_words

    def __post_init__(self):
        self._check()
        self._ngram = NGram(self.lm, self.unk_score) if self.lm is not None else None
        self._boundary = self._trie = None
        if self.lexicon is not None:
            self._boundary = self._boundary_unit()
            self._trie = self.lexicon.trie(self.units.size, self.units.blank_id, self._boundary, self._ngram)

    def __reduce__(self):
        # What flashlight holds cannot be pickled; another process builds its own.
        return BeamDecoder, tuple(getattr(self, option.name) for option in fields(self))

    def _check(self) -> None:
        if self.lm_level not in ("word", "unit"):
            raise UserError(f"Beam search: lm_level {self.lm_level!r} is neither word nor unit.")
        if self.lexicon is not None and self.lm_level == "unit":
            raise UserError("Beam search: a lexicon needs lm_level word; leave one of them out.")
        if not self.lm and self.lm_level == "unit":
            raise UserError("Beam search: lm_level unit needs an lm; give one or leave it at word.")
        for option in ("beam_size", "beam_size_token", "beam_threshold", "token_threshold"):
            if not getattr(self, option) > 0:
                raise UserError(f"Beam search: {option} {getattr(self, option)} must be positive.")

    def _boundary_unit(self) -> int:
        mark = self.units.boundary
        if [piece for piece in self.units.pieces if piece.startswith(mark)] != [mark]:
            raise UserError(
                "Beam search: a lexicon needs units with a word boundary of their own, "
                "as phonemes have; leave the lexicon out for these units."
            )
        return self.units.pieces.index(mark)

    def with_weights(self, lm_weight: float, word_score: float) -> "BeamDecoder":
        """The same decoder with other weights; the model and the lexicon are shared."""
        other = copy.copy(self)
        other.__dict__.pop("_search", None)
        other.lm_weight, other.word_score = lm_weight, word_score
        return other

    def decode(self, outputs, lengths) -> list[Hypothesis]:
        """As of `Decoder`."""
        batch, lengths = as_array(outputs.log_probs(self.scoring)), [int(length) for length in lengths]
        return [self.best(frames[:length]) for frames, length in zip(batch, lengths, strict=True)]

    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None) -> list[Hypothesis]:
        """As of `Decoder`."""
        if jobs < 1:
            raise UserError(f"Beam search: jobs {jobs} must be at least 1.")
        weights = (self.lm_weight, self.word_score)
        return list(decode_tasks(self, [(weights, as_array(row.log_probs)) for row in rows], jobs, title))

    def best(self, log_probs) -> Hypothesis:
        """The best hypothesis for one utterance, `log_probs` (T, V)."""
        return self.nbest(log_probs, 1)[0]

    def nbest(self, log_probs, n: int) -> list[Hypothesis]:
        """Up to `n` different hypotheses for one utterance, `log_probs` (T, V), best first."""
        emissions = self._emissions(as_array(log_probs))
        search, lm = self._search
        if isinstance(lm, UnitLM):
            results = _decode_by_frame(search, lm, emissions)
        else:
            results = search.decode(emissions.ctypes.data, *emissions.shape)
        return [self._hypothesis(result, len(log_probs)) for result in results[:n]]

    def _emissions(self, log_probs: np.ndarray) -> np.ndarray:
        """Contiguous (T, V): pruned labels, or with the lexicon's closing boundary frame."""
        size = self.units.size
        if log_probs.ndim != 2 or log_probs.shape[1] != size:
            raise ValueError(f"log_probs are {log_probs.shape}, not (T, {size}): other units?")
        if np.isnan(log_probs).any():
            raise ValueError("log_probs hold NaN")
        log_probs = np.maximum(log_probs, LOG_ZERO)
        if self._boundary is None:
            floor = log_probs.max(axis=1, keepdims=True) - self.token_threshold
            log_probs = np.where(log_probs < floor, np.float32(LOG_ZERO), log_probs)
        else:
            closing = np.full((1, size), LOG_ZERO, dtype=np.float32)
            closing[0, self._boundary] = 0.0
            log_probs = np.concatenate([log_probs, closing])
        return np.ascontiguousarray(log_probs)

    @cached_property
    def _search(self) -> tuple:
        """Flashlight's decoder, and the language model that must live as long as it."""
        shared = {
            "beam_size": self.beam_size,
            "beam_size_token": min(self.beam_size_token, self.units.size),
            "beam_threshold": self.beam_threshold,
            "sil_score": 0.0,
            "log_add": True,
            "criterion_type": CriterionType.CTC,
        }
        build = self._open_search if self._trie is None else self._lexicon_search
        return build(shared)

    def _open_search(self, shared: dict) -> tuple:
        lm = ZeroLM()
        if self._ngram or self.word_score:
            lm = UnitLM(
                self.units.spelling, self.units.boundary, self._ngram, self.lm_level,
                self.lm_weight, self.word_score,
            )  # fmt: skip
        options = LexiconFreeDecoderOptions(lm_weight=1.0, **shared)
        blank = self.units.blank_id
        return LexiconFreeDecoder(options, lm, blank, blank, []), lm

    def _lexicon_search(self, shared: dict) -> tuple:
        lm = WordLM(self.lexicon.words, self._ngram) if self._ngram else ZeroLM()
        options = LexiconDecoderOptions(
            lm_weight=self.lm_weight, word_score=self.word_score, unk_score=-np.inf, **shared
        )
        unknown = -1  # never proposed: its score is minus infinity
        search = LexiconDecoder(options, self._trie, lm, self._boundary, self.units.blank_id, unknown, [], False)
        return search, lm

    def _hypothesis(self, result, frames: int) -> Hypothesis:
        labels, _ = collapse(result.tokens[1 : frames + 1], self.units.blank_id)
        if self.lexicon is None:
            return Hypothesis(labels, self.units.decode(labels), score=result.score)
        words = [self.lexicon.words[word] for word in result.words if word >= 0]
        return Hypothesis(labels, " ".join(words), words, result.score)


def _decode_by_frame(search: LexiconFreeDecoder, lm: UnitLM, emissions: np.ndarray) -> list:
    """Decode with a model that is told which labels a frame allows, and need not score the others.

    Labels behind the last allowed one are not even shown to the decoder: it asks nothing about a
    frame that is surely blank. Python's part of the search becomes several times as fast.
    """
    search.decode_begin()
    for frame in emissions:
        allowed = np.flatnonzero(frame > LOG_ZERO).tolist()
        lm.allowed = frozenset(allowed)
        search.decode_step(frame.ctypes.data, 1, allowed[-1] + 1)
    search.decode_end()
    return search.get_all_final_hypothesis()


def decode_tasks(
    decoder: BeamDecoder,
    tasks: Sequence[tuple[tuple[float, float], np.ndarray]],
    jobs: int,
    title: str | None = None,
) -> Iterator[Hypothesis]:
    """Yield the hypothesis of each ((lm_weight, word_score), log_probs), in order.

    The processes are spawned, not forked: a fork of a process with running threads, as torch
    starts them, may hang.
    """
    bar = tqdm(total=len(tasks), desc=title, unit="utt", disable=title is None)
    with bar:
        if jobs == 1:
            for weights, log_probs in tasks:
                yield decoder.with_weights(*weights).best(log_probs)
                bar.update()
            return
        frozen = pickle.dumps(decoder)
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            chunk = max(1, min(16, len(tasks) // (4 * jobs)))
            work = ((frozen, *task) for task in tasks)
            for hypothesis in pool.map(_decode_task, work, chunksize=chunk):
                yield hypothesis
                bar.update()


def _decode_task(task: tuple[bytes, tuple[float, float], np.ndarray]) -> Hypothesis:
    frozen, weights, log_probs = task
    return _thaw(frozen).with_weights(*weights).best(log_probs)


@lru_cache(maxsize=1)
def _thaw(frozen: bytes) -> BeamDecoder:
    """Build a decoder once per worker process, not once per utterance."""
    return pickle.loads(frozen)


def as_array(values) -> np.ndarray:
    """A float32 array from an array or a tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu().float().numpy()
    return np.asarray(values, dtype=np.float32)
