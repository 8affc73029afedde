"""Audio of any kind and length, in pieces that a recogniser can take."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from serenanet_modules.data.audio import (
    BLOCK_SECONDS,
    LEAST_RATE,
    MOST_RATE,
    SAMPLE_RATE,
    beyond_sound,
    blocks,
    mixed,
    resampled,
)
from serenanet_modules.data.segment import segment
from serenanet_modules.data.silence import Silence
from serenanet_modules.errors import UserError

MOST_CHANNELS = 64  # more are samples that stand the wrong way round


@dataclass(frozen=True)
class Piece:
    """A part of a source: samples (N,) float32 at 16 kHz, which begin ``start`` seconds into it."""

    start: float
    samples: np.ndarray

    @property
    def seconds(self):
        return len(self.samples) / SAMPLE_RATE

    @property
    def silent(self):
        """Whether nothing is said in it."""
        return Silence().add(self.samples).holds


@dataclass(frozen=True)
class End:
    """No more of a source: it was ``duration`` seconds long, or ``error`` says what is wrong with it."""

    duration: float = 0.0
    error: UserError | None = None


@dataclass(frozen=True)
class Part:
    """What is to be heard of an audio file: a channel, from 0, or all averaged; a sound track as of `audio.blocks`."""

    path: Path
    channel: int | None = None
    track: str | None = None


def is_one(value):
    """Whether this is a source, and no collection of them."""
    pair = isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], (int, float))
    return pair or isinstance(value, (str, Path, Part, np.ndarray)) or hasattr(value, "__array__")


def read(source):
    """Samples of a source, block by block.

    Parameters
    ----------
    source : str, Path, Part, array or (array, int)
        An audio file of any rate, channel count and format; float samples (N,) between -1 and 1 at 16 kHz; or such
        samples (N,) or (N, channels) and their rate in Hz.

    Yields
    ------
    numpy.ndarray
        (N,) float32 at 16 kHz, channels mixed.

    Raises
    ------
    UserError
        For what is no usable audio, for a file as late as its bad part is reached.
    """
    if isinstance(source, (str, Path)):
        source = Part(source)
    if isinstance(source, Part):
        yield from _not_empty(blocks(source.path, source.channel, source.track), source.path)
        return
    samples, rate = source if isinstance(source, tuple) and len(source) == 2 else (source, SAMPLE_RATE)
    mono, size = _checked(samples, rate, isinstance(source, tuple)), int(BLOCK_SECONDS * rate)
    parts = (mono[at : at + size] for at in range(0, len(mono), size))
    yield from resampled(parts, rate)


def beginning(source, seconds):
    """The first so many seconds of a source, samples (N,) float32 at 16 kHz; errors as of `read`."""
    found, left = [], round(seconds * SAMPLE_RATE)
    for samples in read(source):
        found.append(samples[:left])
        left -= len(found[-1])
        if not left:
            break
    return np.concatenate(found)


def cut(source, most=30.0):
    """The pieces of a source, of at most so many seconds, then its `End`.

    What is wrong with the source comes in that, not as an exception.
    """
    at = 0
    try:
        for samples in segment(read(source), most):
            yield Piece(at / SAMPLE_RATE, samples if samples.base is None else samples.copy())  # a view keeps the whole
            at += len(samples)
    except UserError as error:
        yield End(error=error)
    else:
        yield End(at / SAMPLE_RATE)


def windows(sources, seconds, most=30.0):
    """Lists of consecutive pieces, of ``most`` seconds, and ends of all sources, about ``seconds`` of audio each.

    No more is in memory at once, however many the sources are and however long.
    """
    window, held = [], 0.0
    for source in sources:
        for event in cut(source, most):
            window.append(event)
            held += event.seconds if isinstance(event, Piece) else 0.0
            if held >= seconds or not held:  # errors that nothing stands before need not wait
                yield window
                window, held = [], 0.0
    if window:
        yield window


def _not_empty(parts, path):
    heard = False
    for part in parts:
        heard = heard or len(part) > 0
        yield part
    if not heard:
        raise UserError(f"{path}: there is no sound in it (0 samples).")


def check_sound(samples):
    """Refuse an array of numbers that are no samples between -1 and 1."""
    if not np.isfinite(samples).all():
        raise UserError("an array of samples: some are infinite or not a number")
    if too_loud := beyond_sound(samples):
        raise UserError(f"an array of samples: they are not between -1 and 1 ({too_loud})")


def _checked(samples, rate, with_rate):
    """One channel (N,) float32 of samples that can be transcribed."""
    samples = np.asarray(samples)
    shapes = (1, 2) if with_rate else (1,)
    if samples.ndim in shapes and not len(samples):
        raise UserError(f"an array of shape {samples.shape}: there is no sound in it (0 samples); leave it out")
    if samples.ndim not in shapes or not np.issubdtype(samples.dtype, np.floating):
        raise UserError(
            f"an array of {samples.dtype} of shape {samples.shape}: give one channel (N,) of float samples between -1 "
            "and 1 at 16 kHz, or a pair of samples (N,) or (N, channels) and their rate"
        )
    if samples.ndim == 2 and not 0 < samples.shape[1] <= MOST_CHANNELS:
        raise UserError(f"an array of shape {samples.shape}: give (N, channels), time first")
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not LEAST_RATE <= rate <= MOST_RATE:
        raise UserError(f"a rate of {rate!r}: give samples per second, such as 44100")
    check_sound(samples)
    mono = samples if samples.ndim == 1 else mixed(samples)
    return np.ascontiguousarray(mono, dtype=np.float32)
