"""Where nothing is said: what is too quiet for anything, and faint noise that never rises as speech does."""

import numpy as np

from serenanet_modules.data.audio import SILENCE

FAINT = 1e-2  # amplitude (-40 dBFS) below which steady sound is the noise of a room
FRAME = 400  # samples, 25 ms
FEW = 8  # frames that are too few to tell
STEADY = 4.0  # 6 dB: how far steady sound rises over its quietest; speech rises by 10 dB and more
LEAST = 1e-12  # power of a frame of zeros
STRETCH = 400 * FRAME  # samples that are looked at at once, in numbers of twice their size


class Silence:
    """Tells silence from sound that comes in pieces, whatever its offset.

    The power of loud frames is the mean of all, each weighted by itself; of quiet ones, by its inverse.

    Examples
    --------
    >>> noise = np.random.default_rng(0).uniform(-1, 1, 16000)
    >>> [Silence().add(level * noise).holds for level in (1e-5, 5e-3, 0.1)]
    [True, True, False]
    >>> Silence().add(5e-3 * noise * np.linspace(0, 1, 16000)).holds
    False
    """

    def __init__(self):
        self._lowest, self._highest = np.inf, -np.inf
        self._rest, self._sums = np.empty(0), np.zeros(4)

    def add(self, samples):
        """Go on by samples (N,); itself."""
        for at in range(0, len(samples), STRETCH):
            self._add(samples[at : at + STRETCH])
        return self

    def _add(self, samples):
        self._lowest = min(self._lowest, float(samples.min()))
        self._highest = max(self._highest, float(samples.max()))
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // FRAME * FRAME
        power = samples[:whole].reshape(-1, FRAME).var(axis=1, dtype=np.float64)
        power, self._rest = power[power > LEAST], samples[whole:]
        self._sums = self._sums + [np.square(power).sum(), power.sum(), len(power), (1 / power).sum()]

    @property
    def holds(self):
        """Whether nothing is said in all that came."""
        amplitude = (self._highest - self._lowest) / 2
        if not amplitude >= SILENCE:
            return True
        square, total, count, inverse = self._sums
        return amplitude < FAINT and count >= FEW and bool(square / total < STEADY * count / inverse)
