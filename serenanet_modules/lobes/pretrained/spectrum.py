"""Power spectra as the features of public encoders have them: windows of 25 ms every 10 ms.

The Fourier transform is a product of matrices in double precision: as exact as those that the encoders were trained
with, and of operations that exported files have.
"""

import torch
from torch import nn

WINDOW, HOP = 400, 160  # samples
GRAIN = 80  # samples, which both are multiples of


def frames_of(x, count):
    """The first ``count`` windows of samples x (B, S): (B, count, WINDOW)."""
    grains = x[:, : x.shape[1] // GRAIN * GRAIN].unflatten(1, (-1, GRAIN))
    step = HOP // GRAIN
    parts = [grains[:, i : i + step * (count - 1) + 1 : step] for i in range(WINDOW // GRAIN)]
    return torch.cat(parts, dim=2)


class PowerMel(nn.Module):
    """Windows (B, T, WINDOW) -> power in mel bands (B, T, mels), in double precision.

    Parameters
    ----------
    window : array
        (WINDOW,)
    n_fft : int
    filters : array
        (n_fft / 2 + 1, mels)
    """

    def __init__(self, window, n_fft, filters):
        super().__init__()
        angle = torch.outer(torch.arange(WINDOW), torch.arange(n_fft // 2 + 1)) % n_fft
        angle = angle.double() * (2 * torch.pi / n_fft)
        waves = torch.cat([angle.cos(), angle.sin()], dim=1) * torch.as_tensor(window).double().unsqueeze(1)
        self.register_buffer("waves", waves, persistent=False)  # (WINDOW, 2 F)
        self.register_buffer("filters", torch.as_tensor(filters).double(), persistent=False)

    def forward(self, frames):
        """In double precision, whatever the frames are in."""
        real, imaginary = (frames.double() @ self.waves).chunk(2, dim=-1)
        return (real.square() + imaginary.square()) @ self.filters
