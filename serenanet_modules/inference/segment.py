"""Long audio in pieces that a recogniser can take, cut where it is quiet."""

import numpy as np

from serenanet_modules.data.audio import SAMPLE_RATE

FRAME = SAMPLE_RATE // 100  # samples in 10 ms, the grain of a cut
PAUSE = 20  # frames: what is loud this long is speech, what is quiet this long is a pause


def segment(samples, max_seconds=30.0):
    """Cut audio at its quietest points.

    Each piece but the last ends in the quietest fifth of a second between ``max_seconds / 2`` and
    ``max_seconds`` after its start; the last keeps at least a quarter of ``max_seconds``.

    Parameters
    ----------
    samples : numpy.ndarray
        (N,) float at 16 kHz.
    max_seconds : float
        Longest piece; a second at least.

    Yields
    ------
    numpy.ndarray
        Views of `samples` that cover it in order, without gaps.

    Examples
    --------
    >>> samples = np.ones(50 * SAMPLE_RATE)
    >>> samples[20 * SAMPLE_RATE : 21 * SAMPLE_RATE] = 0
    >>> [round(len(piece) / SAMPLE_RATE) for piece in segment(samples)]
    [21, 29]
    """
    if max_seconds < 1:
        raise ValueError(f"max_seconds is {max_seconds}, not at least 1")
    longest = int(max_seconds * SAMPLE_RATE)
    start = 0
    while len(samples) - start > longest:
        latest = min(longest, len(samples) - start - longest // 4)
        earliest = longest // 2
        cut = start + earliest + _quietest(samples[start + earliest : start + latest])
        yield samples[start:cut]
        start = cut
    yield samples[start:]


def _quietest(samples):
    """Offset of the middle of the quietest pause; of equally quiet ones the last, for the longer piece."""
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    energy = np.square(frames, dtype=np.float64).sum(axis=1)
    loudness = np.convolve(energy, np.ones(PAUSE), mode="valid")
    last = len(loudness) - 1 - int(loudness[::-1].argmin())
    return (last + PAUSE // 2) * FRAME
