"""Several labels from one frame, for encoders whose frames are fewer than letters."""

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Frames, Part


class Unfolding(Part):
    """Makes of each frame several of the same size, one after the other, by a linear map.

    An encoder of 80 ms frames is fast, but Swahili has 14 letters a second: CTC needs a frame for each.

    Parameters
    ----------
    d_model : int
    times : int
        Frames that come of one.

    Examples
    --------
    >>> import torch
    >>> y, lengths, *_ = Unfolding(16, times=2)(torch.zeros(2, 5, 16), torch.tensor([5, 3]))
    >>> y.shape, lengths.tolist(), y[1, 6:].abs().max().item()
    (torch.Size([2, 10, 16]), [10, 6], 0.0)
    """

    def __init__(self, d_model, times):
        super().__init__()
        self.times, self.linear = times, Linear(d_model, times * d_model)

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) -> `Frames` of (B, times T, d_model)."""
        return Frames(zero_padding(self.step(x), self.times * lengths), self.times * lengths)

    def step(self, x):
        """x (B, T, d_model) -> (B, times T, d_model), whatever comes of the padding."""
        return self.linear(x).unflatten(-1, (self.times, -1)).flatten(1, 2)
