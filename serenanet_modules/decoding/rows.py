"""Outputs of a network kept for searches to come, utterance by utterance, on the CPU."""

from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from serenanet_modules.data.batching import BatchSampler


class Row(NamedTuple):
    """What decoders read of one utterance."""

    seconds: float
    log_probs: torch.Tensor  # (T, V) of one scoring
    hidden: torch.Tensor | None  # encoder output (T, d_model), where a label decoder reads it


class Outputs(NamedTuple):
    """A batch of rows, which a decoder reads as it reads a network's output."""

    by_scoring: dict[str, torch.Tensor]  # log-probabilities (B, T, V)
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
    log_probs = output.log_probs(scoring).float().cpu()
    hidden = output.hidden.float().cpu() if with_hidden else None
    return [
        Row(duration, log_probs[i, :n].clone(), None if hidden is None else hidden[i, :n].clone())
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
    for plan in tqdm(plans, desc=title, disable=title is None):
        chosen = [rows[i] for i in plan.indices]
        lengths = torch.tensor([len(row.log_probs) for row in chosen], device=device)
        log_probs, hidden = (pad_sequence([row[k] for row in chosen], batch_first=True).to(device) for k in (1, 2))
        for i, hypothesis in zip(plan.indices, decode(Outputs({scoring: log_probs}, hidden), lengths), strict=True):
            found[i] = hypothesis
    return found
