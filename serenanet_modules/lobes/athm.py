"""ATHM, the adaptive temporal hierarchy: several frame rates side by side, weighted by a gate per frame."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.lengths import valid_mask, zero_padding


class ATHM(nn.Module):
    """Convolution branches of kernel = stride = r, upsampled and mixed by a softmax gate.

    Per resolution r: ``f = Conv1d(x)``, ``f = f + Linear(f)``, ``up = upsample(f)``; then
    ``gate = softmax(MLP([up, ...]))`` over the resolutions of each frame and ``y = sum_r gate_r up_r``.

    Parameters
    ----------
    input_size : int
        Features per input frame (mel bins).
    d_model : int
        Output size.
    resolutions : list of int
        Strides of the branches in input frames: at a 10 ms hop [1, 2, 4] is 10, 20 and 40 ms.
        One entry leaves a single resolution and no gate.
    gate_size : int
        Hidden size of the gate's MLP.
    output_stride : int
        Input frames per output frame. Above 1 the mixed frames are joined by a convolution of kernel =
        stride = ``output_stride``.
    dropout : float

    Examples
    --------
    >>> athm = ATHM(80, 32, output_stride=4)
    >>> y, lengths = athm(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist(), athm.gate.shape
    (torch.Size([2, 26, 32]), [26, 13], torch.Size([2, 101, 3]))
    """

    def __init__(
        self,
        input_size,
        d_model,
        resolutions=(1, 2, 4),
        gate_size=256,
        output_stride=1,
        dropout=0.1,
    ):
        super().__init__()
        self.resolutions = list(resolutions)
        self.output_stride = output_stride
        self.branches = nn.ModuleList(nn.Conv1d(input_size, d_model, kernel_size=r, stride=r) for r in self.resolutions)
        self.residuals = nn.ModuleList(nn.Linear(d_model, d_model) for _ in self.resolutions)
        count = len(self.resolutions)
        self.gate_mlp = (
            nn.Sequential(nn.Linear(count * d_model, gate_size), nn.GELU(), nn.Linear(gate_size, count))
            if count > 1
            else None
        )
        self.reduce = (
            nn.Conv1d(d_model, d_model, kernel_size=output_stride, stride=output_stride) if output_stride > 1 else None
        )
        self.dropout = nn.Dropout(dropout)
        self.gate = None  # (B, T, resolutions) of the last call, zero in the padding, for plots
        self.regulariser = None  # mean ||gate||^2 over valid frames of the last call

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> y (B, ceil(T / output_stride), d_model), lengths."""
        x = zero_padding(x, lengths)
        ups = [self._branch(i, x) for i in range(len(self.resolutions))]
        self.gate = zero_padding(self._weights(ups), lengths)
        y = sum(self.gate[..., i : i + 1] * up for i, up in enumerate(ups))
        self.regulariser = _mean_square(self.gate, lengths)
        if self.reduce is not None:
            y = _strided(self.reduce, zero_padding(y, lengths))
            lengths = -(-lengths // self.output_stride)
        return zero_padding(self.dropout(y), lengths), lengths

    def _branch(self, i, x):
        f = _strided(self.branches[i], x)
        f = f + self.residuals[i](f)
        return f.repeat_interleave(self.resolutions[i], dim=1)[:, : x.shape[1]]

    def _weights(self, ups):
        if self.gate_mlp is None:
            return ups[0].new_ones(*ups[0].shape[:2], 1)
        return self.gate_mlp(torch.cat(ups, dim=-1)).softmax(-1)


def _strided(conv, x):
    """Apply a convolution of kernel = stride to x (B, T, F), a ragged tail padded with zeros."""
    stride = conv.stride[0]
    x = functional.pad(x, (0, 0, 0, -x.shape[1] % stride))
    return conv(x.transpose(1, 2)).transpose(1, 2)


def _mean_square(gate, lengths):
    """Mean of ||gate||^2 (B, T, R) over valid frames."""
    valid = valid_mask(lengths, gate.shape[1])
    return gate.float().square().sum(-1).masked_select(valid).mean()
