"""Long audio in pieces that a recogniser can take, cut where it is quiet."""

import numpy as np

from serenanet_modules.data.audio import SAMPLE_RATE

FRAME = SAMPLE_RATE // 100  # samples in 10 ms, the grain of a cut
BOUNDS = (3.0, 30.0)  # seconds, of what a recogniser is given at once
PAUSE = 20  # frames: what is loud this long is speech, what is quiet this long is a pause


def piece_seconds(usual):
    """How much audio a recogniser is given at once: what 99 % of its training utterances were, within `BOUNDS`.

    Few models bear more than they were trained on. Training's evaluation and all uses of the model cut alike, so that
    one model has one error rate.

    Parameters
    ----------
    usual : float
        ``p99_seconds`` of train, as `data.summary` counts it.

    Examples
    --------
    >>> piece_seconds(0.8), piece_seconds(7.5), piece_seconds(54.0)
    (3.0, 7.5, 30.0)
    """
    shortest, longest = BOUNDS
    return min(max(usual, shortest), longest)


def segment(blocks, max_seconds=BOUNDS[1]):
    """Cut audio at its quietest points as it comes in.

    Each piece but the last ends in the quietest fifth of a second between ``max_seconds / 2`` and
    ``max_seconds`` after its start; the last keeps at least a quarter of ``max_seconds``.

    Parameters
    ----------
    blocks : iterable of numpy.ndarray
        (N,) float at 16 kHz each, together the audio; where it is parted changes nothing. No more of it is held than
        a block and ``1.25 max_seconds``.
    max_seconds : float
        Longest piece; a second at least.

    Yields
    ------
    numpy.ndarray
        Pieces that cover the audio in order, without gaps.

    Examples
    --------
    >>> samples = np.resize([1.0, -1.0], 50 * SAMPLE_RATE)
    >>> samples[20 * SAMPLE_RATE : 21 * SAMPLE_RATE] = 0
    >>> [round(len(piece) / SAMPLE_RATE) for piece in segment([samples])]
    [21, 29]
    """
    longest, parts, size = samples_in(max_seconds), [], 0
    for block in blocks:
        parts.append(block)
        size += len(block)
        if size >= enough(longest):
            held = _joined(parts)
            while at := cut_at(held, longest):
                yield held[:at]
                held = held[at:]
            parts, size = [held] if len(held) else [], len(held)
    held, parts = _joined(parts), []
    while at := cut_at(held, longest, ended=True):
        yield held[:at]
        held = held[at:]
    if len(held):
        yield held


def samples_in(max_seconds):
    """The samples of the longest piece, which is a second at least."""
    if max_seconds < 1:
        raise ValueError(f"max_seconds is {max_seconds}, not at least 1")
    return int(max_seconds * SAMPLE_RATE)


def enough(longest):
    """Samples to be heard before a piece is cut off: then the last piece is not made too short."""
    return longest + longest // 4


def cut_at(held, longest, ended=False):
    """How many of the samples held (N,) are the next piece; 0 where no cut is due.

    Parameters
    ----------
    held : numpy.ndarray
        All that follows the last cut.
    longest : int
        Samples of the longest piece.
    ended : bool
        Whether no more will follow.
    """
    if len(held) <= longest or (len(held) < enough(longest) and not ended):
        return 0
    latest = min(longest, len(held) - longest // 4) if ended else longest
    return longest // 2 + quietest(held[longest // 2 : latest])


def _joined(parts):
    """One array of several, without a copy of a single one."""
    return parts[0] if len(parts) == 1 else np.concatenate(parts or [np.empty(0, np.float32)])


def quietest(samples):
    """Offset of the middle of the quietest pause, of samples (N,), a fifth of a second at least.

    Of equally quiet ones it is the last, for the longer piece.
    """
    frames = samples[: len(samples) // FRAME * FRAME].reshape(-1, FRAME)
    energy = np.square(frames - samples.mean(dtype=np.float64)).sum(axis=1)  # whatever the recording's offset
    loudness = np.convolve(energy, np.ones(PAUSE), mode="valid")
    last = len(loudness) - 1 - int(loudness[::-1].argmin())
    return (last + PAUSE // 2) * FRAME
