"""ConMamba: the Conformer's layer with Mamba in the place of attention (Jiang et al. 2024, arXiv 2407.09732)."""

from torch import nn

from serenanet_modules.lobes.layers import Dropout, Linear
from serenanet_modules.lobes.lengths import zero_padding
from serenanet_modules.lobes.mamba import Bidirectional, BiMamba, Mamba
from serenanet_modules.lobes.mamba2 import Mamba2
from serenanet_modules.ops import causal_conv1d_fn, depthwise_conv1d

MIXERS = {"mamba": (Mamba, BiMamba), "mamba2": (Mamba2, lambda *a, **k: Bidirectional(lambda: Mamba2(*a, **k)))}


class ConMambaEncoder(nn.Module):
    """Layers of half a feed-forward, Mamba, convolution, half a feed-forward.

    Parameters
    ----------
    d_model, n_layers, d_ffn : int
    kernel_size : int
        Width of the depthwise convolution.
    dropout : float
    mixer : {"mamba", "mamba2"}
        Mamba-2's recurrence is the cheaper one on a CPU.
    causal : bool
        Whether a frame sees only those before it: one-way blocks and causal convolutions. Then `step` continues an
        utterance.
    d_state, d_conv, expand : int
        As in `Mamba`.
    **options
        Further arguments of the block, such as ``headdim`` for Mamba-2.

    Examples
    --------
    >>> import torch
    >>> encoder = ConMambaEncoder(d_model=16, n_layers=1, d_ffn=32, kernel_size=5)
    >>> y, lengths = encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))
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
        d_state=16,
        d_conv=4,
        expand=2,
        **options,
    ):
        super().__init__()
        if mixer not in MIXERS:
            raise ValueError(f"mixer is {mixer!r}; it must be one of {', '.join(MIXERS)}")
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
            )
            for _ in range(n_layers)
        )

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) -> the same shapes."""
        x = zero_padding(x, lengths)
        for layer in self.layers:
            x = layer(x, lengths)
        return zero_padding(x, lengths), lengths

    def init_state(self, batch):
        """What `step` carries before the first frame, a tuple of one entry a layer.

        Raises
        ------
        TypeError
            If the encoder is not causal.
        """
        if not self.causal:
            raise TypeError("an encoder that reads backwards cannot go on frame by frame; make it with causal: true")
        return tuple(layer.init_state(batch) for layer in self.layers)

    def step(self, x, state):
        """Continue by x (B, T, d_model), any T: y of the same shape as `forward` gives it, and the next state."""
        following = []
        for layer, carried in zip(self.layers, state, strict=True):
            x, carried = layer.step(x, carried)
            following.append(carried)
        return x, tuple(following)


class ConMambaLayer(nn.Module):
    """``x + ½ ffn``, ``x + mixer``, ``x + convolution``, ``norm(x + ½ ffn)``; each part normalises its own input.

    Parameters
    ----------
    d_model, d_ffn : int
    mixer : Module
        ``(x) -> y`` if causal, else ``(x, lengths) -> y``.
    kernel_size : int
    dropout : float
    causal : bool
    """

    def __init__(self, d_model, d_ffn, mixer, kernel_size, dropout, causal):
        super().__init__()
        self.causal = causal
        self.ffn_before = _feed_forward(d_model, d_ffn, dropout)
        self.norm_mixer, self.mixer = nn.LayerNorm(d_model), mixer
        self.convolution = ConvolutionModule(d_model, kernel_size, dropout, causal)
        self.ffn_after = _feed_forward(d_model, d_ffn, dropout)
        self.norm = nn.LayerNorm(d_model)
        self.dropout = Dropout(dropout)

    def forward(self, x, lengths):
        """x (B, T, d_model), finite everywhere, lengths (B,) -> (B, T, d_model)."""
        x = x + 0.5 * self.ffn_before(x)
        h = self.norm_mixer(x)
        x = x + self.dropout(self.mixer(h) if self.causal else self.mixer(h, lengths))
        x = x + self.convolution(x, lengths)
        return self.norm(x + 0.5 * self.ffn_after(x))

    def init_state(self, batch):
        """States of the mixer and of the convolution."""
        return self.mixer.init_state(batch), self.convolution.init_state(batch)

    def step(self, x, state):
        """Continue by x (B, T, d_model)."""
        mixer, window = state
        x = x + 0.5 * self.ffn_before(x)
        y, mixer = self.mixer.step(self.norm_mixer(x), mixer)
        x = x + self.dropout(y)
        y, window = self.convolution.step(x, window)
        x = x + y
        return self.norm(x + 0.5 * self.ffn_after(x)), (mixer, window)


def _feed_forward(d_model, d_ffn, dropout):
    return nn.Sequential(
        nn.LayerNorm(d_model),
        Linear(d_model, d_ffn),
        nn.SiLU(),
        Dropout(dropout),
        Linear(d_ffn, d_model),
        Dropout(dropout),
    )


class ConvolutionModule(nn.Module):
    """The Conformer's convolution (Gulati et al. 2020): pointwise, GLU, depthwise, norm, swish, pointwise.

    LayerNorm stands after the depthwise convolution, where batch statistics would let utterances of a batch meet.

    Parameters
    ----------
    d_model, kernel_size : int
    dropout : float
    causal : bool
    """

    def __init__(self, d_model, kernel_size, dropout, causal):
        super().__init__()
        self.causal = causal
        self.inward = nn.Sequential(nn.LayerNorm(d_model), Linear(d_model, 2 * d_model), nn.GLU())
        self.depthwise = nn.Conv1d(d_model, d_model, kernel_size, groups=d_model)
        self.outward = nn.Sequential(nn.LayerNorm(d_model), nn.SiLU(), Linear(d_model, d_model), Dropout(dropout))

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) -> (B, T, d_model)."""
        h = zero_padding(self.inward(x), lengths).transpose(1, 2)
        h = depthwise_conv1d(h, self.depthwise.weight, self.depthwise.bias, "causal" if self.causal else "same")
        return self.outward(h.transpose(1, 2))

    def init_state(self, batch):
        """The window of inputs (B, d_model, kernel_size - 1) that came before, zeros."""
        weight = self.depthwise.weight
        return weight.new_zeros(batch, len(weight), weight.shape[2] - 1)

    def step(self, x, window):
        """Continue by x (B, T, d_model)."""
        h = self.inward(x).transpose(1, 2)
        weight, bias = self.depthwise.weight.squeeze(1), self.depthwise.bias
        h, window = causal_conv1d_fn(h, weight, bias, initial_states=window, return_final_states=True)
        return self.outward(h.transpose(1, 2)), window
