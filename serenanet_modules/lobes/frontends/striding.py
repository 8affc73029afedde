"""Fast Conformer's front end: eight times fewer frames by strided convolutions, two of them depthwise (2305.05084)."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.lengths import padded, valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Frames, FrontEnd
from serenanet_modules.lobes.blocks.streaming import Blockwise
from serenanet_modules.ops.observers import unobserved

PIECE = 320  # input frames that are convolved at a time, the last up to twice as many, to stay within memory's caches


class DepthwiseStriding(Blockwise, FrontEnd):
    """Three 3 × 3 convolutions of stride 2 over (time, mel), the last two depthwise and pointwise, then a linear layer.

    Parameters
    ----------
    input_size : int
        Mel bins.
    d_model : int
        Output size.
    filters : int
        Channels of the convolutions.
    causal : bool
        Whether output frame j hears nothing after input frame 8j. Else it hears up to frame 8j + 7.
    dropout : float

    Examples
    --------
    >>> frontend = DepthwiseStriding(80, 16, filters=4)
    >>> y, lengths, *_ = frontend(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist()
    (torch.Size([2, 13, 16]), [13, 7])
    """

    output_stride = 8  # input frames per output frame
    period = 8

    def __init__(self, input_size, d_model, filters=256, causal=False, dropout=0.1):
        super().__init__()
        self.input_size, self.d_model, self.causal = input_size, d_model, causal
        strides = {"kernel_size": 3, "stride": 2}
        self.first = nn.Conv2d(1, filters, **strides)
        self.depthwise = nn.ModuleList(nn.Conv2d(filters, filters, groups=filters, **strides) for _ in range(2))
        self.pointwise = nn.ModuleList(Linear(filters, filters) for _ in range(2))
        bins = self._bins(self._bins(self._bins(input_size)))
        self.project = Linear(bins * filters, d_model)
        self.dropout = Dropout(dropout)
        self._begin()

    def _begin(self):
        """Weights that keep the signal's size (He et al. 2015, arXiv 1502.01852) up to frames of an embedding's,
        ``d_model ** -0.5``, which Fast Conformer multiplies by its root; and no biases.

        PyTorch's own let the signal fade behind the biases: frames come out alike to a seventh. With those, and with
        frames so large that a layer adds little, a training from nothing stays at the frequencies of letters.
        """
        kinds = {"relu": (self.first, *self.pointwise), "linear": (*self.depthwise, self.project)}  # what follows
        for kind, layers in kinds.items():
            for layer in layers:
                nn.init.kaiming_normal_(layer.weight, nonlinearity=kind)
                nn.init.zeros_(layer.bias)
        with torch.no_grad():
            self.project.weight.mul_(self.d_model**-0.5)

    @property
    def lead(self):
        """Frames of a block of eight that its output waits for."""
        return 1 if self.causal else self.period

    @property
    def context(self):
        """Heard frames that later blocks read too."""
        return self.period + 1 if self.causal else self.period

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> `Frames` (B, ceil(T / 8), d_model)."""
        inside, total = padded(x, lengths), x.shape[1]
        x = zero_padding(x, inside)
        if unobserved(x):
            starts = range(0, max(PIECE, total - PIECE + 1), PIECE)
            ends = [*starts[1:], total]
            pieces = [self._piece(x, inside, start, end) for start, end in zip(starts, ends, strict=True)]
        else:
            pieces = [self._subsampled(x, inside)]  # a loop over pieces would fix the length
        y = pieces[0] if len(pieces) == 1 else torch.cat(pieces, dim=1)
        lengths = -(-lengths // self.output_stride)
        return Frames(zero_padding(self.dropout(y), lengths), lengths)

    def _piece(self, x, inside, start, end):
        """What becomes of frames ``start`` to ``end`` of x (B, T, F): (B, ceil((end - start) / 8), d_model)."""
        before = min(start, 2 * self.period)  # frames, more than any output reads
        inside = None if inside is None else (inside - start + before).clamp(min=0)
        y = self._subsampled(x[:, start - before : end], inside)
        return y[:, before // self.output_stride :]

    def _subsampled(self, x, inside):
        """x (B, T, F), zero past lengths (B,) or without padding -> (B, ceil(T / 8), d_model)."""
        h = x.unsqueeze(-1).permute(0, 3, 1, 2)  # (B, 1, T, F) in the layout of channels side by side
        h, inside = self.convolved(self.first, h, inside)
        h = h.relu_()
        for depthwise, pointwise in zip(self.depthwise, self.pointwise, strict=True):
            if inside is not None:
                h = h.masked_fill(~valid_mask(inside, h.shape[2])[:, None, :, None], 0.0)
            h, inside = self.convolved(depthwise, h, inside)
            h = functional.relu(pointwise(h.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return self.project(h.permute(0, 2, 3, 1).flatten(2))

    def convolved(self, conv, h, inside):
        """h (B, C, T, F) -> (B, filters, ceil(T / 2), bins), and the lengths of that."""
        frames, bins = (h.shape[2] + 1) // 2, self._bins(h.shape[3])
        h = h.contiguous(memory_format=torch.channels_last)
        h = functional.conv2d(h, conv.weight, conv.bias, 2, 2 if self.causal else 1, groups=conv.groups)
        return h[:, :, :frames, :bins], None if inside is None else (inside + 1) // 2

    def _bins(self, bins):
        return bins // 2 + 1 if self.causal else (bins + 1) // 2
