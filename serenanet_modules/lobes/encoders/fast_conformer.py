"""Fast Conformer (Rekesh et al. 2023, arXiv 2305.05084): whole, with limited context, or streaming (2312.17279)."""

import math

import torch
from torch import nn

from serenanet_modules.lobes.blocks.conformer import ConvolutionModule, feed_forward
from serenanet_modules.lobes.blocks.layers import Dropout
from serenanet_modules.lobes.blocks.lengths import padded, valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Encoder, Frames
from serenanet_modules.lobes.blocks.relative import Plan, RelativeAttention, Scope
from serenanet_modules.lobes.blocks.streaming import CannotStream, Streaming


class FastConformerEncoder(Streaming, Encoder):
    """Layers of half a feed-forward, attention by relative positions, convolution, half a feed-forward.

    Frames attend to the whole utterance, to those at most ``window`` frames away, or, with ``look_aheads``, to their
    chunk and what came before it; then convolutions see no later frames and `step` continues an utterance. A chunk is
    a frame and as many more as it looks ahead. One model serves all its look-aheads: training draws one for each batch.

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
    kernel_size : int
        Width of the depthwise convolution.
    dropout : float
    norm : {"layer", "batch"}
        In the convolutions, as of `ConvolutionModule`.
    window : int, optional
        Frames on either side that a frame attends to. Time and memory are then linear in the length.
    global_tokens : int
        With a window: how many of the first frames attend to all, and all to them.
    look_aheads : list of int, optional
        Frames; the first is what use begins with, see `choose`.
    left_context : int
        With look-aheads: frames before its chunk that a frame attends to, whole chunks of all sizes.

    Raises
    ------
    ValueError
        For options that contradict each other.

    Examples
    --------
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
        _check(window, global_tokens, look_aheads, left_context)
        self.window, self.global_tokens, self.left_context = window, global_tokens, left_context
        self.look_aheads = tuple(look_aheads or ())
        self.look_ahead = self.look_aheads[0] if self.look_aheads else 0
        self.scale, self.dropout = math.sqrt(d_model), Dropout(dropout)
        self.layers = nn.ModuleList(
            FastConformerLayer(d_model, n_heads, d_ffn, kernel_size, dropout, bool(self.look_aheads), norm)
            for _ in range(n_layers)
        )

    @property
    def depth(self):
        """Its layers, each of which `hidden` can show."""
        return len(self.layers)

    def levels(self):
        """Its layers."""
        return [[layer] for layer in self.layers]

    def forward(self, x, lengths, least=None):
        """x (B, T, d_model), lengths (B,) -> `Frames` of the same shape."""
        return Frames(zero_padding(self.hidden(x, lengths), lengths), lengths)

    def hidden(self, x, lengths):
        """Output of the last layer (B, T, d_model), whose norm is its own; undefined in the padding."""
        inside, total = padded(x, lengths), x.shape[1]
        x = self.dropout(self.scale * zero_padding(x, inside))
        plan = Plan.make(self._scope(), x, total, None if inside is None else valid_mask(inside, total))
        for layer in self.layers:
            x = layer(x, inside, plan)
        return x

    def _scope(self):
        if not self.look_aheads:
            return Scope(self.window, self.window, leading=self.global_tokens)
        ahead = self.look_ahead
        if self.training:
            ahead = self.look_aheads[int(torch.randint(len(self.look_aheads), ()))]
        return Scope(self.left_context, 0, chunk=ahead + 1)

    # --- piece by piece ---------------------------------------------------------------------------------------------

    def choose(self, look_ahead):
        """Use one of the look-aheads, in frames, from now on.

        Raises
        ------
        ValueError
            For one that the model does not have.
        """
        if look_ahead not in self.look_aheads:
            had = ", ".join(map(str, self.look_aheads)) or "none"
            raise ValueError(f"look_ahead is {look_ahead} frames, but the encoder has {had}")
        self.look_ahead = look_ahead

    def init_state(self, batch):
        """What `step` carries before the first frame: frames of an unfinished chunk, and one entry a layer.

        Raises
        ------
        CannotStream
            Without look-aheads.
        """
        if not self.look_aheads:
            raise CannotStream("FastConformerEncoder reads whole utterances only; make it with look_aheads: [0]")
        nothing = self.layers[0].norm.weight.new_zeros(batch, 0, len(self.layers[0].norm.weight))
        return nothing, tuple(layer.init_state(batch) for layer in self.layers)

    def step(self, x, state):
        """Continue by x (B, T, d_model), any T: y of the chunks that are whole now, and the next state."""
        waiting, carried = state
        x = torch.cat([waiting, x], dim=1)
        chunk = self.look_ahead + 1
        whole = x.shape[1] // chunk * chunk
        y, carried = self._go_on(x[:, :whole], carried)
        return y, (x[:, whole:], carried)

    def finish(self, x, state):
        """All that is left after the last frames x (B, T, d_model), T ≥ 0: the last chunk may be short."""
        waiting, carried = state
        return self._go_on(torch.cat([waiting, x], dim=1), carried)[0]

    def _go_on(self, x, carried):
        if not x.shape[1]:
            return x, carried
        x = self.dropout(self.scale * x)
        scope = Scope(self.left_context, 0, chunk=self.look_ahead + 1)
        plan = Plan.make(scope, x, carried[0][0].shape[2] + x.shape[1])
        following = []
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


def _check(window, global_tokens, look_aheads, left_context):
    if window is not None and look_aheads:
        raise ValueError("window and look_aheads are two ways to limit what frames see; give one of them")
    if window is None and global_tokens:
        raise ValueError("global_tokens need a window; without one all frames see all")
    if min([window or 0, global_tokens, left_context, *(look_aheads or [])]) < 0:
        raise ValueError("window, global_tokens, look_aheads and left_context are numbers of frames, 0 at least")
    if wrong := [ahead for ahead in look_aheads or [] if left_context % (ahead + 1)]:
        raise ValueError(
            f"left_context {left_context} is no multiple of {wrong[0] + 1} frames, the chunk of look-ahead {wrong[0]}"
        )
