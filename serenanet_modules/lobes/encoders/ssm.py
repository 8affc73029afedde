"""Mamba-2 with attention in some layers, which streams: a state-space model with a short exact memory.

Dao and Gu 2024, arXiv 2405.21060; a few layers of attention among them as in Jamba, arXiv 2403.19887.
"""

from torch import nn

from serenanet_modules.lobes.blocks.chunkwise import Chunkwise, check_look_aheads
from serenanet_modules.lobes.blocks.conformer import feed_forward
from serenanet_modules.lobes.blocks.layers import Dropout
from serenanet_modules.lobes.blocks.lengths import padded, valid_mask, zero_padding
from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.lobes.blocks.parts import LayeredEncoder
from serenanet_modules.lobes.blocks.rotary import RotaryAttention, RotaryPlan


class SSMEncoder(Chunkwise, LayeredEncoder):
    """Layers of Mamba-2, or in every k-th place of attention by rotary positions, and a feed-forward.

    Mamba-2 hears what came before, attention a chunk of frames and some before it. So a stream carries as much after an
    hour as after a few seconds.

    Parameters
    ----------
    d_model, n_layers, d_ffn : int
    attention_every : int
        Every so many layers, counted from the bottom, one attends.
    n_heads : int
        Of the attention.
    dropout : float
    look_aheads, left_context
        As of `Chunkwise`; without look-aheads attention sees the whole utterance.
    **options
        Of `Mamba2`: ``d_state``, ``headdim`` and others.

    Examples
    --------
    >>> import torch
    >>> encoder = SSMEncoder(d_model=16, n_layers=2, d_ffn=64, attention_every=2, n_heads=2, headdim=8)
    >>> y, lengths, *_ = encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))
    >>> y.shape, y[1, 3:].abs().max().item()
    (torch.Size([2, 7, 16]), 0.0)
    """

    def __init__(
        self,
        d_model,
        n_layers,
        d_ffn,
        attention_every,
        n_heads,
        dropout=0.1,
        look_aheads=None,
        left_context=70,
        **options,
    ):
        super().__init__()
        check_look_aheads(look_aheads, left_context)
        self.d_model, self.look_aheads, self.left_context = d_model, tuple(look_aheads or ()), left_context
        self.head_size, self.dropout = d_model // n_heads, Dropout(dropout)
        self.layers = nn.ModuleList()
        for place in range(1, n_layers + 1):
            attends = place % attention_every == 0
            mixer = RotaryAttention(d_model, n_heads) if attends else Mamba2(d_model, **options)
            self.layers.append(SSMLayer(d_model, mixer, d_ffn, dropout))
        self.norm = nn.LayerNorm(d_model)

    def hidden(self, x, lengths, look_ahead=None):
        """Output of the last layer (B, T, d_model) before the norm; undefined in the padding."""
        inside, total = padded(x, lengths), x.shape[1]
        x = self.dropout(zero_padding(x, inside))
        plan = self.plan(self.scope(look_ahead), x, total, None if inside is None else valid_mask(inside, total))
        for layer in self.layers:
            x = layer(x, plan)
        return x

    def plan(self, scope, x, total, valid=None):
        """The attention's `RotaryPlan`."""
        return RotaryPlan.make(scope, x, total, valid, self.head_size)

    def through(self, x, plan, carried):
        """See `Chunkwise`."""
        x, following = self.dropout(x), []
        for layer, before in zip(self.layers, carried, strict=True):
            x, after = layer.step(x, before, plan, self.left_context)
            following.append(after)
        return self.norm(x), tuple(following)


class SSMLayer(nn.Module):
    """``x + mixer``, ``x + ffn``; each part normalises its own input.

    Parameters
    ----------
    d_model : int
    mixer : Mamba2 or RotaryAttention
    d_ffn : int
    dropout : float
    """

    def __init__(self, d_model, mixer, d_ffn, dropout):
        super().__init__()
        self.norm, self.mixer = nn.LayerNorm(d_model), mixer
        self.ffn = feed_forward(d_model, d_ffn, dropout)
        self.dropout = Dropout(dropout)
        self.attends = isinstance(mixer, RotaryAttention)

    @property
    def carries(self):
        """What its state consists of."""
        return ("keys", "values") if self.attends else ("windows", "states")

    def forward(self, x, plan):
        """x (B, T, d_model), finite everywhere, a `RotaryPlan` -> (B, T, d_model)."""
        h = self.norm(x)
        x = x + self.dropout(self.mixer(h, plan) if self.attends else self.mixer(h))
        return x + self.ffn(x)

    def init_state(self, batch):
        """That of the mixer."""
        return self.mixer.init_state(batch)

    def step(self, x, state, plan, left):
        """Continue by x (B, T, d_model), T ≥ 1: y of the same shape, and the next state."""
        h = self.norm(x)
        y, state = self.mixer.step(h, state, plan, left) if self.attends else self.mixer.step(h, state)
        x = x + self.dropout(y)
        return x + self.ffn(x), state
