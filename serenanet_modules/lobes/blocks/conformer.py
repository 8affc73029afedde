"""What Conformers are made of beside the mixer of frames (Gulati et al. 2020, arXiv 2005.08100)."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.ops import causal_conv1d_fn, depthwise_conv1d


def feed_forward(d_model, d_ffn, dropout):
    """Norm, layer of ``d_ffn``, swish, layer of ``d_model``."""
    return nn.Sequential(
        nn.LayerNorm(d_model),
        Linear(d_model, d_ffn),
        nn.SiLU(),
        Dropout(dropout),
        Linear(d_ffn, d_model),
        Dropout(dropout),
    )


def check_kernel(size):
    """Refuse null as the width of a convolution that must be there, with a ValueError."""
    if size is None:
        raise ValueError("kernel_size is null, but this part needs its convolution; give an odd number")


def check_centred(kernel_size):
    """Refuse a convolution that cannot read as many frames before a frame as behind it.

    Raises
    ------
    ValueError
    """
    check_kernel(kernel_size)
    if kernel_size % 2 == 0:
        raise ValueError(f"kernel_size is {kernel_size}; it must be odd where convolutions are not causal")


class ConvolutionModule(nn.Module):
    """The Conformer's convolution (Gulati et al. 2020): pointwise, GLU, depthwise, norm, swish, pointwise.

    By default LayerNorm stands after the depthwise convolution, where batch statistics would let utterances of a batch
    meet.

    Parameters
    ----------
    d_model, kernel_size : int
    dropout : float
    causal : bool
    right_context : int
        Later frames that a causal one sees after all.
    norm : {"layer", "batch"}
        ``batch`` is `FixedBatchNorm`, for weights that were trained with batch statistics.

    Raises
    ------
    ValueError
        For another norm, for no ``kernel_size``, and for an even one unless causal.
    """

    def __init__(self, d_model, kernel_size, dropout, causal, right_context=0, norm="layer"):
        super().__init__()
        check_kernel(kernel_size)
        if norm not in NORMS:
            raise ValueError(f"norm is {norm!r}; it must be one of {', '.join(NORMS)}")
        if not causal:
            check_centred(kernel_size)
        self.causal, self.right_context = causal, right_context
        self.inward = nn.Sequential(nn.LayerNorm(d_model), Linear(d_model, 2 * d_model), nn.GLU())
        self.depthwise = nn.Conv1d(d_model, d_model, kernel_size, groups=d_model)
        self.outward = nn.Sequential(NORMS[norm](d_model), nn.SiLU(), Linear(d_model, d_model), Dropout(dropout))

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) or None -> (B, T, d_model)."""
        h = zero_padding(self.inward(x), lengths)
        if self.right_context:
            h = functional.pad(h, (0, 0, 0, self.right_context))
        h = h.transpose(1, 2)  # (B, d_model, T + right_context)
        h = depthwise_conv1d(h, self.depthwise.weight, self.depthwise.bias, "causal" if self.causal else "same")
        return self.outward(h[..., self.right_context :].transpose(1, 2))

    def init_state(self, batch):
        """The window of inputs (B, d_model, kernel_size - 1) that came before, zeros."""
        weight = self.depthwise.weight
        return weight.new_zeros(batch, len(weight), weight.shape[2] - 1)

    def step(self, x, window):
        """Continue by x (B, T, d_model): y of the frames that lie ``right_context`` before those of x."""
        return self._convolve(self.inward(x).transpose(1, 2), window)

    def finish(self, window):
        """y (B, right_context, d_model) of the last frames, which see nothing but zeros behind them."""
        if not self.right_context:
            return window.new_zeros(len(window), 0, window.shape[1])
        return self._convolve(window.new_zeros(*window.shape[:2], self.right_context), window)[0]

    def _convolve(self, h, window):
        weight, bias = self.depthwise.weight.squeeze(1), self.depthwise.bias
        h, window = causal_conv1d_fn(h, weight, bias, initial_states=window, return_final_states=True)
        return self.outward(h.transpose(1, 2)), window


class FixedBatchNorm(nn.Module):
    """Batch normalisation by statistics that came with the weights, in training too, so that utterances never meet.

    Without such weights it scales and shifts each channel and normalises nothing.

    Parameters
    ----------
    d_model : int

    Examples
    --------
    >>> FixedBatchNorm(4)(torch.ones(1, 2, 4)).shape
    torch.Size([1, 2, 4])
    """

    epsilon = 1e-5

    def __init__(self, d_model):
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(d_model)), nn.Parameter(torch.zeros(d_model))
        self.register_buffer("mean", torch.zeros(d_model))
        self.register_buffer("variance", torch.ones(d_model))

    def forward(self, x):
        """x (B, T, d_model) -> the same shape."""
        scale = self.weight * (self.variance + self.epsilon).rsqrt()
        return x * scale + (self.bias - self.mean * scale)


NORMS = {"layer": nn.LayerNorm, "batch": FixedBatchNorm}
