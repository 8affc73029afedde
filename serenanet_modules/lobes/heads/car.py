"""CAR, the CTC alignment refinement: a small Mamba that predicts the units a second time."""

from torch import nn

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.mamba import Bidirectional, Mamba
from serenanet_modules.lobes.blocks.parts import Extras, Frames, Part
from serenanet_modules.lobes.blocks.streaming import CannotStream, Streaming, step_through


class CAR(Streaming, Part):
    """Linear, Mamba, Linear from encoder frames to unit logits.

    Parameters
    ----------
    input_size : int
        Encoder size.
    n_units : int
        Output units, blank included.
    d_model : int
        Size of the blocks.
    block : callable
        `Mamba`, `Mamba2` or what has their arguments: ``block(d_model, d_state=, d_conv=, expand=)``.
    n_layers : int
        Number of blocks in a row.
    d_state, d_conv, expand : int
        As in `Mamba`.
    bidirectional : bool
        Whether each block also reads backwards.

    Examples
    --------
    >>> import torch
    >>> car = CAR(32, 41, d_model=16)
    >>> car(torch.randn(2, 6, 32), torch.tensor([6, 2])).x.shape
    torch.Size([2, 6, 41])
    """

    def __init__(
        self,
        input_size,
        n_units,
        d_model=256,
        block=Mamba,
        n_layers=1,
        d_state=16,
        d_conv=4,
        expand=1,
        bidirectional=False,
    ):
        super().__init__()

        def sized():
            return block(d_model, d_state=d_state, d_conv=d_conv, expand=expand)

        self.bidirectional = bidirectional
        self.inp = Linear(input_size, d_model)
        self.blocks = nn.ModuleList(Bidirectional(sized) if bidirectional else sized() for _ in range(n_layers))
        self.out = Linear(d_model, n_units)

    @property
    def unit_parts(self):
        """Modules whose tensors have a row for each unit."""
        return [self.out]

    def forward(self, x, lengths):
        """x (B, T, input_size), lengths (B,) -> `Frames` of logits (B, T, n_units), undefined in the padding.

        Their extras hold ``car_l2``, the mean square of the hidden state over valid frames.
        """
        hidden = self.inp(zero_padding(x, lengths))
        for block in self.blocks:
            hidden = block(hidden, lengths) if self.bidirectional else block(hidden)
        valid = valid_mask(lengths, hidden.shape[1])
        extras = Extras(regularisers={"car_l2": hidden.float()[valid].square().mean()})
        return Frames(self.out(hidden), lengths, extras)

    def init_state(self, batch):
        """States of the blocks.

        Raises
        ------
        CannotStream
            If they also read backwards.
        """
        if self.bidirectional:
            raise CannotStream("CAR is bidirectional; set bidirectional: false and train again")
        return tuple(block.init_state(batch) for block in self.blocks)

    def step(self, x, state):
        """Continue by x (B, T, input_size), any T: logits (B, T, n_units), and the next state."""
        hidden, state = step_through(self.blocks, self.inp(x), state)
        return self.out(hidden), state
