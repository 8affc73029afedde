"""Log-mel filterbanks with a global normaliser whose statistics travel with the weights.

The numbers are SpeechBrain's, bit by bit. Its own `STFT` and `Filterbank` are not called because any import of
SpeechBrain brings all that its training needs, SciPy's statistics first: a second and 180 MB before the first word of a
transcript. They would also build the filters anew for each batch.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.ops.observers import unobserved

LEAST = 1e-10  # power that counts as silence, -100 dB
PIECE = 3000  # frames that are transformed at a time: spectra are large, and hours of them would not fit into memory


class LogMel(nn.Module):
    """Waveforms to normalised log-mel features.

    Parameters
    ----------
    n_mels : int
        Number of triangular HTK-mel filters.
    n_fft : int
        FFT size. With 128 filters at 16 kHz, 400 leaves four filters empty and 512 one; 1024 none.
    sample_rate : int
        Hertz.
    win_length, hop_length : float
        Milliseconds.

    Raises
    ------
    ValueError
        If a filter covers no FFT bin.

    Examples
    --------
    >>> features = LogMel(n_mels=80, n_fft=512)
    >>> y, lengths = features(torch.randn(2, 16000), torch.tensor([16000, 8000]))
    >>> y.shape, lengths.tolist()
    (torch.Size([2, 101, 80]), [101, 51])
    """

    def __init__(self, n_mels=128, n_fft=1024, sample_rate=16000, win_length=25, hop_length=10):
        super().__init__()
        self.n_fft, self.n_mels = n_fft, n_mels
        self.hop = round(sample_rate * hop_length / 1000)  # samples
        self.frame_seconds = self.hop / sample_rate
        window = torch.hamming_window(round(sample_rate * win_length / 1000))
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("filters", mel_filters(n_mels, n_fft, sample_rate), persistent=False)  # (F, n_mels)
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    def extra_repr(self):
        """What decides the features before they are normalised."""
        window = len(self.window)
        return f"n_mels={self.n_mels}, n_fft={self.n_fft}, hop={self.hop}, window={window}, frame={self.frame_seconds}"

    def forward(self, wavs, lengths):
        """wavs (B, S), lengths (B,) int64 samples -> features (B, T, n_mels), lengths (B,) frames."""
        x, lengths = self.raw(wavs, lengths)
        return zero_padding((x - self.mean) / self.std, lengths), lengths

    def raw(self, wavs, lengths):
        """The same before normalisation, in dB; what lies past a length is undefined."""
        wavs = zero_padding(wavs.float().unsqueeze(-1), lengths).squeeze(-1)
        half = self.n_fft // 2  # frame t is centred at sample hop * t
        return self._filtered(functional.pad(wavs, (half, half))), lengths // self.hop + 1

    def _filtered(self, wavs):
        """wavs (B, S) -> dB (B, T, n_mels) of all frames of n_fft samples that lie within it."""
        frames = (wavs.shape[1] - self.n_fft) // self.hop + 1
        if not unobserved(wavs) or frames <= PIECE:
            return self._transformed(wavs)
        ends = ((min(start + PIECE, frames) - 1) * self.hop + self.n_fft for start in range(0, frames, PIECE))
        starts = range(0, frames * self.hop, PIECE * self.hop)
        return torch.cat([self._transformed(wavs[:, a:b]) for a, b in zip(starts, ends, strict=True)], dim=1)

    def _transformed(self, wavs):
        with torch.autocast(wavs.device.type, enabled=False):
            options = {"window": self.window, "center": False, "return_complex": True}
            spectrum = torch.stft(wavs, self.n_fft, self.hop, len(self.window), **options)  # (B, F, T)
            real, imaginary = torch.view_as_real(spectrum).transpose(1, 2).unbind(-1)
            return 10 * torch.log10(((real.square() + imaginary.square()) @ self.filters).clamp(min=LEAST))

    # --- piece by piece -------------------------------------------------------------------------------------------

    @property
    def look_ahead(self):
        """Samples that a frame reads from its centre on."""
        return len(self.window) - len(self.window) // 2

    def init_state(self, batch):
        """The samples (B, ≥ n_fft / 2) from where the next frame begins; zeros before the first."""
        return self.mean.new_zeros(batch, self.n_fft // 2)

    def step(self, wavs, state):
        """Continue by wavs (B, S), any S: features (B, T, n_mels) of the frames that are whole now, and the next state.

        A frame is whole when all samples under its window are there: what lies beside the window weighs nothing.
        """
        return self._frames(torch.cat([state, wavs.float()], dim=1), self.look_ahead)

    def finish(self, wavs, state):
        """The features that are left after the last samples wavs (B, S), S ≥ 0: frames whose centre was heard."""
        return self._frames(torch.cat([state, wavs.float()], dim=1), 0)[0]

    def _frames(self, wavs, beyond):
        """Frames with ``beyond`` samples from their centre on, and the samples from where the next one begins."""
        half = self.n_fft // 2
        count = max(0, (wavs.shape[1] - half - beyond) // self.hop + 1)
        if not count:
            return wavs.new_zeros(len(wavs), 0, self.n_mels), wavs
        end = (count - 1) * self.hop + self.n_fft
        x = self._filtered(functional.pad(wavs, (0, max(0, end - wavs.shape[1])))[:, :end])
        return (x - self.mean) / self.std, wavs[:, count * self.hop :]

    @torch.no_grad()
    def fit(self, batches):
        """Set mean and standard deviation per mel from an iterable of (wavs (B, S), lengths (B,))."""
        count, total, square = 0, 0.0, 0.0
        for wavs, lengths in batches:
            x, frames = self.raw(wavs, lengths)
            x = zero_padding(x, frames).double()
            count += int(frames.sum())
            total = total + x.sum((0, 1))
            square = square + x.square().sum((0, 1))
        mean = total / count
        self.mean.copy_(mean)
        self.std.copy_((square / count - mean.square()).clamp(min=1e-4).sqrt())


def mel_filters(n_mels, n_fft, sample_rate):
    """Triangular filters whose centres are evenly spaced in HTK mels up to half the sample rate.

    Both sides of a triangle are as wide as the distance from the centre before, as in SpeechBrain.

    Returns
    -------
    Tensor
        (n_fft / 2 + 1, n_mels), 1 at the centres.

    Raises
    ------
    ValueError
        If a filter covers no FFT bin.
    """
    mels = torch.linspace(0, 2595 * math.log10(1 + sample_rate / 2 / 700), n_mels + 2)
    hertz = 700 * (10 ** (mels / 2595) - 1)
    frequencies = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1)
    slopes = (frequencies - hertz[1:-1, None]) / hertz.diff()[:-1, None]
    filters = torch.minimum(slopes + 1, 1 - slopes).clamp(min=0)
    if empty := int((filters.sum(1) == 0).sum()):
        raise ValueError(
            f"n_mels {n_mels} with n_fft {n_fft} leaves {empty} empty mel filters; raise n_fft or lower n_mels"
        )
    return filters.T
