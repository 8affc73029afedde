"""Pre-norm transformer encoder with rotary positions (Su et al. 2021, arXiv 2104.09864)."""

from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.conformer import ConvolutionModule
from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import LayeredEncoder
from serenanet_modules.lobes.blocks.rotary import check_heads, rotary_angles, rotate


class RotaryTransformerEncoder(LayeredEncoder):
    """Transformer layers whose attention sees relative positions only, so any length will do.

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
        Sizes; ``d_model / n_heads`` must be even.
    dropout : float
    kernel_size : int, optional
        Frames that a Conformer's convolution reads, in each layer between attention and the feed-forward.
        None leaves it out.

    Examples
    --------
    >>> import torch
    >>> encoder = RotaryTransformerEncoder(d_model=16, n_heads=2, n_layers=1, d_ffn=32)
    >>> y, lengths, *_ = encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))
    >>> y.shape, y[1, 3:].abs().max().item()
    (torch.Size([2, 7, 16]), 0.0)
    """

    def __init__(self, d_model, n_heads, n_layers, d_ffn, dropout=0.1, kernel_size=None):
        super().__init__()
        check_heads(d_model, n_heads)
        sizes = d_model, n_heads, d_ffn, dropout, kernel_size
        self.layers = nn.ModuleList(RotaryTransformerLayer(*sizes) for _ in range(n_layers))
        self.norm = nn.LayerNorm(d_model)

    def hidden(self, x, lengths):
        """Output of the last layer (B, T, d_model) before the norm; undefined in the padding."""
        x = zero_padding(x, lengths)
        mask = valid_mask(lengths, x.shape[1])[:, None, None, :]  # (B, 1, 1, T) over keys
        rotation = rotary_angles(x.shape[1], self.layers[0].head_size, x.device)
        for layer in self.layers:
            x = layer(x, mask, rotation, lengths)
        return x


class RotaryTransformerLayer(nn.Module):
    """``x + attention(norm(x))``, ``x + convolution(norm(x))`` where there is one, ``x + ffn(norm(x))``."""

    def __init__(self, d_model, n_heads, d_ffn, dropout, kernel_size=None):
        super().__init__()
        self.n_heads, self.head_size = n_heads, d_model // n_heads
        self.norm_attention = nn.LayerNorm(d_model)
        self.qkv = Linear(d_model, 3 * d_model)
        self.out = Linear(d_model, d_model)
        self.convolution = None
        if kernel_size is not None:
            self.convolution = ConvolutionModule(d_model, kernel_size, dropout, causal=False)
        self.norm_ffn = nn.LayerNorm(d_model)
        self.ffn = nn.Sequential(Linear(d_model, d_ffn), nn.GELU(), Dropout(dropout), Linear(d_ffn, d_model))
        self.dropout = Dropout(dropout)

    def forward(self, x, mask, rotation, lengths=None):
        """x (B, T, d_model), mask (B, 1, 1, T), rotation from `rotary_angles`, lengths (B,) or None -> as x."""
        x = x + self.dropout(self._attend(self.norm_attention(x), mask, rotation))
        if self.convolution is not None:
            x = x + self.convolution(x, lengths)
        return x + self.dropout(self.ffn(self.norm_ffn(x)))

    def _attend(self, x, mask, rotation):
        batch, length, d_model = x.shape
        qkv = self.qkv(x).view(batch, length, 3, self.n_heads, self.head_size)
        qkv = qkv.permute(2, 0, 3, 1, 4)  # (3, B, H, T, head_size)
        q, k = rotate(qkv[:2], rotation)
        # no dropout on attention weights: it would cost the fused kernel, on a CPU half of the layer's time
        y = functional.scaled_dot_product_attention(q, k, qkv[2], attn_mask=mask)
        return self.out(y.transpose(1, 2).reshape(batch, length, d_model))
