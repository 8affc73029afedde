"""SpeechBrain's Conformer and its convolutional front end behind this project's encoder contract.

Both let padding into the last frames of an utterance: the front end mirrors the end of the batch and convolves
biased padding, the Conformer's depthwise convolution reads it too. Here padding is zero wherever a convolution reads.
"""

from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.streaming import Blockwise


class ConvFrontend(Blockwise, nn.Module):
    """Two strided 3 × 3 convolution blocks over (time, mel): four times fewer frames.

    Parameters
    ----------
    input_size : int
        Mel bins.
    d_model : int
        Output size.
    channels : tuple of int
        Channels of the two blocks.
    dropout : float

    Examples
    --------
    >>> import torch
    >>> frontend = ConvFrontend(80, 16)
    >>> y, lengths = frontend(torch.randn(2, 101, 80), torch.tensor([101, 50]))
    >>> y.shape, lengths.tolist()
    (torch.Size([2, 26, 16]), [26, 13])
    """

    output_stride = 4  # input frames per output frame
    period, context = 4, 4  # output frame j reads input frames 4j - 3 to 4j + 3

    def __init__(self, input_size, d_model, channels=(64, 32), dropout=0.1):
        super().__init__()
        self.input_size, self.d_model = input_size, d_model
        self.convolutions = ConvolutionFrontEnd(
            (None, None, input_size),
            num_blocks=2,
            num_layers_per_block=1,
            out_channels=list(channels),
            kernel_sizes=[3, 3],
            strides=[2, 2],
            residuals=[False, False],
        )
        mels = (input_size + 3) // 4
        self.project = nn.Sequential(nn.Linear(mels * channels[1], d_model), nn.Dropout(dropout))

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> y (B, ceil(T / 4), d_model), lengths."""
        frames = (x.shape[1] + 3) // 4
        x = functional.pad(zero_padding(x, lengths), (0, 0, 0, 4))  # the edges are mirrored: let them mirror zeros
        for block in self.convolutions.values():
            y = block(x)  # (B, ceil(T / 2), F / 2, C)
            lengths = (lengths + 1) // 2
            x = zero_padding(y.flatten(2), lengths).view_as(y)
        y = self.project(x.flatten(2)[:, :frames])
        return zero_padding(y, lengths), lengths


class ConformerEncoder(nn.Module):
    """SpeechBrain's Conformer (Gulati et al. 2020) with relative positions (Transformer-XL).

    Parameters
    ----------
    d_model, n_heads, n_layers, d_ffn : int
    kernel_size : int
        Width of the depthwise convolution.
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

    def forward(self, x, lengths):
        """x (B, T, d_model), lengths (B,) -> the same shapes."""
        t = self.transformer  # its own `encode` makes the mask in a way that fixes the batch's size for tracers
        x = t.custom_src_module(zero_padding(x, lengths))
        padding = ~valid_mask(lengths, x.shape[1])
        y, *_ = t.encoder(x, src_key_padding_mask=padding, pos_embs=t.positional_encoding(x))
        return zero_padding(y, lengths), lengths


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
