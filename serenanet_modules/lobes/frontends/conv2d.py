"""SpeechBrain's convolutional front end behind this project's contract.

It lets padding into the last frames of an utterance: it mirrors the end of the batch and convolves biased padding. Here
padding is zero wherever a convolution reads. Channels lie side by side, as a CPU's convolution and the norm behind it
want them, in the place of SpeechBrain's order, which copies each map several times.
"""

import torch
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Frames, FrontEnd
from serenanet_modules.lobes.blocks.streaming import Blockwise
from serenanet_modules.ops import dropout


class ConvFrontend(Blockwise, FrontEnd):
    """Two strided 3 × 3 convolution blocks over (time, mel): four times fewer frames.

    Parameters
    ----------
    input_size : int
        Mel bins.
    d_model : int
        Output size.
    channels : tuple of int
        Channels of the two blocks.
    dropout : float

    Examples
    --------
    >>> import torch
    >>> frontend = ConvFrontend(80, 16)
    >>> y, lengths, *_ = frontend(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist()
    (torch.Size([2, 26, 16]), [26, 13])
    """

    output_stride = 4  # input frames per output frame
    period, context = 4, 4  # output frame j reads input frames 4j - 3 to 4j + 3

    def __init__(self, input_size, d_model, channels=(64, 32), dropout=0.1):
        super().__init__()
        self.input_size, self.d_model = input_size, d_model
        self.convolutions = ConvolutionFrontEnd(
            (None, None, input_size),
            num_blocks=2,
            num_layers_per_block=1,
            out_channels=list(channels),
            kernel_sizes=[3, 3],
            strides=[2, 2],
            residuals=[False, False],
        )
        mels = (input_size + 3) // 4
        self.project = nn.Sequential(Linear(mels * channels[1], d_model), Dropout(dropout))

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> `Frames` (B, ceil(T / 4), d_model)."""
        frames = (x.shape[1] + 3) // 4
        x = functional.pad(zero_padding(x, lengths), (0, 0, 0, 4)).unsqueeze(3)  # edges are mirrored: let them be zeros
        for block in self.convolutions.values():
            y = _through(block.convs, x)
            lengths = (lengths + 1) // 2
            x = zero_padding(y.flatten(2), lengths).view_as(y)
        y = self.project(x.flatten(2)[:, :frames])
        return Frames(zero_padding(y, lengths), lengths)


def _through(layers, x):
    """SpeechBrain's convolution, norm, activation and dropout of x (B, T, F, C): (B, ceil(T / 2), ceil(F / 2), C')."""
    conv, norm, act, drop = layers.values()
    x = functional.pad(x.permute(0, 3, 1, 2), (1, 1, 1, 1), mode="reflect")
    weight = conv.conv.weight.transpose(2, 3)  # which is over (mel, time)
    x = functional.conv2d(x.contiguous(memory_format=torch.channels_last), weight, conv.conv.bias, stride=2)
    return dropout(act(norm(x.permute(0, 2, 3, 1))), drop.p, drop.training)
