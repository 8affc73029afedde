"""What is exported: audio in, log-probabilities out, in operations that every format has."""

import contextlib
import copy
import os

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.features import LEAST, LogMel
from serenanet_modules.ops.backends import VARIABLE


class Network(nn.Module):
    """A model with the choice of its heads, its log-mel features as convolutions.

    Parameters
    ----------
    model : CTCModel
        Stays as it is.
    scoring : {"decoder", "car", "average"}
        As in `CTCOutput.log_probs`.
    """

    def __init__(self, model, scoring):
        super().__init__()
        self.model, self.scoring = copy.deepcopy(model), scoring
        for name, part in model.named_modules():
            if isinstance(part, LogMel):
                self.model.set_submodule(name, ConvolvedLogMel(part))

    def forward(self, audio, lengths):
        """audio (B, S) float, lengths (B,) int64 samples -> log-probabilities (B, T, V), lengths (B,) frames."""
        output = self.model(audio, lengths)
        return output.log_probs(self.scoring), output.lengths


class ConvolvedLogMel(nn.Module):
    """`LogMel` with the Fourier transform as a convolution with windowed cosines and sines.

    Runtimes differ in what they make of an STFT; convolutions they all have, and quantisation leaves them alone.

    Parameters
    ----------
    features : LogMel
    """

    def __init__(self, features):
        super().__init__()
        window, n_fft = features.window.double(), features.n_fft
        skipped = (n_fft - len(window)) // 2  # zeros that torch.stft puts before the window
        step = torch.arange(len(window)) + skipped
        bins = torch.arange(n_fft // 2 + 1)
        angle = 2 * torch.pi / n_fft * (torch.outer(bins, step) % n_fft)  # (F, W)
        waves = torch.cat([angle.cos(), angle.sin()]) * window
        self.register_buffer("waves", waves.float().unsqueeze(1), persistent=False)  # (2 F, 1, W)
        before = n_fft // 2 - skipped  # samples of a window before its frame's centre
        self.pads, self.hop = (before, len(window) - before), features.hop
        self.frame_seconds = features.frame_seconds
        self.register_buffer("filters", features.filters.T.unsqueeze(2), persistent=False)  # (mels, F, 1)
        self.register_buffer("mean", features.mean, persistent=False)
        self.register_buffer("std", features.std, persistent=False)

    def forward(self, audio, lengths):
        """audio (B, S), lengths (B,) int64 samples -> features (B, T, n_mels), lengths (B,) frames."""
        audio = zero_padding(audio.unsqueeze(-1), lengths).transpose(1, 2)
        spectrum = functional.conv1d(functional.pad(audio, self.pads), self.waves, stride=self.hop)
        real, imaginary = spectrum.square().chunk(2, dim=1)  # each (B, F, T)
        mels = functional.conv1d(real + imaginary, self.filters)
        x = 10 * mels.clamp(min=LEAST).log10()
        lengths = torch.div(lengths, self.hop, rounding_mode="floor") + 1
        return zero_padding((x.transpose(1, 2) - self.mean) / self.std, lengths), lengths


@contextlib.contextmanager
def plain_operations():
    """Let `ops` run its plain PyTorch, whose operations the formats know."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = "torch"
    try:
        yield
    finally:
        if before is None:
            del os.environ[VARIABLE]
        else:
            os.environ[VARIABLE] = before
