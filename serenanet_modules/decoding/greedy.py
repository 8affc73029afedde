"""Greedy CTC decoding: the best label of every frame, repeats merged, blanks dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from serenanet_modules.decoding.decoder import Decoder, Hypothesis

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


@dataclass(frozen=True)
class Greedy(Decoder):
    """Greedy decoding as a `Decoder`, of the log-probabilities that ``scoring`` names."""

    units: Any
    scoring: str = "decoder"

    @property
    def name(self) -> str:
        """As of `Decoder`."""
        return f"{self.scoring}/greedy"

    def decode(self, outputs, lengths) -> list[Hypothesis]:
        """As of `Decoder`."""
        found = greedy(outputs.log_probs(self.scoring), lengths, self.units.blank_id)
        return [Hypothesis(labels, self.units.decode(labels)) for labels in found]

    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None) -> list[Hypothesis]:
        """As of `Decoder`."""
        paths = (row.log_probs.argmax(-1).tolist() for row in rows)
        found = (collapse(path, self.units.blank_id)[0] for path in paths)
        return [Hypothesis(labels, self.units.decode(labels)) for labels in found]

    def stream(self) -> GreedyStream:
        """The same of an utterance whose frames come piece by piece."""
        return GreedyStream(self.units, self.scoring)


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

    @property
    def lost(self) -> float:
        """Nats by which the best path is likelier: as of `spans.Span`."""
        return 0.0


class GreedyStream:
    """Greedy decoding of an utterance whose frames come piece by piece.

    Parameters
    ----------
    units : Units
    scoring : str

    Attributes
    ----------
    runs : list of Run
        The labels so far.
    frames : int
        Read so far.
    hypothesis : Hypothesis
        Of what was read so far.
    """

    def __init__(self, units: Any, scoring: str = "decoder"):
        self.units, self.scoring = units, scoring
        self._previous = units.blank_id
        self.runs: list[Run] = []
        self.frames = 0
        self.hypothesis = Hypothesis([], "")

    def add(self, outputs) -> None:
        """Go on by a network's outputs of the next frames, of one utterance."""
        best, labels = outputs.log_probs(self.scoring)[0].max(-1)
        for label, posterior in zip(labels.tolist(), best.exp().tolist(), strict=True):
            if label not in (self._previous, self.units.blank_id):
                self.runs.append(Run(label, self.frames, self.frames, 0.0))
            self.frames += 1
            if label != self.units.blank_id:
                self.runs[-1].end = self.frames
                self.runs[-1].total += posterior
            self._previous = label
        if len(self.runs) > len(self.hypothesis.labels):
            said = [run.unit for run in self.runs]
            self.hypothesis = Hypothesis(said, self.units.decode(said))
