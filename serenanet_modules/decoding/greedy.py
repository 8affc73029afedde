"""Greedy CTC decoding: the best label of every frame, repeats merged, blanks dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the beam search's worker processes do without torch
    import torch


def collapse(path: Sequence[int], blank_id: int = 0) -> tuple[list[int], list[int]]:
    """Labels of a frame-by-frame CTC path, and the frame at which each one starts.

    Examples
    --------
    >>> collapse([0, 3, 3, 0, 3, 5])
    ([3, 3, 5], [1, 4, 5])
    """
    units, frames, previous = [], [], blank_id
    for frame, label in enumerate(path):
        if label not in (previous, blank_id):
            units.append(label)
            frames.append(frame)
        previous = label
    return units, frames


def greedy_with_frames(
    log_probs: torch.Tensor, lengths: torch.Tensor, blank_id: int = 0
) -> list[tuple[list[int], list[int]]]:
    """Greedy labels and the frame at which each one starts.

    Parameters
    ----------
    log_probs : Tensor, (B, T, V)
        Log-probabilities, or any scores with the same order.
    lengths : Tensor, (B,) int64
        Valid frames of each utterance; what follows is not read.
    blank_id : int
        The blank's label.

    Returns
    -------
    list of (units, frames)
        One pair of equally long lists per utterance.
    """
    paths = log_probs.argmax(dim=-1).tolist()
    pairs = zip(paths, lengths.tolist(), strict=True)
    return [collapse(path[:length], blank_id) for path, length in pairs]


def greedy(log_probs: torch.Tensor, lengths: torch.Tensor, blank_id: int = 0) -> list[list[int]]:
    """Greedy labels alone; parameters as in `greedy_with_frames`.

    Examples
    --------
    >>> import torch
    >>> log_probs = torch.eye(3)[[1, 1, 0, 1, 2]].log().unsqueeze(0)  # one-hot, (1, 5, 3)
    >>> greedy(log_probs, torch.tensor([4]))
    [[1, 1]]
    """
    return [units for units, _ in greedy_with_frames(log_probs, lengths, blank_id)]


@dataclass
class Run:
    """Neighbouring frames of one label: ``end`` is not included, ``total`` the sum of its posteriors."""

    unit: int
    start: int
    end: int
    total: float

    @property
    def confidence(self) -> float:
        """Mean posterior of the label, between 0 and 1."""
        return min(1.0, self.total / (self.end - self.start))


class GreedyStream:
    """Greedy decoding of an utterance whose frames come piece by piece.

    Parameters
    ----------
    blank_id : int
        The blank's label.

    Attributes
    ----------
    runs : list of Run
        The labels so far.
    frames : int
        Read so far.

    Examples
    --------
    >>> import torch
    >>> log_probs = torch.eye(3)[[1, 1, 0, 1, 2]].log()
    >>> stream = GreedyStream()
    >>> for piece in log_probs.split(1):
    ...     stream.add(piece)
    >>> [(run.unit, run.start, run.end, run.confidence) for run in stream.runs]
    [(1, 0, 2, 1.0), (1, 3, 4, 1.0), (2, 4, 5, 1.0)]
    """

    def __init__(self, blank_id: int = 0):
        self.blank_id = self._previous = blank_id
        self.runs: list[Run] = []
        self.frames = 0

    def add(self, log_probs: torch.Tensor) -> None:
        """Go on by the log-probabilities (T, V) of the next frames."""
        best, labels = log_probs.max(-1)
        for label, posterior in zip(labels.tolist(), best.exp().tolist(), strict=True):
            if label not in (self._previous, self.blank_id):
                self.runs.append(Run(label, self.frames, self.frames, 0.0))
            self.frames += 1
            if label != self.blank_id:
                self.runs[-1].end = self.frames
                self.runs[-1].total += posterior
            self._previous = label
