"""ConMamba: the Conformer's layer with Mamba in the place of attention (Jiang et al. 2024, arXiv 2407.09732)."""

import math

import torch
from torch import nn

from serenanet_modules.lobes.blocks.conformer import ConvolutionModule, feed_forward
from serenanet_modules.lobes.blocks.layers import Dropout
from serenanet_modules.lobes.blocks.lengths import padded, zero_padding
from serenanet_modules.lobes.blocks.mamba import Bidirectional, BiMamba, Mamba
from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.lobes.blocks.parts import Encoder, Frames
from serenanet_modules.lobes.blocks.streaming import CannotStream, Streaming, step_through


def _mamba2(d_model, expand, **options):
    return Mamba2(d_model, expand=expand, **{"headdim": math.gcd(int(expand * d_model), 64)} | options)


MIXERS = {"mamba": (Mamba, BiMamba), "mamba2": (_mamba2, lambda *a, **k: Bidirectional(lambda: _mamba2(*a, **k)))}


class ConMambaEncoder(Streaming, Encoder):
    """Layers of half a feed-forward, Mamba, convolution, half a feed-forward.

    Parameters
    ----------
    d_model, n_layers, d_ffn : int
    kernel_size : int, optional
        Width of the depthwise convolution, odd unless causal. None leaves the convolutions out.
    dropout : float
    mixer : {"mamba", "mamba2"}
        Mamba-2's recurrence is the cheaper one on a CPU.
    causal : bool
        Whether the blocks read one way and the convolutions see no later frames but those of ``right_context``. Then
        `step` continues an utterance.
    right_context : int
        Later frames that the convolution of each layer sees, of its ``kernel_size``; of causal encoders alone. The
        output waits for this number times ``n_layers``.
    d_state, d_conv, expand : int
        As in `Mamba`.
    **options
        Further arguments of the block, such as ``headdim`` for Mamba-2, by default the largest power of 2 up to 64 that
        divides the inner size.

    Examples
    --------
    >>> import torch
    >>> encoder = ConMambaEncoder(d_model=16, n_layers=1, d_ffn=32, kernel_size=5)
    >>> y, lengths, *_ = encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))
    >>> y.shape, y[1, 3:].abs().max().item()
    (torch.Size([2, 7, 16]), 0.0)
    """

    def __init__(
        self,
        d_model,
        n_layers,
        d_ffn,
        kernel_size=31,
        dropout=0.1,
        mixer="mamba",
        causal=False,
        right_context=0,
        d_state=16,
        d_conv=4,
        expand=2,
        **options,
    ):
        super().__init__()
        if mixer not in MIXERS:
            raise ValueError(f"mixer is {mixer!r}; it must be one of {', '.join(MIXERS)}")
        if not 0 <= right_context < (kernel_size or 1) or (right_context and not causal):
            raise ValueError(
                f"right_context is {right_context}; it must be below kernel_size {kernel_size}, and 0 unless causal"
            )
        one_way, two_way = MIXERS[mixer]
        make = one_way if causal else two_way
        self.causal = causal
        self.layers = nn.ModuleList(
            ConMambaLayer(
                d_model,
                d_ffn,
                make(d_model, d_state=d_state, d_conv=d_conv, expand=expand, **options),
                kernel_size,
                dropout,
                causal,
                right_context,
            )
            for _ in range(n_layers)
        )

    def levels(self):
        """Its layers."""
        return [[layer] for layer in self.layers]

    def forward(self, x, lengths, least=None):
        """x (B, T, d_model), lengths (B,) -> `Frames` of the same shape."""
        inside = padded(x, lengths)
        x = zero_padding(x, inside)
        for layer in self.layers:
            x = layer(x, inside)
        return Frames(zero_padding(x, inside), lengths)

    def init_state(self, batch):
        """What `step` carries before the first frame, a tuple of one entry a layer.

        Raises
        ------
        CannotStream
            If the encoder is not causal.
        """
        if not self.causal:
            raise CannotStream("ConMambaEncoder is bidirectional; set causal: true and train again")
        return tuple(layer.init_state(batch) for layer in self.layers)

    @property
    def look_ahead(self):
        """Frames that the output waits for."""
        return sum(layer.right_context for layer in self.layers)

    def step(self, x, state):
        """Continue by x (B, T, d_model), any T: y as `forward` gives it, `look_ahead` frames later, and the next state.

        Without a look-ahead y has the shape of x.
        """
        return step_through(self.layers, x, state)

    def finish(self, x, state):
        """All that is left after the last frames x (B, T, d_model), T ≥ 0."""
        for layer, carried in zip(self.layers, state, strict=True):
            x = layer.finish(x, carried)
        return x


class ConMambaLayer(Streaming, nn.Module):
    """``x + ½ ffn``, ``x + mixer``, ``x + convolution``, ``norm(x + ½ ffn)``; each part normalises its own input.

    Parameters
    ----------
    d_model, d_ffn : int
    mixer : Module
        ``(x) -> y`` if causal, else ``(x, lengths) -> y``.
    kernel_size : int, optional
        None leaves the convolution out.
    dropout : float
    causal : bool
    right_context : int
    """

    def __init__(self, d_model, d_ffn, mixer, kernel_size, dropout, causal, right_context=0):
        super().__init__()
        self.causal, self.right_context = causal, right_context
        self.ffn_before = feed_forward(d_model, d_ffn, dropout)
        self.norm_mixer, self.mixer = nn.LayerNorm(d_model), mixer
        self.convolution = None
        if kernel_size is not None:
            self.convolution = ConvolutionModule(d_model, kernel_size, dropout, causal, right_context)
        self.ffn_after = feed_forward(d_model, d_ffn, dropout)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x, lengths):
        """x (B, T, d_model), finite everywhere, lengths (B,) or None -> (B, T, d_model)."""
        x = x + 0.5 * self.ffn_before(x)
        h = self.norm_mixer(x)
        x = x + self.dropout(self.mixer(h) if self.causal else self.mixer(h, lengths))
        return self._after(x, None if self.convolution is None else self.convolution(x, lengths))

    def init_state(self, batch):
        """States of the mixer and of the convolution, and frames that wait for the latter (B, ≤ right_context, d)."""
        waiting = self.norm.weight.new_zeros(batch, 0, len(self.norm.weight))
        window = waiting.clone() if self.convolution is None else self.convolution.init_state(batch)
        return self.mixer.init_state(batch), window, waiting

    def step(self, x, state):
        """Continue by x (B, T, d_model), any T; y is late by the convolution's right context."""
        if not x.shape[1]:
            return x, state
        mixer, window, waiting = state
        x, mixer = self._mix(x, mixer)
        if self.convolution is None:
            return self._after(x, None), (mixer, window, waiting)
        y, window = self.convolution.step(x, window)
        x = torch.cat([waiting, x], dim=1)
        ready = max(0, x.shape[1] - self.right_context)
        return self._after(x[:, :ready], y[:, y.shape[1] - ready :]), (mixer, window, x[:, ready:])

    def finish(self, x, state):
        """All that is left after the last frames x (B, T, d_model), T ≥ 0."""
        y, (_, window, waiting) = self.step(x, state)
        if self.convolution is None:
            return y
        late = self.convolution.finish(window)
        return torch.cat([y, self._after(waiting, late[:, late.shape[1] - waiting.shape[1] :])], dim=1)

    def _mix(self, x, state):
        """The half before the convolution, whose output is a frame's own."""
        x = x + 0.5 * self.ffn_before(x)
        y, state = self.mixer.step(self.norm_mixer(x), state)
        return x + self.dropout(y), state

    def _after(self, x, convolved):
        """The half after the convolution, whose output is None where there is none."""
        x = x if convolved is None else x + convolved
        return self.norm(x + 0.5 * self.ffn_after(x))
