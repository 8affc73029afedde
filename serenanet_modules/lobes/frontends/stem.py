"""Whisper's front end (Radford et al. 2022, arXiv 2212.04356): two convolutions over time, the second of stride 2."""

from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import padded, zero_padding
from serenanet_modules.lobes.blocks.parts import Frames, FrontEnd


class ConvStem(FrontEnd):
    """Two convolutions three frames wide, each with GELU: twice fewer frames. Padding is zero before both.

    Parameters
    ----------
    input_size : int
        Mel bins.
    d_model : int

    Examples
    --------
    >>> import torch
    >>> frontend = ConvStem(80, 16)
    >>> y, lengths, *_ = frontend(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist()
    (torch.Size([2, 51, 16]), [51, 25])
    """

    output_stride = 2  # input frames per output frame

    def __init__(self, input_size, d_model):
        super().__init__()
        self.input_size, self.d_model = input_size, d_model
        self.first = nn.Conv1d(input_size, d_model, 3)
        self.second = nn.Conv1d(d_model, d_model, 3, stride=2)

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> `Frames` (B, ceil(T / 2), d_model)."""
        inside = padded(x, lengths)
        for conv in (self.first, self.second):
            # padded here: in bfloat16 a convolution that pads one frame itself has an undefined gradient
            x = functional.pad(zero_padding(x, inside), (0, 0, 1, 1))
            x = functional.gelu(conv(x.transpose(1, 2))).transpose(1, 2)
        lengths = (lengths + 1) // self.output_stride
        return Frames(zero_padding(x, lengths), lengths)
