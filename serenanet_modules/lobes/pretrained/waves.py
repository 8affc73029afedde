"""Networks that read the waveform by convolutions: wav2vec 2.0 (Baevski et al. 2020), XLS-R and MMS, HuBERT, WavLM."""

import math
import warnings

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.pretrained.families import NORMALISES
from serenanet_modules.lobes.pretrained.network import Network, attention_mask, levelled, normalised


class WaveNetwork(Network):
    """Convolutions of 20 ms, a projection, transformer layers."""

    prefixes = ("wav2vec2.", "hubert.", "wavlm.")
    names = {"feature_extractor.": "front.", "feature_projection.": "projection.", "encoder.": "body."}

    def __init__(self, family, values, window):
        super().__init__()
        config = family.configuration(values)
        model = family.base_class()(config)
        self.front, self.projection, self.body = model.feature_extractor, model.feature_projection, model.encoder
        self.size, self.normalises = config.hidden_size, bool(values.get("do_normalize", NORMALISES))
        self.norm_last = config.do_stable_layer_norm
        self.carries_bias = config.model_type == "wavlm"
        if self.carries_bias:  # whose mask is boolean beside a bias that is not, as torch will not have it some day
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask and attn_mask")
        self.steps = list(zip(config.conv_kernel, config.conv_stride, strict=True))
        self.hop, self.least_samples = math.prod(config.conv_stride), 1
        for kernel, stride in reversed(self.steps):
            self.least_samples = (self.least_samples - 1) * stride + kernel

    def ends(self):
        """As of `Network`."""
        between, norm = [self.projection, self.body.pos_conv_embed], [self.body.layer_norm]
        return [self.front], between + norm * (not self.norm_last), norm * self.norm_last

    def forward(self, wavs, lengths):
        """As of `Network`."""
        wavs = normalised(wavs, lengths) if self.normalises else levelled(wavs, lengths)
        x, lengths = self._frames(wavs, lengths)
        x = self.projection(x)
        x = zero_padding(x[0] if isinstance(x, tuple) else x, lengths)
        x = x + self._positions(x, lengths)
        x = self.body.dropout(x if self.norm_last else self.body.layer_norm(x))
        outputs = list(self._layers(x, lengths))
        last = self.body.layer_norm(outputs[-1]) if self.norm_last else outputs[-1]
        return outputs, last, lengths

    def _frames(self, wavs, lengths):
        """The convolutions' output (B, T, C) and lengths, with norms over valid frames only."""
        x = wavs.unsqueeze(1)
        for layer, (kernel, stride) in zip(self.front.conv_layers, self.steps, strict=True):
            x = layer.conv(x)
            lengths = torch.div(lengths - kernel, stride, rounding_mode="floor") + 1
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                x = norm_over_frames(x, lengths, norm)
            elif norm is not None:
                x = norm(x.transpose(1, 2)).transpose(1, 2)
            x = layer.activation(x)
        return x.transpose(1, 2), lengths

    def _positions(self, x, lengths):
        embed = self.body.pos_conv_embed
        norm = getattr(embed, "batch_norm", None)  # of HuBERT; its statistics are those of the pre-training, always
        if norm is not None:
            scaled = functional.batch_norm(
                x.transpose(1, 2), norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps
            )
            x = zero_padding(scaled.transpose(1, 2), lengths)
        return embed.activation(embed.padding(embed.conv(x.transpose(1, 2)))).transpose(1, 2)

    def _layers(self, x, lengths):
        bias = None
        for layer in self.body.layers:
            if self.carries_bias:
                valid = valid_mask(lengths, x.shape[1]).long()
                x, bias = layer(x, attention_mask=valid, position_bias=bias)
            else:
                x = layer(x, attention_mask=attention_mask(lengths, x.shape[1]))
            yield x


def norm_over_frames(x, lengths, norm):
    """A `GroupNorm` with a group for each channel over the valid frames of x (B, C, T) only."""
    valid, count = valid_mask(lengths, x.shape[2]).unsqueeze(1), lengths.view(-1, 1, 1)
    mean = x.masked_fill(~valid, 0.0).sum(2, keepdim=True) / count
    centred = x - mean
    variance = centred.masked_fill(~valid, 0.0).square().sum(2, keepdim=True) / count
    scaled = centred / (variance + norm.eps).sqrt()
    return scaled * norm.weight.view(1, -1, 1) + norm.bias.view(1, -1, 1)
