"""Language model weight and word score, chosen on development data."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan

from serenanet_modules.decoding.beam import BeamDecoder, as_array
from serenanet_modules.runtime.bars import Bar

LM_WEIGHTS, WORD_SCORES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5), (0.0, 1.5, 3.0, 4.5)  # tried on dev, all pairs
JOINT_LM_WEIGHTS, JOINT_WORD_SCORES = (0.1, 0.2, 0.4, 0.6, 0.9), (0.0, 1.0, 2.0, 3.0)  # tried in turn


@dataclass(frozen=True)
class Tuning:
    """The best weights, their score, and every (lm_weight, word_score, score) tried."""

    lm_weight: float
    word_score: float
    score: float
    trials: tuple[tuple[float, float, float], ...]


def tune(
    decoder: BeamDecoder,
    log_probs: Sequence,
    score: Callable[[list[str]], float],
    lm_weights: Sequence[float] = LM_WEIGHTS,
    word_scores: Sequence[float] = WORD_SCORES,
    jobs: int = 1,
    title: str | None = None,
) -> Tuning:
    """Search the grid ``lm_weights`` × ``word_scores``; for development data, never for test data.

    Parameters
    ----------
    decoder : BeamDecoder
        Its own weights are not used.
    log_probs : sequence of (T, V)
        The log-probabilities of each utterance, computed once.
    score : callable
        From the texts, in the order of `log_probs`, to a number to be minimised, such as WER.
    lm_weights, word_scores : sequences of float
        The values tried. Of equally good pairs the first in this order wins, so list
        the mildest values first.
    jobs : int
        Threads.
    title : str, optional
        Of a progress bar.

    Returns
    -------
    Tuning
        Use it as ``decoder.with_weights(tuning.lm_weight, tuning.word_score)``.
    """
    grid = list(itertools.product(lm_weights, word_scores))
    utterances, trials = [as_array(utterance) for utterance in log_probs], []
    with Bar(total=len(grid) * len(utterances), desc=title, unit="utt", disable=title is None) as bar:
        for weights in grid:
            found = decoder.with_weights(*weights).decode_all(utterances, jobs, bar)
            trials.append((*weights, score([hypothesis.text for hypothesis in found])))
    best = min(trials, key=lambda trial: trial[2])
    return Tuning(*best, trials=tuple(trials))


def tune_search(search, rows, grid, error, batch_seconds, title=None):
    """`tune_in_turn` for the weights of a search.

    Parameters
    ----------
    search : Decoder
    rows : list of Row
        What was heard in development data.
    grid : dict of str to sequence of float
        As of `tune_in_turn`.
    error : callable
        From the texts, in the order of `rows`, to a number to be minimised.
    batch_seconds : float
        As of `Decoder.decode_rows`.
    title : str, optional
        Of a progress bar.

    Returns
    -------
    dict of str to float
        The best weights.
    """

    def error_of(weights):
        found = search.with_weights(**weights).decode_rows(rows, batch_seconds)
        return error([hypothesis.text for hypothesis in found])

    trials = 1 + sum(len(values) - 1 for values in grid.values())
    with Bar(total=trials, desc=title, disable=title is None or trials == 1) as bar:
        return tune_in_turn(grid, error_of, bar.update)[0]


def tune_in_turn(grid, error, progress=lambda: None):
    """Choose one weight after the other, those behind at their first value: for searches too slow for a whole grid.

    Parameters
    ----------
    grid : dict of str to sequence of float
        Values by weight, the mildest first: of equally good ones the first wins.
    error : callable
        From a dict of weights to a number to be minimised, such as the WER of development data.
    progress : callable
        Called after every trial.

    Returns
    -------
    (dict of str to float, float)
        The weights, and their error; not a number where there was nothing to choose.

    Examples
    --------
    >>> tune_in_turn({"a": (0, 1, 2), "b": (0, 5)}, lambda w: (w["a"] - 1) ** 2 + w["b"])
    ({'a': 1, 'b': 0}, 0)
    """
    chosen = {name: values[0] for name, values in grid.items()}
    if all(len(values) == 1 for values in grid.values()):
        return chosen, nan
    best = error(chosen)
    progress()
    for name, values in grid.items():
        for value in values[1:]:
            found = error(chosen | {name: value})
            progress()
            if found < best:
                best, chosen = found, chosen | {name: value}
    return chosen, best
