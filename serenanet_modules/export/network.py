"""What is exported: audio in, log-probabilities out, in operations that every format has."""

import contextlib
import copy
import os

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.features import MelPower
from serenanet_modules.ops.backends import VARIABLE


class Network(nn.Module):
    """A model with the choice of its heads, its spectra as convolutions.

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
            if isinstance(part, MelPower):
                self.model.set_submodule(name, ConvolvedMelPower(part))

    def forward(self, audio, lengths):
        """audio (B, S) float, lengths (B,) int64 samples -> log-probabilities (B, T, V), lengths (B,) frames."""
        output = self.model(audio, lengths)
        return output.log_probs(self.scoring), output.lengths


class ConvolvedMelPower(nn.Module):
    """`MelPower` with the Fourier transform as a convolution with windowed cosines and sines.

    Runtimes differ in what they make of an STFT; convolutions they all have, and quantisation leaves them alone.

    Parameters
    ----------
    power : MelPower
    """

    def __init__(self, power):
        super().__init__()
        self.hop, window, n_fft = power.hop, power.window.double(), power.n_fft
        before = (n_fft - len(window)) // 2  # samples of a frame that lie before the window, as of torch.stft
        self.beside = (before, n_fft - len(window) - before)
        angle = torch.outer(torch.arange(n_fft // 2 + 1), torch.arange(len(window)) + before) % n_fft  # (F, W)
        angle = 2 * torch.pi / n_fft * angle
        waves = torch.cat([angle.cos(), angle.sin()]) * window
        self.register_buffer("waves", waves.float().unsqueeze(1), persistent=False)  # (2 F, 1, W)
        self.register_buffer("filters", power.filters.T.unsqueeze(2), persistent=False)  # (mels, F, 1)
        self.register_buffer("shares", power.shares, persistent=False)

    def forward(self, changes):
        """Differences (B, S) -> (B, T, n_mels)."""
        before, behind = self.beside
        changes = functional.pad(changes.unsqueeze(1), (-before, -behind))
        real, imaginary = functional.conv1d(changes, self.waves, stride=self.hop).square().chunk(2, dim=1)
        return functional.conv1d(real + imaginary, self.filters).transpose(1, 2)


def check_absent(*carried):
    """Refuse what a stream carries, in an export of whole utterances.

    Raises
    ------
    NotImplementedError
    """
    if any(part is not None for part in carried):
        raise NotImplementedError("a state that is carried cannot be exported here; --to step exports streaming steps")


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
