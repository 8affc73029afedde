"""Fast Conformer (Rekesh et al. 2023, arXiv 2305.05084): whole, with limited context, or streaming (2312.17279)."""

import math

from torch import nn

from serenanet_modules.lobes.blocks.chunkwise import Chunkwise, check_look_aheads
from serenanet_modules.lobes.blocks.conformer import ConvolutionModule, feed_forward
from serenanet_modules.lobes.blocks.layers import Dropout
from serenanet_modules.lobes.blocks.lengths import padded, valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import LayeredEncoder
from serenanet_modules.lobes.blocks.relative import Plan, RelativeAttention
from serenanet_modules.lobes.blocks.scope import Scope


class FastConformerEncoder(Chunkwise, LayeredEncoder):
    """Layers of half a feed-forward, attention by relative positions, convolution, half a feed-forward.

    Frames attend to the whole utterance, to those at most ``window`` frames away, or, with ``look_aheads``, to their
    chunk and what came before it; then convolutions see no later frames and `step` continues an utterance.

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
    kernel_size : int
        Width of the depthwise convolution, odd without look-aheads.
    dropout : float
    norm : {"layer", "batch"}
        In the convolutions, as of `ConvolutionModule`.
    window : int, optional
        Frames on either side that a frame attends to. Time and memory are then linear in the length.
    global_tokens : int
        With a window: how many of the first frames attend to all, and all to them.
    look_aheads, left_context
        As of `Chunkwise`.

    Raises
    ------
    ValueError
        For options that contradict each other.

    Examples
    --------
    >>> import torch
    >>> encoder = FastConformerEncoder(d_model=16, n_heads=2, n_layers=1, d_ffn=64, kernel_size=5)
    >>> y, lengths, *_ = encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))
    >>> y.shape, y[1, 3:].abs().max().item()
    (torch.Size([2, 7, 16]), 0.0)
    """

    def __init__(
        self,
        d_model,
        n_heads,
        n_layers,
        d_ffn,
        kernel_size=9,
        dropout=0.1,
        norm="layer",
        window=None,
        global_tokens=0,
        look_aheads=None,
        left_context=70,
    ):
        super().__init__()
        _check(window, global_tokens, look_aheads)
        check_look_aheads(look_aheads, left_context)
        self.d_model, self.window, self.global_tokens = d_model, window, global_tokens
        self.look_aheads, self.left_context = tuple(look_aheads or ()), left_context
        self.scale, self.dropout = math.sqrt(d_model), Dropout(dropout)
        self.layers = nn.ModuleList(
            FastConformerLayer(d_model, n_heads, d_ffn, kernel_size, dropout, bool(self.look_aheads), norm)
            for _ in range(n_layers)
        )
        self.norm = nn.Identity()  # each layer ends in one

    def hidden(self, x, lengths, look_ahead=None):
        """Output of the last layer (B, T, d_model); undefined in the padding."""
        inside, total = padded(x, lengths), x.shape[1]
        x = self.dropout(self.scale * zero_padding(x, inside))
        plan = self.plan(self.scope(look_ahead), x, total, None if inside is None else valid_mask(inside, total))
        for layer in self.layers:
            x = layer(x, inside, plan)
        return x

    def scope(self, look_ahead=None):
        """The `Scope` of a pass."""
        if self.look_aheads:
            return super().scope(look_ahead)
        return Scope(self.window, self.window, leading=self.global_tokens)

    def plan(self, scope, x, total, valid=None):
        """The layers' `Plan`."""
        return Plan.make(scope, x, total, valid)

    def through(self, x, plan, carried):
        """See `Chunkwise`."""
        x, following = self.dropout(self.scale * x), []
        for layer, before in zip(self.layers, carried, strict=True):
            x, after = layer.step(x, before, plan, self.left_context)
            following.append(after)
        return x, tuple(following)


class FastConformerLayer(nn.Module):
    """``x + ½ ffn``, ``x + attention``, ``x + convolution``, ``norm(x + ½ ffn)``; each part normalises its own input.

    Parameters
    ----------
    d_model, n_heads, d_ffn, kernel_size : int
    dropout : float
    causal : bool
        Whether the convolution sees no later frames.
    norm : str
        Of `ConvolutionModule`.
    """

    carries = ("keys", "values", "windows")  # what its state consists of

    def __init__(self, d_model, n_heads, d_ffn, kernel_size, dropout, causal, norm):
        super().__init__()
        self.ffn_before = feed_forward(d_model, d_ffn, dropout)
        self.norm_attention, self.attention = nn.LayerNorm(d_model), RelativeAttention(d_model, n_heads)
        self.convolution = ConvolutionModule(d_model, kernel_size, dropout, causal, norm=norm)
        self.ffn_after = feed_forward(d_model, d_ffn, dropout)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x, lengths, plan):
        """x (B, T, d_model), finite everywhere, lengths (B,) or None, a `Plan` -> (B, T, d_model)."""
        x = x + 0.5 * self.ffn_before(x)
        x = x + self.dropout(self.attention(self.norm_attention(x), plan))
        return self._after(x, self.convolution(x, lengths))

    def init_state(self, batch):
        """States of the attention and of the convolution."""
        return *self.attention.init_state(batch), self.convolution.init_state(batch)

    def step(self, x, state, plan, left):
        """Continue by x (B, T, d_model), T ≥ 1: y of the same shape, and the next state."""
        keys, values, window = state
        x = x + 0.5 * self.ffn_before(x)
        y, (keys, values) = self.attention.step(self.norm_attention(x), (keys, values), plan, left)
        x = x + self.dropout(y)
        y, window = self.convolution.step(x, window)
        return self._after(x, y), (keys, values, window)

    def _after(self, x, convolved):
        x = x + convolved
        return self.norm(x + 0.5 * self.ffn_after(x))


def _check(window, global_tokens, look_aheads):
    if window is not None and look_aheads:
        raise ValueError("window and look_aheads are two ways to limit what frames see; give one of them")
    if window is None and global_tokens:
        raise ValueError("global_tokens need a window; without one all frames see all")
    if not all(type(frames) is int and frames >= 0 for frames in (0 if window is None else window, global_tokens)):
        raise ValueError("window and global_tokens are numbers of frames, 0 at least")
