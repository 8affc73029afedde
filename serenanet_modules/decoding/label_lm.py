"""Language models as the attention beam search asks them: scores of every next label, for all hypotheses at once.

A model has ``start(n) -> state``, ``step(labels (n,), state) -> (scores (n, V), state)`` beginning with the border 0,
whose column is the score of ending, and ``reorder(state, hypotheses)``. Scores hold the weights:
``lm_weight * ln p + word_score * words``.
"""

import torch

from serenanet_modules.decoding.cpp import histories_of
from serenanet_modules.decoding.words import Words

BORDER = 0


class WordNGram:
    """A word n-gram model over units that spell words.

    A word is scored when the next one begins, or at the end. So all units that begin a word have one score, and the
    others none: a hypothesis needs two queries, whatever the number of units.

    Parameters
    ----------
    units : Units
    ngram : NGram or None
        Without it only ``word_score`` counts.
    lm_weight, word_score : float
    """

    def __init__(self, units, ngram, lm_weight, word_score):
        words = Words(units, ngram, None, lm_weight, word_score)
        self._histories, self._begins = histories_of(words), torch.tensor(words.breaks)

    def start(self, n):
        """Empty histories."""
        return self._histories.start(n)

    def step(self, labels, state):
        """Continue each history by a label."""
        units = labels.masked_fill(labels == BORDER, -1).cpu().numpy()
        scores, state = self._histories.step(units, state)
        completed, ended = torch.from_numpy(scores)
        scores = torch.where(self._begins, completed.unsqueeze(1), 0.0)
        scores[:, BORDER] = ended
        return scores.to(labels.device), state

    def reorder(self, state, hypotheses):
        """The histories of other hypotheses."""
        return self._histories.reorder(state, hypotheses.cpu().numpy())


class NeuralLM:
    """A `LabelLM` of the same units.

    Parameters
    ----------
    units : Units
    model : LabelLM
        In evaluation mode.
    lm_weight : float
    word_score : float
        Added for each unit that begins a word.
    """

    def __init__(self, units, model, lm_weight, word_score):
        self._model, self._weight = model, lm_weight
        begins = [i != BORDER and piece.startswith(units.boundary) for i, piece in enumerate(units.pieces)]
        self._bonus = word_score * torch.tensor(begins, dtype=torch.float32)

    def start(self, n):
        """Empty histories."""
        return self._model.init_state(n)

    def step(self, labels, state):
        """Continue each history by a label."""
        logits, state = self._model.step(labels, state)
        return self._weight * logits.float().log_softmax(-1) + self._bonus.to(logits.device), state

    def reorder(self, state, hypotheses):
        """The states of other hypotheses."""
        return self._model.reorder(state, hypotheses)
