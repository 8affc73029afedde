"""Language models as flashlight-text's decoders want to ask them.

The decoders call `score` for every extension of every hypothesis in every frame, and tell
hypotheses apart by their language model state, one C++ object per history. `_TreeLM` therefore
keeps the tree of the histories met in an utterance, and computes each of its edges once.
"""

from collections.abc import Sequence
from math import inf
from typing import Any

from flashlight.lib.text.decoder import LM, LMState

from serenanet_modules.decoding.ngram import NGram

_END = -1  # the edge to the end of the sentence


class _TreeLM(LM):
    """A memoised flashlight LM; subclasses define `_root`, `_extend` and `_finish`.

    A state's context is what its history means to the subclass. The dictionaries hold on to the
    Python object of each state, so that the decoder's pointer always comes back as the same object.
    """

    def __init__(self):
        super().__init__()
        self._contexts: dict[LMState, Any] = {}
        # Kept apart from the contexts because few of the states made are ever extended.
        self._edges: dict[LMState, dict[int, tuple[LMState, float]]] = {}

    def start(self, start_with_nothing: bool) -> LMState:
        """Forget the last utterance and return the state of an empty history."""
        state = LMState()
        self._contexts = {state: self._root()}
        self._edges = {}
        return state

    def score(self, state: LMState, token: int) -> tuple[LMState, float]:
        """The state after `token`, and its score."""
        edges = self._edges.get(state)
        if edges is None:
            edges = self._edges[state] = {}
        edge = edges.get(token)
        if edge is None:
            child = state.child(token)
            self._contexts[child], score = self._extend(self._contexts[state], token)
            edge = edges[token] = (child, score)
        return edge

    def finish(self, state: LMState) -> tuple[LMState, float]:
        """The state after the sentence's end, and its score."""
        edges = self._edges.setdefault(state, {})
        if _END not in edges:
            edges[_END] = (state.child(_END), self._finish(self._contexts[state]))
        return edges[_END]


class UnitLM(_TreeLM):
    """Scores for units that spell words: the open-vocabulary beam search's model.

    A word is complete when the next piece begins with the boundary mark (``▁``, or the unit
    ``|``), or at the end. Its score is ``lm_weight * ln p + word_score``; with a unit-level model,
    every unit adds ``lm_weight * ln p`` and every word still ``word_score``. A context is (the
    n-gram model's state, the letters of the unfinished word).

    Parameters
    ----------
    pieces : sequence of str
        The string of each unit.
    boundary : str
        How a piece marks the beginning of a word.
    ngram : NGram or None
        Without it only ``word_score`` counts.
    level : {"word", "unit"}
        What the n-gram model's words are.

    Attributes
    ----------
    allowed : frozenset of int
        The units worth trying in the current frame; any other scores minus infinity.
    """

    def __init__(
        self,
        pieces: Sequence[str],
        boundary: str,
        ngram: NGram | None = None,
        level: str = "word",
        lm_weight: float = 1.0,
        word_score: float = 0.0,
    ):
        super().__init__()
        self._pieces = list(pieces)
        self._breaks = [piece.startswith(boundary) for piece in pieces]
        self._letters = [piece.removeprefix(boundary) for piece in pieces]
        self._ngram = ngram
        self._word_ngram = ngram if level == "word" else None
        self._unit_ngram = ngram if level == "unit" else None
        self._lm_weight = lm_weight
        self._word_score = word_score
        self.allowed = frozenset(range(len(self._pieces)))

    def score(self, state: LMState, unit: int) -> tuple[LMState, float]:
        """The state after `unit`, and its score."""
        if unit not in self.allowed:
            return state, -inf
        return super().score(state, unit)

    def _root(self) -> tuple[LMState | None, str]:
        return (self._ngram.start() if self._ngram else None), ""

    def _extend(self, context: tuple, unit: int) -> tuple[tuple, float]:
        history, word = context
        score = 0.0
        if self._unit_ngram:
            history, logprob = self._unit_ngram.score(history, self._pieces[unit])
            score += self._lm_weight * logprob
        if not self._breaks[unit]:
            return (history, word + self._letters[unit]), score
        history, word_score = self._complete(history, word)
        return (history, self._letters[unit]), score + word_score

    def _finish(self, context: tuple) -> float:
        history, score = self._complete(*context)
        return score + (self._lm_weight * self._ngram.finish(history) if self._ngram else 0.0)

    def _complete(self, history, word: str) -> tuple[LMState | None, float]:
        if not word:  # boundaries in a row, or at the beginning
            return history, 0.0
        if not self._word_ngram:
            return history, self._word_score
        history, logprob = self._word_ngram.score(history, word)
        return history, self._lm_weight * logprob + self._word_score


class WordLM(_TreeLM):
    """Natural-log probabilities of a lexicon's words; flashlight's options weigh them.

    A context is the n-gram model's state; a token indexes `words`.
    """

    def __init__(self, words: Sequence[str], ngram: NGram):
        super().__init__()
        self._words = words
        self._ngram = ngram

    def _root(self) -> LMState:
        return self._ngram.start()

    def _extend(self, history: LMState, token: int) -> tuple[LMState, float]:
        return self._ngram.score(history, self._words[token])

    def _finish(self, history: LMState) -> float:
        return self._ngram.finish(history)
