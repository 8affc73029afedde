"""An acoustic model that learns from sound alone."""

from torch import nn


class PretrainingModel(nn.Module):
    """What an acoustic model with `PESSL` learns by masked prediction; it has the names of recognisers' weights.

    Parameters
    ----------
    acoustic : AcousticModel
    """

    def __init__(self, acoustic):
        super().__init__()
        self.acoustic = acoustic

    def forward(self, wavs, lengths, conditions=None):
        """wavs (B, S), lengths (B,) int64 samples, `Conditions` -> `AcousticOutput`."""
        return self.acoustic(wavs, lengths, conditions)
