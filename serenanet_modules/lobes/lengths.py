"""Frame lengths and masks, the only place that turns one into the other."""

import torch


def to_frames(relative, total):
    """Turn SpeechBrain's relative lengths (0…1] into frame counts.

    Parameters
    ----------
    relative : Tensor
        (B,) share of ``total`` that is valid.
    total : int
        Padded length.

    Returns
    -------
    Tensor
        (B,) int64.
    """
    return torch.round(relative * total).long().clamp(max=total)


def valid_mask(lengths, total):
    """Boolean (B, total), true on valid frames.

    Examples
    --------
    >>> valid_mask(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(total, device=lengths.device) < lengths.unsqueeze(1)


def zero_padding(x, lengths):
    """Zero x (B, T, F) past each length, whatever stood there (NaN included)."""
    return x.masked_fill(~valid_mask(lengths, x.shape[1]).unsqueeze(-1), 0.0)


def reverse(x, lengths):
    """Reverse each utterance of x (B, T, F) within its own length; padding stays where it is.

    Examples
    --------
    >>> reverse(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2])).squeeze()
    tensor([2., 1., 0.])
    """
    position = torch.arange(x.shape[1], device=x.device)
    index = torch.where(valid_mask(lengths, x.shape[1]), lengths.unsqueeze(1) - 1 - position, position)
    return x.gather(1, index.unsqueeze(-1).expand_as(x))
