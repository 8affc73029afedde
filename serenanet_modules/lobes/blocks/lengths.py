"""Frame lengths and the masks made of them."""

import torch

from serenanet_modules.ops.observers import unobserved


def valid_mask(lengths, total):
    """Boolean (B, total), true on valid frames.

    Examples
    --------
    >>> valid_mask(torch.tensor([1, 3]), 3).int()
    tensor([[1, 0, 0],
            [1, 1, 1]], dtype=torch.int32)
    """
    return torch.arange(total, device=lengths.device) < lengths.unsqueeze(1)


def padded(x, lengths):
    """``lengths`` (B,) of x (B, T, F), or None where x is known to hold no padding, which only a CPU tells cheaply.

    `zero_padding` and `reverse` take either, so that a stack of layers asks once.
    """
    known = lengths is not None and x.device.type == lengths.device.type == "cpu" and unobserved(x, lengths)
    return None if known and bool((lengths >= x.shape[1]).all()) else lengths


def zero_padding(x, lengths):
    """x (B, T, F) with zeros past each length, whatever stood there (NaN included); x itself where nothing does."""
    lengths = padded(x, lengths)
    return x if lengths is None else x.masked_fill(~valid_mask(lengths, x.shape[1]).unsqueeze(-1), 0.0)


def reverse(x, lengths):
    """Reverse each utterance of x (B, T, F) within its own length; padding stays where it is.

    Examples
    --------
    >>> reverse(torch.tensor([[[1.0], [2.0], [0.0]]]), torch.tensor([2])).squeeze()
    tensor([2., 1., 0.])
    """
    if padded(x, lengths) is None:
        return x.flip(1)
    position = torch.arange(x.shape[1], device=lengths.device)
    return pick(x, torch.where(position < lengths.unsqueeze(1), lengths.unsqueeze(1) - 1 - position, position))


def pick(x, places):
    """The frames of x (B, T, F) at places (B, K) of each utterance: (B, K, F).

    Examples
    --------
    >>> pick(torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]]), torch.tensor([[0], [1]])).squeeze()
    tensor([1., 4.])
    """
    rows = torch.arange(x.shape[0], device=x.device).unsqueeze(1) * x.shape[1] + places
    # of rows of a matrix, which are copied whole; `gather` looks at each number
    return x.flatten(0, 1).index_select(0, rows.flatten()).unflatten(0, places.shape)
