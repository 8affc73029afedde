"""SpeechBrain's Conformer behind this project's encoder contract.

It lets padding into the last frames of an utterance: its depthwise convolution reads it. Here padding is zero wherever
a convolution reads.
"""

from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from torch import nn

from serenanet_modules.lobes.blocks.conformer import check_centred
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Encoder, Frames


class ConformerEncoder(Encoder):
    """SpeechBrain's Conformer (Gulati et al. 2020) with relative positions (Transformer-XL).

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
    kernel_size : int
        Width of the depthwise convolution, odd.
    dropout : float

    Examples
    --------
    >>> import torch
    >>> encoder = ConformerEncoder(d_model=16, n_heads=2, n_layers=1, d_ffn=32)
    >>> encoder(torch.randn(2, 7, 16), torch.tensor([7, 3]))[0].shape
    torch.Size([2, 7, 16])
    """

    def __init__(self, d_model, n_heads, n_layers, d_ffn, kernel_size=31, dropout=0.1):
        super().__init__()
        check_centred(kernel_size)
        self.transformer = TransformerASR(
            tgt_vocab=1,
            input_size=d_model,
            d_model=d_model,
            nhead=n_heads,
            num_encoder_layers=n_layers,
            num_decoder_layers=0,
            d_ffn=d_ffn,
            dropout=dropout,
            kernel_size=kernel_size,
            encoder_module="conformer",
            attention_type="RelPosMHAXL",
            normalize_before=True,
            causal=False,
        )
        for layer in self.transformer.encoder.layers:
            layer.convolution_module = MaskedConvolution(layer.convolution_module)

    def levels(self):
        """Its layers; the first has the projection of what goes in, the last the norm."""
        inner = self.transformer.encoder
        levels = [[layer] for layer in inner.layers]
        levels[0].append(self.transformer.custom_src_module)
        levels[-1].append(inner.norm)
        return levels

    def forward(self, x, lengths, least=None):
        """x (B, T, d_model), lengths (B,) -> `Frames` of the same shape."""
        t = self.transformer  # its own `encode` makes the mask in a way that fixes the batch's size for tracers
        x = t.custom_src_module(zero_padding(x, lengths))
        padding = ~valid_mask(lengths, x.shape[1])
        y, *_ = t.encoder(x, src_key_padding_mask=padding, pos_embs=t.positional_encoding(x))
        return Frames(zero_padding(y, lengths), lengths)


class MaskedConvolution(nn.Module):
    """A Conformer convolution module whose depthwise convolution reads zeros past each length."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x, mask, dynchunktrain_config=None):
        """x (B, T, d_model), mask (B, T, 1) true on padding -> (B, T, d_model)."""
        y = self.module.bottleneck(self.module.layer_norm(x).transpose(1, 2))  # (B, d_model, T)
        y = self.module.conv(y.masked_fill(mask.transpose(1, 2), 0.0))
        return self.module.after_conv(y.transpose(1, 2))
