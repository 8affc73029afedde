"""Convolutions of kernel = stride: frames are joined, none is read twice."""

from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Dropout
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Frames, FrontEnd
from serenanet_modules.lobes.blocks.streaming import Blockwise
from serenanet_modules.ops import linear


class StridedConv(Blockwise, FrontEnd):
    """The plainest front end: one convolution of kernel = stride = ``output_stride``.

    Parameters
    ----------
    input_size : int
        Features per input frame (mel bins).
    d_model : int
        Output size.
    output_stride : int
        Input frames per output frame.
    dropout : float

    Examples
    --------
    >>> import torch
    >>> frontend = StridedConv(80, 32, output_stride=4)
    >>> y, lengths, *_ = frontend(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist()
    (torch.Size([2, 26, 32]), [26, 13])
    """

    def __init__(self, input_size, d_model, output_stride=4, dropout=0.1):
        super().__init__()
        self.input_size, self.d_model = input_size, d_model
        self.output_stride = self.period = output_stride
        self.conv = nn.Conv1d(input_size, d_model, kernel_size=output_stride, stride=output_stride)
        self.dropout = Dropout(dropout)

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> `Frames` (B, ceil(T / output_stride), d_model)."""
        x = functional.pad(zero_padding(x, lengths), (0, 0, 0, -x.shape[1] % self.output_stride))
        lengths = -(-lengths // self.output_stride)
        return Frames(zero_padding(self.dropout(strided(self.conv, x)), lengths), lengths)


def strided(conv, x):
    """A `Conv1d` of kernel = stride on x (B, T, F), T a multiple of it: a linear map of stacked frames."""
    stride = conv.stride[0]
    stacked = x.unflatten(1, (-1, stride)).flatten(2)  # (B, T / stride, stride * F)
    return linear(stacked, conv.weight.transpose(1, 2).flatten(1), conv.bias)
