"""ATHM, the adaptive temporal hierarchy: several frame rates side by side, weighted by a gate per frame."""

import math

from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Extras, Frames, FrontEnd, Picture
from serenanet_modules.lobes.blocks.streaming import Blockwise
from serenanet_modules.lobes.frontends.strided import strided
from serenanet_modules.ops import linear


class ATHM(Blockwise, FrontEnd):
    """Convolution branches of kernel = stride = r, upsampled and mixed by a softmax gate.

    Per resolution r: ``f = Conv1d(x)``, ``f = f + Linear(f)``, ``up = upsample(f)``; then
    ``gate = softmax(MLP([up, ...]))`` over the resolutions of each frame and ``y = sum_r gate_r up_r``. All branches of
    this are linear maps of the same frames, and what they say under one gate the finest can say alone. ``nonlinear``
    makes them differ: ``f = LayerNorm(Conv1d(x))``, ``f = f + Linear(GELU(f))``.

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
    nonlinear : bool

    Examples
    --------
    >>> import torch
    >>> athm = ATHM(80, 32, output_stride=4)
    >>> y, lengths, extras, _ = athm(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist(), extras.pictures["gate"].values.shape
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
        nonlinear=False,
    ):
        super().__init__()
        self.input_size, self.d_model = input_size, d_model
        self.resolutions = list(resolutions)
        self.output_stride = output_stride
        self.period = math.lcm(*self.resolutions, output_stride)  # input frames after which all branches meet
        self.branches = nn.ModuleList(nn.Conv1d(input_size, d_model, kernel_size=r, stride=r) for r in self.resolutions)
        self.residuals = nn.ModuleList(Linear(d_model, d_model) for _ in self.resolutions)
        self.norms = nn.ModuleList(nn.LayerNorm(d_model) for _ in self.resolutions) if nonlinear else None
        count = len(self.resolutions)
        self.gate_mlp = (
            nn.Sequential(Linear(count * d_model, gate_size), nn.GELU(), Linear(gate_size, count))
            if count > 1
            else None
        )
        for parameter in () if self.gate_mlp is None else self.gate_mlp.parameters():
            parameter._elementwise = True  # moved as whole matrices, the gate soon opens for one branch alone
        self.reduce = (
            nn.Conv1d(d_model, d_model, kernel_size=output_stride, stride=output_stride) if output_stride > 1 else None
        )
        self.dropout = Dropout(dropout)

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> `Frames` (B, ceil(T / output_stride), d_model).

        Their extras are the gate, its mean weight of each resolution, and ``gate_l2``, its mean square.
        """
        total = x.shape[1]
        x = functional.pad(zero_padding(x, lengths), (0, 0, 0, -total % self.period))
        branches = [self._branch(i, x) for i in range(len(self.resolutions))]
        gate = zero_padding(self._weights(branches, x.shape[1]), lengths)
        y = self._mix(gate, branches)  # zero in the padding, as the gate is
        extras = self._extras(gate[:, :total], lengths)
        if self.reduce is not None:
            y = strided(self.reduce, y)
            lengths = -(-lengths // self.output_stride)
            total = -(-total // self.output_stride)
        return Frames(zero_padding(self.dropout(y[:, :total]), lengths), lengths, extras)

    def _extras(self, gate, lengths):
        """Of gate (B, T, R), zero in the padding and 1 per frame elsewhere."""
        total = gate.detach().float().sum((0, 1))
        means = zip(self.resolutions, total / total.sum(), strict=True)
        return Extras(
            regularisers={"gate_l2": _mean_square(gate, lengths)},
            scalars={f"gate_{10 * r}ms": mean for r, mean in means},
            pictures={"gate": Picture(gate, tuple(self.resolutions))},
        )

    def _branch(self, i, x):
        """x (B, T, F) -> (B, T / r, d_model); upsampling is left to broadcasting over r."""
        f = strided(self.branches[i], x)
        if self.norms is None:
            return f + self.residuals[i](f)
        f = self.norms[i](f)
        return f + self.residuals[i](functional.gelu(f))

    def _weights(self, branches, total):
        """Softmax over resolutions (B, T, R) of the MLP on all branches side by side.

        The MLP's first layer is linear in each branch, so each is projected at its own frame rate and only then
        upsampled and added.
        """
        if self.gate_mlp is None:
            return branches[0].new_ones(branches[0].shape[0], total, 1)
        first, rest = self.gate_mlp[0], self.gate_mlp[1:]
        parts = first.weight.chunk(len(branches), dim=1)
        hidden = sum(_per_frame(linear(f, w), r) for f, w, r in zip(branches, parts, self.resolutions, strict=True))
        return rest(hidden + first.bias).softmax(-1)

    def _mix(self, gate, branches):
        """gate (B, T, R), branches (B, T / r, d_model) -> (B, T, d_model)."""
        weighted = (
            (gate[..., i].unflatten(1, (-1, r)).unsqueeze(-1) * f.unsqueeze(2)).flatten(1, 2)
            for i, (r, f) in enumerate(zip(self.resolutions, branches, strict=True))
        )
        return sum(weighted)


def _per_frame(f, r):
    """Repeat each frame of f (B, T / r, H) r times."""
    return f.unsqueeze(2).expand(-1, -1, r, -1).flatten(1, 2)


def _mean_square(gate, lengths):
    """Mean of ||gate||^2 (B, T, R) over valid frames."""
    valid = valid_mask(lengths, gate.shape[1])
    return gate.float().square().sum(-1).masked_select(valid).mean()
