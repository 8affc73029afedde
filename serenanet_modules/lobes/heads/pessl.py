"""PESSL: masked prediction of acoustic clusters, as in HuBERT (Hsu et al. 2021, arXiv 2106.07447)."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import valid_mask


class Masking(NamedTuple):
    """What is hidden from the encoder, and what it is asked for."""

    mask: Tensor  # (B, T) bool over encoder frames, false in the padding
    targets: Tensor  # (B, T) int64, the cluster of each frame


class Prediction(NamedTuple):
    """How well the hidden frames of each utterance were predicted."""

    loss: Tensor  # (B,) mean cross-entropy over hidden frames in nats, 0 where none is hidden
    correct: Tensor  # (B,) hidden frames whose likeliest cluster is the target
    hidden: Tensor  # (B,) hidden frames


class PESSL(nn.Module):
    """Hides spans of frames behind a learned vector, and predicts their clusters from the encoder's output.

    Parameters
    ----------
    d_model : int
        Size of the frames that are hidden and of the encoder's output.
    n_clusters : int
    mask_start : float
        Spans that begin per frame, 0…1. Spans may overlap.
    mask_length : int
        Frames in a span.

    Raises
    ------
    ValueError
        For values out of their range.

    Examples
    --------
    >>> pessl = PESSL(16, n_clusters=7, mask_start=0.1, mask_length=3)
    >>> lengths = torch.tensor([50, 20])
    >>> mask = pessl.spans(lengths, 50)
    >>> x = pessl.hide(torch.randn(2, 50, 16), mask)
    >>> pessl(x, Masking(mask, torch.zeros(2, 50, dtype=torch.long))).hidden.tolist() == mask.sum(1).tolist()
    True
    """

    def __init__(self, d_model, n_clusters=100, mask_start=0.08, mask_length=10):
        super().__init__()
        if not 0 < mask_start <= 1:
            raise ValueError(f"mask_start {mask_start} must be more than 0 and at most 1")
        if mask_length < 1 or mask_length != int(mask_length):
            raise ValueError(f"mask_length {mask_length} must be a whole number of encoder frames, at least 1")
        self.n_clusters, self.mask_start, self.mask_length = n_clusters, mask_start, int(mask_length)
        self.embedding = nn.Parameter(torch.empty(d_model).uniform_())
        self.head = Linear(d_model, n_clusters)

    def spans(self, lengths, total, generator=None):
        """Draw a mask over valid frames.

        An utterance of at least two spans' length gets ``mask_start`` × frames spans, rounded up or down at random
        so that this holds on average, and never none. Shorter ones stay as they are.

        Parameters
        ----------
        lengths : Tensor
            (B,) frames.
        total : int
            Padded length.
        generator : torch.Generator, optional
            On the CPU; by default torch's own.

        Returns
        -------
        Tensor
            (B, total) bool, on the device of ``lengths``.
        """
        n = lengths.cpu()
        places = (n - self.mask_length + 1).clamp(min=0)  # where a span can begin
        count = (n * self.mask_start + torch.rand(len(n), generator=generator)).long().clamp(min=1)
        count = torch.where(n >= 2 * self.mask_length, count.minimum(places), 0)
        order = torch.rand(len(n), total, generator=generator).masked_fill(~valid_mask(places, total), 2.0)
        starts = order.argsort(1).argsort(1) < count.unsqueeze(1)  # the ``count`` places with the lowest draws
        before = functional.pad(starts.int().cumsum(1), (self.mask_length, 0))
        inside = before[:, self.mask_length :] > before[:, :total]  # a span began within the last mask_length frames
        return inside.to(lengths.device)

    def hide(self, x, mask):
        """Put the learned vector in the place of the masked frames of x (B, T, d_model)."""
        return torch.where(mask.unsqueeze(-1), self.embedding.to(x.dtype), x)

    def forward(self, hidden, masking):
        """Encoder output (B, T, d_model) and the `Masking` of its input -> `Prediction`."""
        logits = self.head(hidden).float()  # (B, T, clusters)
        loss = functional.cross_entropy(logits.transpose(1, 2), masking.targets, reduction="none")
        count = masking.mask.sum(1)
        loss = loss.masked_fill(~masking.mask, 0.0).sum(1) / count.clamp(min=1)
        correct = (logits.argmax(-1) == masking.targets) & masking.mask
        return Prediction(loss, correct.sum(1), count)
