"""Whisper's features (Radford et al. 2022, arXiv 2212.04356)."""

import torch
from torch import nn

from serenanet_modules.lobes.pretrained.spectrum import WINDOW, PowerMel, frames_of

HALF = WINDOW // 2
LEAST = 1e-10  # power that counts as silence
RANGE = 8.0  # powers of ten below an utterance's loudest


class WhisperLogMel(nn.Module):
    """Samples to frames centred at multiples of 10 ms, the loudest of an utterance setting its range.

    Parameters
    ----------
    n_mels : int
    """

    def __init__(self, n_mels):
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        bank = mel_filter_bank(1 + HALF, n_mels, 0.0, 8000.0, 16000, norm="slaney", mel_scale="slaney")
        self.power = PowerMel(torch.hann_window(WINDOW, dtype=torch.float64), WINDOW, bank)

    def forward(self, wavs, count):
        """wavs (B, S), S > WINDOW / 2 -> (B, count, n_mels); all frames that hear the utterance must be among them."""
        before, behind = wavs[:, 1 : HALF + 1].flip(1), wavs[:, -HALF - 1 : -1].flip(1)
        log = self.power(frames_of(torch.cat([before, wavs, behind], dim=1), count)).clamp(min=LEAST).log10()
        log = torch.maximum(log, log.amax((1, 2), keepdim=True) - RANGE)
        return ((log + 4.0) / 4.0).to(wavs.dtype)
