"""Log-mel filterbanks that a recording's gain and offset do not change, with a global normaliser.

Power is that of differences of neighbouring samples, which know no offset; the filters undo the difference's tilt. It
is taken relative to a running level of the speech (`lobes.level`), and so is the logarithm's floor: what lies 50 dB
below the speech is hardly heard, so that a quiet recording may be one of 16 bits. The normaliser's statistics travel
with the weights.

Mel scale, filters and frames are SpeechBrain's. Its own `STFT` and `Filterbank` are not called because any import of
SpeechBrain brings all that its training needs, SciPy's statistics first: a second and 180 MB before the first word of a
transcript. They would also build the filters anew for each batch.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.level import ABOVE, FIRST, FLOOR, KNOCK, LEAST, MEMORY, running_level
from serenanet_modules.ops.observers import unobserved

UPRIGHT = 50.0  # Hz from which on the tilt is undone
PIECE = (
    3000  # frames that are transformed at a time: spectra of hours would not fit into memory, nor copies of the sound
)
STEADY = 5.0  # dB: deviation of a band that hardly ever rises above the floor, as where a codec has cut
DEAF = 1e6  # dB: what such a band is divided by, so that nothing is heard in it that the training never had


class LogMel(nn.Module):
    """Waveforms to normalised log-mel features, relative to the level of the speech.

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

    first = FIRST  # frames that a stream waits for
    most_seconds, least_seconds = None, 0.0  # as of `AcousticModel`

    def __init__(self, n_mels=128, n_fft=1024, sample_rate=16000, win_length=25, hop_length=10):
        super().__init__()
        self.n_fft, self.n_mels = n_fft, n_mels
        self.hop = round(sample_rate * hop_length / 1000)  # samples
        self.frame_seconds = self.hop / sample_rate
        self.power = MelPower(n_mels, n_fft, sample_rate, round(sample_rate * win_length / 1000), self.hop)
        self.register_buffer("mean", torch.zeros(n_mels))
        self.register_buffer("std", torch.ones(n_mels))

    @property
    def statistics(self):
        """What `fit` sets, by name."""
        return {"mean": self.mean, "std": self.std}

    def extra_repr(self):
        """What decides the features before they are normalised."""
        shape = f"n_mels={self.n_mels}, n_fft={self.n_fft}, hop={self.hop}, frame={self.frame_seconds}"
        return f"{shape}, level={(ABOVE, FIRST, FLOOR, KNOCK, LEAST, MEMORY, STEADY)}"

    def forward(self, wavs, lengths):
        """wavs (B, S), lengths (B,) int64 samples -> features (B, T, n_mels), lengths (B,) frames."""
        x, lengths = self.raw(wavs, lengths)
        return zero_padding((x - self.mean) / self.std, lengths), lengths

    def raw(self, wavs, lengths):
        """The same before normalisation, in dB over the level; what lies past a length is undefined."""
        frames = wavs.shape[1] // self.hop + 1
        if unobserved(wavs) and frames > PIECE:
            starts = range(0, frames, PIECE)
            pieces = (self._piece(wavs, lengths, start, min(start + PIECE, frames)) for start in starts)
            power = torch.cat([*pieces], dim=1)
        else:
            power = self._power(self._changes(wavs.float(), None), lengths, self.n_fft // 2, self.n_fft // 2)
        lengths = torch.div(lengths, self.hop, rounding_mode="floor") + 1
        return self._relative(power, valid_mask(lengths, power.shape[1]))[0], lengths

    def _piece(self, wavs, lengths, start, end):
        """Power of the frames ``start`` to ``end``; frame t is centred at sample ``hop * t``."""
        low = start * self.hop - self.n_fft // 2
        high = (end - 1) * self.hop - self.n_fft // 2 + self.n_fft
        first = max(0, low)
        changes = self._changes(wavs[:, first:high].float(), wavs[:, first - 1 : first].float() if first else None)
        return self._power(changes, (lengths - first).clamp(min=0), first - low, high - first - changes.shape[1])

    def _power(self, changes, lengths, before, behind):
        """Power of the frames in differences (B, S), zero past their lengths and so many samples beside them."""
        changes = zero_padding(changes.unsqueeze(-1), lengths).squeeze(-1)
        return self.power(functional.pad(changes, (before, behind)))

    def _changes(self, wavs, before):
        return differences(wavs, before)

    def _relative(self, power, valid, state=(None, None, None)):
        """power (B, T, n_mels), valid bool (B, T) -> dB over the level (B, T, n_mels), and the level's state."""
        with torch.autocast(power.device.type, enabled=False):
            level, state = running_level((power * self.power.shares).sum(-1), valid, state)
            return 10 * torch.log10(power / level.unsqueeze(-1) + FLOOR), state

    # --- piece by piece -------------------------------------------------------------------------------------------

    @property
    def look_ahead(self):
        """Samples that a frame reads from its centre on; frames of the first second wait for its end."""
        return len(self.power.window) - len(self.power.window) // 2

    def init_state(self, batch):
        """The last sample, differences (B, ≥ n_fft / 2) from where the next frame begins, and the level's state."""
        return None, self.mean.new_zeros(batch, self.n_fft // 2), (None, None, None)

    def step(self, wavs, state):
        """Continue by wavs (B, S), any S: features (B, T, n_mels) of the frames that are whole now, and the next state.

        A frame is whole when all samples under its window are there: what lies beside the window weighs nothing.
        """
        return self._frames(wavs, state, self.look_ahead, self.first if state[-1][0] is None else 1)

    def finish(self, wavs, state):
        """The features that are left after the last samples wavs (B, S), S ≥ 0: frames whose centre was heard."""
        return self._frames(wavs, state, 0, 1)[0]

    def _frames(self, wavs, state, beyond, least):
        """Frames with ``beyond`` samples from their centre on, ``least`` or none, and the next state."""
        last, changes, level = state
        changes, half = torch.cat([changes, self._changes(wavs.float(), last)], dim=1), self.n_fft // 2
        last = wavs[:, -1:].float() if wavs.shape[1] else last
        count = max(0, (changes.shape[1] - half - beyond) // self.hop + 1)
        if count < least:
            return changes.new_zeros(len(changes), 0, self.n_mels), (last, changes, level)
        end = (count - 1) * self.hop + self.n_fft
        power = self.power(functional.pad(changes, (0, max(0, end - changes.shape[1])))[:, :end])
        x, level = self._relative(power, torch.ones_like(power[..., 0], dtype=torch.bool), level)
        return (x - self.mean) / self.std, (last, changes[:, count * self.hop :], level)

    @torch.no_grad()
    def fit(self, batches):
        """Set mean and standard deviation of an iterable of (wavs (B, S), lengths (B,)); mute steady bands."""
        count, total, square = 0, 0.0, 0.0
        for wavs, lengths in batches:
            x, frames = self.raw(wavs, lengths)
            x = zero_padding(x, frames).double()
            count += int(frames.sum())
            total = total + x.sum((0, 1))
            square = square + x.square().sum((0, 1))
        mean = total / count
        self.mean.copy_(mean)
        deviation = (square / count - mean.square()).clamp(min=0).sqrt()
        self.std.copy_(deviation.masked_fill(deviation < STEADY, DEAF))


class AbsoluteLogMel(LogMel):
    """The same as SpeechBrain has it, to the last bit: decibels that change with a recording's level and offset.

    For weights that have learned to read those; arguments as of `LogMel`.
    """

    first = 1

    def __init__(self, n_mels=128, n_fft=1024, sample_rate=16000, win_length=25, hop_length=10):
        super().__init__(n_mels, n_fft, sample_rate, win_length, hop_length)
        self.power.filters = mel_filters(n_mels, n_fft, sample_rate)

    def extra_repr(self):
        """What decides the features before they are normalised."""
        return f"n_mels={self.n_mels}, n_fft={self.n_fft}, hop={self.hop}, frame={self.frame_seconds}"

    def _changes(self, wavs, before):
        return wavs

    def _relative(self, power, valid, state=(None, None, None)):
        return 10 * torch.log10(power.clamp(min=LEAST)), state


class MelPower(nn.Module):
    """Mean power in each mel band, of frames of the differences of samples.

    Parameters
    ----------
    n_mels, n_fft, sample_rate : int
        As of `LogMel`.
    window, hop : int
        Samples.
    """

    def __init__(self, n_mels, n_fft, sample_rate, window, hop):
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        filters = mel_filters(n_mels, n_fft, sample_rate)  # (F, n_mels)
        widths, hamming = filters.sum(0), torch.hamming_window(window)
        hertz = torch.linspace(0, sample_rate // 2, n_fft // 2 + 1).clamp(min=UPRIGHT)
        tilt = (2 * torch.sin(torch.pi * hertz / sample_rate)).square() * hamming.square().sum()
        self.register_buffer("window", hamming, persistent=False)
        self.register_buffer("filters", filters / widths / tilt.unsqueeze(1), persistent=False)
        self.register_buffer("shares", widths / widths.sum(), persistent=False)  # of the bands in the whole power

    def extra_repr(self):
        """What decides the powers."""
        return f"window={len(self.window)}, upright={UPRIGHT}"

    def forward(self, changes):
        """Differences (B, S) -> (B, T, n_mels) of all frames of n_fft samples that lie within them."""
        with torch.autocast(changes.device.type, enabled=False):
            options = {"window": self.window, "center": False, "return_complex": True}
            spectrum = torch.stft(changes, self.n_fft, self.hop, len(self.window), **options)  # (B, F, T)
            real, imaginary = torch.view_as_real(spectrum).transpose(1, 2).unbind(-1)
            return (real.square() + imaginary.square()) @ self.filters


def differences(wavs, before=None):
    """What each sample of wavs (B, S) adds to the one before; the first to ``before`` (B, 1), without it nothing."""
    return torch.diff(wavs, prepend=wavs[:, :1] if before is None else before) if wavs.shape[1] else wavs


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
