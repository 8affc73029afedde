"""The features of w2v-BERT 2.0 (Seamless Communication 2023, arXiv 2312.05187): Kaldi's filterbank, normalised."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.pretrained.spectrum import HOP, WINDOW, PowerMel, frames_of

N_FFT = 512
EMPHASIS = 0.97
LEAST = 1.192092955078125e-07  # power that counts as silence
EPSILON = 1e-7  # of a variance
SCALE = 2.0**15  # of 16-bit samples


class SeamlessFbank(nn.Module):
    """Samples to frames of 20 ms, two of Kaldi's side by side, each band normalised over its utterance.

    Parameters
    ----------
    n_mels : int
        Half of a frame's size.
    """

    def __init__(self, n_mels):
        super().__init__()
        from transformers.audio_utils import mel_filter_bank

        options = {"norm": None, "mel_scale": "kaldi", "triangularize_in_mel_space": True}
        bank = mel_filter_bank(N_FFT // 2 + 1, n_mels, 20, 8000, 16000, **options)
        window = torch.hann_window(WINDOW, periodic=False, dtype=torch.float64) ** 0.85  # Povey's
        self.power = PowerMel(window, N_FFT, bank)

    def forward(self, wavs, lengths):
        """wavs (B, S), lengths (B,) of two windows at least -> (B, T, 2 n_mels), lengths (B,)."""
        windows = frames_of(SCALE * wavs.double(), (wavs.shape[1] - WINDOW) // HOP + 1)
        windows = windows - windows.mean(2, keepdim=True)
        windows = windows - EMPHASIS * functional.pad(windows, (1, 0), mode="replicate")[..., :-1]
        x = self.power(windows).clamp(min=LEAST).log()  # (B, 10 ms frames, n_mels)
        count = torch.div(lengths - WINDOW, HOP, rounding_mode="floor") + 1
        x = _normalised(x, count).to(wavs.dtype)
        frames = torch.div(count, 2, rounding_mode="floor")  # a last one by itself is left out
        pairs = x[:, : x.shape[1] // 2 * 2].unflatten(1, (-1, 2)).flatten(2)
        return zero_padding(pairs, frames), frames


def _normalised(x, lengths):
    """x (B, T, F) with mean 0 and variance 1 over an utterance's frames."""
    count = lengths.view(-1, 1, 1)
    mean = zero_padding(x, lengths).sum(1, keepdim=True) / count
    centred = zero_padding(x - mean, lengths)
    return centred / (centred.square().sum(1, keepdim=True) / (count - 1) + EPSILON).sqrt()
