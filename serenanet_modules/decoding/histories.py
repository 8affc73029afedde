"""Words of many hypotheses at once, label by label, in plain Python; `cpp` does the same in C++."""

import numpy as np


class PlainHistories:
    """Where hypotheses stand among `Words`.

    Parameters
    ----------
    words : Words
    """

    def __init__(self, words):
        self.words = words

    def start(self, n):
        """The state of n hypotheses without labels."""
        return [self.words.start()] * n

    def step(self, units, state):
        """Continue each hypothesis by a unit.

        Parameters
        ----------
        units : numpy.ndarray
            (n,) int64; below 0, a hypothesis stays as it is.
        state : object

        Returns
        -------
        numpy.ndarray
            (2, n): what the words of each score more where the unfinished one is over, and where the sentence ends.
        object
            The next state.
        """
        words = self.words
        state = [
            history if unit < 0 else words.extend(history, unit)
            for history, unit in zip(state, units.tolist(), strict=True)
        ]
        scores = np.zeros((2, len(state)))
        for i, history in enumerate(state):
            over = words.completed(history)
            scores[:, i] = over[0] - history.base, words.ended(*over) - history.base
        return scores, state

    @staticmethod
    def reorder(state, hypotheses):
        """The state of other hypotheses, (n',) int64."""
        return [state[i] for i in hypotheses.tolist()]
