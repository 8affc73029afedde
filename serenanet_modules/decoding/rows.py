"""Outputs of a network kept for searches to come, utterance by utterance, on the CPU."""

from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.runtime.bars import Bar


class Row(NamedTuple):
    """What decoders read of one utterance."""

    seconds: float
    log_probs: torch.Tensor | None  # (T, V) of one scoring, where the model has one
    hidden: torch.Tensor | None  # encoder output (T, d_model), where a label decoder reads it

    @property
    def frames(self):
        """How many there are."""
        return len(self.hidden if self.log_probs is None else self.log_probs)


class Outputs(NamedTuple):
    """A batch of rows, which a decoder reads as it reads a network's output."""

    by_scoring: dict[str, torch.Tensor | None]  # log-probabilities (B, T, V)
    hidden: torch.Tensor | None = None  # (B, T, d_model)

    def log_probs(self, scoring):
        """Log-probabilities by source."""
        return self.by_scoring[scoring]


def rows_of(output, scoring, seconds, with_hidden=False):
    """Take a network's output apart.

    Parameters
    ----------
    output : CTCOutput
    scoring : str
    seconds : iterable of float
        Durations of the utterances.
    with_hidden : bool
        Whether a label decoder will read them.

    Returns
    -------
    list of Row
    """
    parts = output.log_probs(scoring), output.hidden if with_hidden else None
    parts = [None if part is None else part.float().cpu() for part in parts]
    return [
        Row(duration, *(None if part is None else part[i, :n].clone() for part in parts))
        for i, (n, duration) in enumerate(zip(output.lengths.tolist(), seconds, strict=True))
    ]


def decode_in_batches(decode, rows, scoring, device, batch_seconds, title=None):
    """Hypotheses of rows, in order, by a function that decodes a batch; one holds rows of about equal length.

    Parameters
    ----------
    decode : callable
        ``(Outputs, lengths) -> [Hypothesis]``.
    rows : list of Row
    scoring : str
        Of their log-probabilities.
    device : torch.device
    batch_seconds : float
        Most seconds of padded audio in a batch.
    title : str, optional
        Of a progress bar.
    """
    found = [None] * len(rows)
    plans = BatchSampler([row.seconds for row in rows], batch_seconds, shuffle=False)
    for plan in Bar(plans, desc=title, disable=title is None):
        chosen = [rows[i] for i in plan.indices]
        lengths = torch.tensor([row.frames for row in chosen], device=device)
        log_probs, hidden = (_together([row[k] for row in chosen], device) for k in (1, 2))
        for i, hypothesis in zip(plan.indices, decode(Outputs({scoring: log_probs}, hidden), lengths), strict=True):
            found[i] = hypothesis
    return found


def _together(parts, device):
    """(T, F) each -> (B, T, F); None of what is not there."""
    return None if parts[0] is None else pad_sequence(parts, batch_first=True).to(device)
