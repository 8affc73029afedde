"""The loss of models that predict each label from those before it."""

import torch
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import valid_mask
from serenanet_modules.lobes.decoders.attention_decoder import BORDER


def label_loss(logits, labels, lengths, smoothing=0.0):
    """Cross-entropy of the labels and the end of each sentence, summed, and how many of them are the likeliest class.

    Parameters
    ----------
    logits : Tensor
        (B, U + 1, V).
    labels : Tensor
        (B, U) int64, anything past
    lengths : Tensor
        (B,) int64.
    smoothing : float
        Share of the target that all classes have equally.

    Returns
    -------
    (Tensor, Tensor)
        (B,) each; divide by ``lengths + 1`` for means.

    Examples
    --------
    >>> loss, right = label_loss(torch.zeros(1, 3, 4), torch.tensor([[2, 3]]), torch.tensor([1]))
    >>> round(float(loss.exp()), 2), right.tolist()  # two of four classes each: 16 ways; the second is class 0
    (16.0, [1])
    """
    targets = functional.pad(labels.where(valid_mask(lengths, labels.shape[1]), BORDER), (0, 1), value=BORDER)
    counted = valid_mask(lengths + 1, targets.shape[1])
    with torch.autocast(logits.device.type, enabled=False):
        losses = functional.cross_entropy(
            logits.float().transpose(1, 2), targets, reduction="none", label_smoothing=smoothing
        )
    right = (logits.argmax(-1) == targets) & counted
    return losses.where(counted, 0.0).sum(1), right.sum(1)
