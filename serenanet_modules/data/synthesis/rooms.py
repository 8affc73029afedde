"""What a microphone in a room hears of clean speech: echoes, its own response, noise, some level; drawn at random."""

from dataclasses import dataclass

import numpy as np

DRY = 0.3  # share of recordings without a room
DECAY = (0.15, 0.7)  # seconds in which the room's sound falls by 60 dB
DIRECT = (0.0, 15.0)  # dB of the direct sound over all that the room adds
GAP = 0.003  # seconds before the first echo
TILT = 6.0  # dB that the microphone's response may rise or fall at each of BANDS
BANDS = (100.0, 400.0, 1600.0, 6400.0)  # Hz
NOISE = (10.0, 45.0)  # dB of the speech over the noise
COLOUR = (0.0, 2.0)  # the noise's power falls as 1 / frequency ** colour: white to brown
PEAK = (0.1, 0.9)  # the loudest sample


@dataclass(frozen=True)
class Room:
    """A room, a microphone and a level, drawn once for a recording.

    Attributes
    ----------
    decay : float
        Seconds; 0 for no room.
    direct : float
        dB.
    response : tuple of float
        dB at `BANDS`.
    noise : float
        dB.
    colour : float
    peak : float
    """

    decay: float
    direct: float
    response: tuple[float, ...]
    noise: float
    colour: float
    peak: float

    @classmethod
    def draw(cls, rng):
        """A random one."""
        decay = 0.0 if rng.uniform() < DRY else rng.uniform(*DECAY)
        return cls(
            *(decay, rng.uniform(*DIRECT), tuple(rng.uniform(-TILT, TILT, len(BANDS)))),
            *(rng.uniform(*NOISE), rng.uniform(*COLOUR), rng.uniform(*PEAK)),
        )

    def record(self, samples, rate, rng):
        """Speech as it is recorded here.

        Parameters
        ----------
        samples : numpy.ndarray
            (N,) float.
        rate : int
            Hz.
        rng : numpy.random.Generator
            Of the echoes and the noise.

        Returns
        -------
        numpy.ndarray
            (M,) float, M ≥ N: the room sounds on.
        """
        echo = impulse_response(self.decay, self.direct, rate, rng)
        length = len(samples) + len(echo) - 1
        spectrum = np.fft.rfft(samples, length) * np.fft.rfft(echo, length)
        frequencies = np.fft.rfftfreq(length, 1 / rate)
        heard = np.fft.irfft(spectrum * self._gain(frequencies), length)
        noise = np.fft.rfft(rng.standard_normal(length)) * self._noise_gain(frequencies)
        noise = np.fft.irfft(noise, length)
        heard = heard + noise * (_loudness(heard) / max(_loudness(noise), 1e-12) * 10 ** (-self.noise / 20))
        return heard * (self.peak / max(np.abs(heard).max(), 1e-12))

    def _gain(self, frequencies):
        """Of the microphone, (F,)."""
        octaves = np.log2(np.maximum(frequencies, 1.0))
        return 10 ** (np.interp(octaves, np.log2(BANDS), self.response) / 20)

    def _noise_gain(self, frequencies):
        return np.maximum(frequencies, BANDS[0]) ** (-self.colour / 2)


def impulse_response(decay, direct, rate, rng):
    """The direct sound, and noise that dies away behind it (Polack's model of a room, 1988).

    Parameters
    ----------
    decay : float
        Seconds until the echoes are 60 dB weaker; 0 for none.
    direct : float
        dB of the direct sound over all echoes.
    rate : int
        Hz.
    rng : numpy.random.Generator

    Returns
    -------
    numpy.ndarray
        (N,) of which the first is 1.

    Examples
    --------
    >>> h = impulse_response(0.5, 6.0, 16000, np.random.default_rng(0))
    >>> float(h[0]), round(float(10 * np.log10(1 / np.square(h[1:]).sum())), 6), len(h)
    (1.0, 6.0, 8000)
    """
    response = np.zeros(max(1, round(decay * rate)))
    first = round(GAP * rate)
    if len(response) > first:
        time = np.arange(len(response) - first) / rate
        echoes = rng.standard_normal(len(time)) * 10 ** (-3 * time / decay)
        response[first:] = echoes * (10 ** (-direct / 20) / np.sqrt(np.square(echoes).sum()))
    response[0] = 1.0
    return response


def _loudness(samples):
    return np.sqrt(np.mean(np.square(samples)))
