"""Voices as vectors (Wan et al. 2018, "Generalized end-to-end loss for speaker verification", arXiv 1710.10467)."""

import torch
from torch import nn
from torch.nn import functional
from torchaudio.functional import melscale_fbanks

from serenanet_modules.lobes.pretrained.spectrum import HOP, WINDOW, PowerMel, frames_of

MELS, WIDTH, LAYERS = 40, 256, 3
FRAMES = 160  # of 10 ms, which a vector is made of
SAMPLES = FRAMES * HOP
LEVEL = 10 ** (-30 / 20)  # root of the mean power that what is heard is brought to
LEAST = 1e-12  # of powers and norms that are divided by


class SpeakerEncoder(nn.Module):
    """1.6 seconds of speech to a vector of its speaker, by the layers that Resemblyzer's weights belong to.

    Power in 40 mel bands, not its logarithm; an LSTM of three layers, whose last state a linear layer with a ReLU
    follows. Each window is as loud as any other, so that distance from the microphone says nothing.
    """

    def __init__(self):
        super().__init__()
        bank = melscale_fbanks(WINDOW // 2 + 1, 0.0, 8000.0, MELS, 16000, norm="slaney", mel_scale="slaney")
        self.power = PowerMel(torch.hann_window(WINDOW, dtype=torch.float64), WINDOW, bank)
        self.lstm = nn.LSTM(MELS, WIDTH, LAYERS, batch_first=True)
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, wavs):
        """wavs (B, `SAMPLES`) at 16 kHz -> (B, 256) of length 1, no coordinate below 0."""
        level = wavs.square().mean(1, keepdim=True).clamp(min=LEAST).sqrt()
        padded = functional.pad(wavs * (LEVEL / level), (WINDOW // 2, WINDOW // 2))
        mels = self.power(frames_of(padded, FRAMES)).to(wavs.dtype)
        _, (state, _) = self.lstm(mels)
        return functional.normalize(self.linear(state[-1]).relu(), dim=1, eps=LEAST)
