"""Whisper's encoder (Radford et al. 2022, arXiv 2212.04356) for audio of any length."""

import math

import torch
from torch import nn

from serenanet_modules.lobes.blocks.attention import Attention
from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.lengths import padded, valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import LayeredEncoder

SLOWEST = 10000.0  # of the sines' periods over the fastest's


class SinusoidalEncoder(LayeredEncoder):
    """Pre-norm transformer layers over frames to which sines of their position are added.

    Whisper has positions for 30 s; here they are made for as many frames as come, and padding is never read.

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
        ``d_model`` must be even.
    dropout : float

    Raises
    ------
    ValueError
        For sizes that do not fit.

    Examples
    --------
    >>> encoder = SinusoidalEncoder(d_model=16, n_heads=2, n_layers=1, d_ffn=64)
    >>> y, lengths, *_ = encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))
    >>> y.shape, y[1, 3:].abs().max().item()
    (torch.Size([2, 7, 16]), 0.0)
    """

    def __init__(self, d_model, n_heads, n_layers, d_ffn, dropout=0.1):
        super().__init__()
        if d_model % 2:
            raise ValueError(f"d_model {d_model} must be even, for sines and cosines")
        self.layers = nn.ModuleList(SinusoidalLayer(d_model, n_heads, d_ffn, dropout) for _ in range(n_layers))
        self.norm, self.dropout = nn.LayerNorm(d_model), Dropout(dropout)

    def hidden(self, x, lengths):
        """Output of the last layer (B, T, d_model) before the norm; undefined in the padding."""
        inside = padded(x, lengths)
        mask = None if inside is None else valid_mask(inside, x.shape[1])[:, None, None]  # (B, 1, 1, T) over keys
        x = self.dropout(zero_padding(x, inside) + sinusoids(x.shape[1], x.shape[2], x.device))
        for layer in self.layers:
            x = layer(x, mask)
        return x


class SinusoidalLayer(nn.Module):
    """``x + attention(norm(x))``, then ``x + ffn(norm(x))``."""

    def __init__(self, d_model, n_heads, d_ffn, dropout):
        super().__init__()
        self.norm_attention, self.attention = nn.LayerNorm(d_model), Attention(d_model, n_heads)
        self.norm_ffn = nn.LayerNorm(d_model)
        self.ffn = nn.Sequential(Linear(d_model, d_ffn), nn.GELU(), Dropout(dropout), Linear(d_ffn, d_model))
        self.dropout = Dropout(dropout)

    def forward(self, x, mask):
        """x (B, T, d_model), mask (B, 1, 1, T) or None -> (B, T, d_model)."""
        x = x + self.dropout(self.attention(self.norm_attention(x), mask))
        return x + self.dropout(self.ffn(self.norm_ffn(x)))


def sinusoids(length, size, device=None):
    """Sines of each position, then cosines (length, size), of frequencies from 1 down to 1 / `SLOWEST`.

    Examples
    --------
    >>> sinusoids(2, 4)[0]
    tensor([0., 0., 1., 1.])
    """
    half = size // 2
    frequency = torch.exp(-math.log(SLOWEST) / max(1, half - 1) * torch.arange(half, device=device))
    angle = torch.outer(torch.arange(length, device=device).float(), frequency)
    return torch.cat([angle.sin(), angle.cos()], dim=1)
