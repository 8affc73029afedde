"""What the attention of a label decoder tells of the labels that were heard, where there is no CTC to align them on.

Heads that attend to what is being said show where: the frames are shared out among the labels so that these weights
sum up to the most (Radford et al. 2022, whose dynamic time warping this is but that each label has a frame at least).
"""

from typing import NamedTuple

import torch
from torch.nn.utils.rnn import pad_sequence

from serenanet_modules.decoding.spans import IMPOSSIBLE, Span, align
from serenanet_modules.lobes.decoders.attention_decoder import with_border

MEDIAN = 7  # frames that weights are smoothed over


class Attended(NamedTuple):
    """What is known of an utterance's labels."""

    spans: list  # a `Span` each
    mean: float  # of the natural logarithms of their probabilities, the end's included


@torch.no_grad()
def attended(decoder, memory, lengths, found):
    """`Attended` of labels by the encoder's output.

    Parameters
    ----------
    decoder : AttentionDecoder
        Whose ``alignment`` are the heads to ask.
    memory : Tensor
        (B, T, d_model)
    lengths : Tensor
        (B,) int64 frames.
    found : list of list of int
        Labels of each utterance.
    """
    labels = pad_sequence([torch.tensor(row, dtype=torch.long) for row in found], batch_first=True).to(memory.device)
    logits, weights = decoder.attended(with_border(labels), memory, lengths)
    log_probs = logits.log_softmax(-1)  # (B, U + 1, V)
    best = log_probs.amax(-1)
    said = log_probs.gather(2, torch.nn.functional.pad(labels, (0, 1)).unsqueeze(2)).squeeze(2)
    return [
        _one(row, w[:, : len(row) + 1, :n], s[: len(row) + 1].tolist(), b.tolist())
        for row, w, n, s, b in zip(found, weights.cpu(), lengths.tolist(), said.cpu(), best.cpu(), strict=True)
    ]


def _one(labels, weights, said, best):
    """Of one utterance: weights (H, U + 1, T), log-probabilities of its labels and the end, and of the best ones."""
    places = _places(weights)[: len(labels)] if labels else []
    spans = [
        Span(start, end, min(1.0, torch.tensor(p).exp().item()), top - p)
        for (start, end, *_), p, top in zip(places, said, best, strict=False)
    ]
    return Attended(spans, sum(said) / len(said))


def _places(weights):
    """Spans of U labels and of the end behind them, by weights (H, U + 1, T)."""
    deviation, mean = torch.std_mean(weights, dim=1, keepdim=True, correction=0)
    scores = (weights - mean) / (deviation + 1e-6)
    scores = torch.nn.functional.pad(scores, (MEDIAN // 2, MEDIAN // 2), mode="replicate")
    scores = scores.unfold(2, MEDIAN, 1).median(-1).values.mean(0).T  # (T, U + 1)
    scores = torch.nn.functional.pad(scores, (1, 0), value=IMPOSSIBLE)  # a blank that nothing goes through
    return align(scores, list(range(1, scores.shape[1])))
