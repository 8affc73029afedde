"""Audio in: any file becomes 16 kHz mono float32, or an error that says what is wrong with it.

libsndfile (through soundfile) reads wav, flac, mp3, ogg, opus and more; the ffmpeg program, where
there is one, reads the containers of phones and browsers (m4a, mp4, webm, aac, amr, wma). Only
those: a damaged mp3 is refused with and without ffmpeg, so that a test set does not depend on the
machine.

Resampling is soxr's "HQ": twice as fast as torchaudio's cached filters, nothing to cache, and it
works without Python's lock, so that threads run beside each other.
"""

import contextlib
import io
import mmap
import os
import re
from pathlib import Path

import numpy as np
import soundfile
import soxr

from serenanet_modules.data import containers, ffmpeg, headers, joined, mpeg, passage, tars, wav
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing

SAMPLE_RATE = 16000
BLOCK_SECONDS = 30  # of a long recording, held in memory at once
BLOCK_SAMPLES = 2**22  # of all channels, held at once at rates far above those of speech
LEAST_RATE, MOST_RATE = 1000, 10**6  # Hz; what is slower or faster is a broken header
CANCELLED = 0.01  # power of the mean of channels over that of the loudest, below which they cancel each other
SILENCE = 1e-4  # `amplitude` (-80 dBFS) below which nothing is said
LOUDEST = (
    32.0  # a sample beyond this is no sound between -1 and 1 that was recorded too loud, but another kind of number
)
NEARLY = 0.9  # of an mp3's samples, whose first and last frames count or do not
MOST_CHANNELS = 64  # that are mixed into one
HTML = re.compile(rb"\s*<(!doctype )?html", re.IGNORECASE)
BAD_FILE = 7  # libsndfile's number for a file that is not there, and for an mp3 without a frame

REASONS = {
    "missing": "there is no such file",
    "undecodable": "this cannot be read as audio",
    "truncated": "the end of the file is missing",
    "joined": "it holds more audio than its header says, which would be lost; cut it into files, or convert it again",
    "header": "its header contradicts itself, so it would be decoded wrongly; convert it again from the original",
    "changed": "it was damaged in copying; copy it again, in binary mode",
    "channels": f"it has more than {MOST_CHANNELS} channels; keep those with speech",
    "rate": f"its sampling rate is not between {LEAST_RATE} and {MOST_RATE} Hz",
    "empty": "there is no sound in it (0 samples)",
    "not finite": "it has samples that are infinite or not a number",
    "out of range": "its samples are not between -1 and 1",
    "no such track": "it has no such sound track",
    "no such channel": "it has no such channel",
}


class AudioError(UserError):
    """A file that gives no usable audio.

    Attributes
    ----------
    reason : str
        A key of `REASONS`.
    detail : str
        What exactly was found, possibly empty.
    """

    def __init__(self, reason, path, detail=""):
        self.reason, self.detail = reason, detail
        super().__init__(f"{path}: {REASONS[reason]}{f' ({detail})' if detail else ''}.")


def load(path):
    """Read an audio file of any rate, channel count and format.

    Channels are averaged, or the loudest is taken where they cancel each other: `mixed`.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    numpy.ndarray
        (N,) float32 at 16 kHz, N > 0, all finite.

    Raises
    ------
    AudioError
        With one of `REASONS`. Truncation is seen in mp3, wav and what `containers` knows; a cut flac is undecodable.
    """
    samples = np.concatenate([np.empty(0, np.float32), *blocks(path)])
    if not len(samples):
        raise AudioError("empty", path)
    return samples


def blocks(path, channel=None, track=None):
    """Read an audio file piece by piece; all pieces together are what `load` gives.

    Parameters
    ----------
    path : str or Path
    channel : int, optional
        Which one alone, from 0; by default all are averaged.
    track : str, optional
        Of a container of several sound tracks: as of `ffmpeg.read`; by default the first.

    Yields
    ------
    numpy.ndarray
        (N,) float32 at 16 kHz, about `BLOCK_SECONDS` of sound each at most.

    Raises
    ------
    AudioError
        As `load` does, what is wrong inside the file once that part of it is reached; a file without a sample yields
        nothing. Also where there is no such channel or track.
    """
    path = Path(path)
    rate, parts = _opened(path, track)
    yield from resampled((_mono(part, path, channel) for part in parts), rate)


def channels(path, track=None):
    """How many channels a file has, 0 where it has no sample; parameters and errors as of `blocks`."""
    _, parts = _opened(Path(path), track)
    return next((part.shape[1] for part in parts), 0)


def _opened(path, track):
    """A file's rate, and its (N, channels) samples in pieces."""
    _check_there(path)
    if _checked_format(path):
        rate, parts = _with_ffmpeg(path, track)
    elif track not in (None, "1", ffmpeg.DEFAULT):
        raise AudioError("no such track", path, f"it has one track, 1, and no {track}")
    else:
        rate, parts = _with_libsndfile(path)
    _check_rate(rate, path)
    return rate, parts


def resampled(parts, rate):
    """Samples of one channel at 16 kHz.

    Parameters
    ----------
    parts : iterable of numpy.ndarray
        (N,) float32 each, together one recording; results do not depend on where it is parted.
    rate : int
        Of ``parts``, in Hz.

    Yields
    ------
    numpy.ndarray
        (N,) float32.
    """
    if rate == SAMPLE_RATE:
        yield from parts
        return
    resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32")
    for part in parts:
        yield resampler.resample_chunk(np.ascontiguousarray(part))
    yield resampler.resample_chunk(np.empty(0, np.float32), last=True)


def cut(path, spans, channel=None, track=None):
    """Read parts of a recording in one pass, which holds the parts and no more than a block beside them.

    Parameters
    ----------
    path : str or Path
    spans : list of (float, float or None)
        Start and end in seconds, in any order, overlapping or not; None is the recording's end.
    channel, track
        As of `blocks`.

    Yields
    ------
    int, numpy.ndarray
        A span's position in `spans` and its (N,) float32 samples at 16 kHz, in the order in which they end. A span
        that lies behind the recording's end is short, or empty.

    Raises
    ------
    AudioError
        As `load` does.
    """
    bounds = [(round(a * SAMPLE_RATE), None if b is None else round(b * SAMPLE_RATE)) for a, b in spans]
    waiting, position = {i: [] for i in sorted(range(len(spans)), key=lambda i: bounds[i][0])}, 0
    for block in blocks(path, channel, track):
        for i in list(waiting):
            start, end = bounds[i]
            if start >= position + len(block):
                break  # the spans behind it start later
            first, last = max(0, start - position), len(block) if end is None else end - position
            waiting[i].append(block[first : max(first, last)])
            if last <= len(block) and end is not None:
                yield i, np.concatenate(waiting.pop(i))
        position += len(block)
    for i, parts in waiting.items():
        yield i, np.concatenate([np.empty(0, np.float32), *parts])


def cut_parts(path, parts):
    """`cut` for parts (start, end, channel), each of another channel or of all; a file of one channel has no others."""
    for channel in dict.fromkeys(channel for *_, channel in parts):
        own = [i for i, part in enumerate(parts) if part[2] == channel]
        heard = None if channel is None or channels(path) == 1 else channel
        for k, samples in cut(path, [parts[i][:2] for i in own], heard):
            yield own[k], samples


def seconds(path):
    """Length of a file by its header alone, without a look at its samples.

    Returns
    -------
    float or None
        None where only ffmpeg could tell.

    Raises
    ------
    AudioError
        Where it is missing, empty or no audio.
    """
    path = Path(path)
    _check_there(path)
    try:
        info = soundfile.info(_source(path))
    except soundfile.LibsndfileError as error:
        with _bytes_of(path) as data:
            if ffmpeg.needed(data[: ffmpeg.BEGINNING]):
                return None
        raise AudioError("undecodable", path, _said(error)) from None
    if not info.frames:
        raise AudioError("empty", path)
    _check_rate(info.samplerate, path)
    return info.frames / info.samplerate


def amplitude(samples):
    """Half of what lies between the lowest and the highest sample: how loud they are, whatever their offset.

    Examples
    --------
    >>> amplitude(np.array([0.5, -0.25, 0.25]))
    0.375
    """
    return (float(samples.max()) - float(samples.min())) / 2


def beyond_sound(samples):
    """Say how far samples lie beyond what a recording could reach; "" where they do not."""
    peak = max(float(samples.max()), -float(samples.min())) if samples.size else 0.0
    return f"they reach {peak:.3g}; divide 16-bit numbers by 32768" if peak > LOUDEST else ""


def is_prepared(path):
    """Whether a file, by its name and header, is what `save_flac` would write: 16-bit mono FLAC at 16 kHz."""
    if Path(path).suffix.lower() != ".flac":
        return False
    try:
        info = soundfile.info(_source(path))
    except (soundfile.LibsndfileError, OSError):
        return False
    return (info.format, info.subtype, info.channels, info.samplerate) == ("FLAC", "PCM_16", 1, SAMPLE_RATE)


def save_flac(path, samples):
    """Write 16-bit mono FLAC at 16 kHz; the file appears whole or not at all.

    Parameters
    ----------
    path : str or Path
    samples : numpy.ndarray
        (N,) float; what lies outside -1…1 is clipped.
    """
    with replacing(path) as partial:
        try:
            soundfile.write(_name(partial), samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        except soundfile.LibsndfileError as error:
            raise UserError(f"{path}: cannot be written ({error}); is the disk full?") from None


def encoded_flac(samples):
    """The bytes of what `save_flac` writes."""
    file = io.BytesIO()
    soundfile.write(file, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
    return file.getvalue()


def prepared(path):
    """The samples (N,) float32 of what `save_flac` has written, in a file or an archive.

    Raises
    ------
    OSError, soundfile.LibsndfileError
        Where it is not there, or not whole.
    """
    return soundfile.read(_source(path), dtype="float32")[0]


def _source(path):
    """What soundfile reads: the name of a file, or what a member of an archive holds."""
    inside = tars.member(path)
    return _name(path) if inside is None else io.BytesIO(inside.read())


@contextlib.contextmanager
def _bytes_of(path):
    """All bytes of a file, without reading them before they are asked for; of a member of an archive, read."""
    if inside := tars.member(path):
        yield inside.read()
        return
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        yield data


def _name(path):
    """A path for soundfile, whose own encoding fails where a name is no text, as names from other systems may be."""
    return path if os.name == "nt" else os.fsencode(path)


def _check_there(path):
    if inside := tars.member(path):
        size = inside.tar.stat().st_size if inside.tar.is_file() else -1
        if size < inside.offset + inside.size:
            raise AudioError("missing" if size < 0 else "truncated", path, f"{inside.tar} is not whole" * (size >= 0))
        if not inside.size:
            raise AudioError("empty", path, "a file of 0 bytes")
        return
    try:
        there, something = path.is_file(), path.exists()
    except OSError as error:  # such as of a name that is too long
        raise AudioError("missing", path, error.strerror.lower()) from None
    if not there:
        raise AudioError("missing", path, "a folder, pipe or device stands there" if something else "")
    if path.stat().st_size == 0:
        raise AudioError("empty", path, "a file of 0 bytes")


def _check_rate(rate, path):
    if not LEAST_RATE <= rate <= MOST_RATE:
        raise AudioError("rate", path, f"{rate} Hz")


def _instead(path):
    """What a file holds that stands in the place of one that was not fetched, "" where it is none such."""
    with _bytes_of(path) as data:
        head = bytes(data[:64])
    if head.startswith(b"version https://git-lfs"):
        return "a pointer of Git LFS; git lfs pull fetches the file"
    return "a page of HTML, as servers send in the place of a file" if HTML.match(head) else ""


def _said(error):
    """What libsndfile says of a file that is there."""
    return "no MPEG frame was found" if error.code == BAD_FILE else error.error_string


def _mono(samples, path, channel=None):
    """One channel of (N, channels) samples, or the average of all."""
    if not np.isfinite(samples).all():
        raise AudioError("not finite", path)
    if too_loud := beyond_sound(samples):
        raise AudioError("out of range", path, too_loud)
    if channel is not None:
        if channel >= samples.shape[1]:
            raise AudioError("no such channel", path, f"it has {samples.shape[1]}, and so no {channel + 1}")
        return samples[:, channel]
    if samples.shape[1] > MOST_CHANNELS:
        raise AudioError("channels", path, str(samples.shape[1]))
    return mixed(samples)


def mixed(samples):
    """One channel of several: their mean, or the loudest where they cancel each other, as one turned round does.

    Parameters
    ----------
    samples : numpy.ndarray
        (N, channels) float.

    Returns
    -------
    numpy.ndarray
        (N,)

    Examples
    --------
    >>> left = np.array([0.5, -0.5])
    >>> mixed(np.stack([left, -left], 1)), mixed(np.stack([left, 0 * left], 1))
    (array([ 0.5, -0.5]), array([ 0.25, -0.25]))
    """
    if samples.shape[1] == 1 or not len(samples):
        return samples[:, 0]
    mean, powers = samples.mean(axis=1), samples.var(axis=0)
    return samples[:, powers.argmax()] if mean.var() < CANCELLED * powers.max() else mean


def _block_frames(rate, channels):
    return max(1, min(BLOCK_SECONDS * rate, BLOCK_SAMPLES // channels))


def _with_libsndfile(path):
    """A file's rate, and its (N, channels) samples in pieces."""
    try:
        file = soundfile.SoundFile(_source(path))
    except soundfile.LibsndfileError as error:
        raise AudioError("undecodable", path, _instead(path) or _said(error)) from None

    def parts():
        with file:
            try:
                size, heard = _block_frames(file.samplerate, file.channels), 0
                while len(block := file.read(size, dtype="float32", always_2d=True)):  # also of what cannot seek
                    heard += len(block)
                    yield block
            except soundfile.LibsndfileError as error:
                raise AudioError("undecodable", path, _said(error)) from None
            if file.format == "MP3" and heard < NEARLY * file.frames:
                _check_to_the_end(path, heard)

    return file.samplerate, parts()


def _check_to_the_end(path, heard):
    """Refuse an mp3 in whose middle its decoder gave up."""
    with _bytes_of(path) as data:
        there = mpeg.count(data).samples
    if heard < NEARLY * there:
        raise AudioError("undecodable", path, f"it is damaged after {heard} of {there} samples")


def _with_ffmpeg(path, track=None):
    """The same for a file that libsndfile does not know."""
    if tars.member(path):
        raise AudioError("undecodable", path, "in an archive only wav, flac, mp3, ogg and opus can be read")
    try:
        rate, parts = ffmpeg.read(path, _block_frames, track)
    except ffmpeg.FFmpegError as error:
        raise AudioError("undecodable", path, str(error)) from None

    def checked():
        try:
            yield from parts
        except ffmpeg.FFmpegError as error:
            raise AudioError("undecodable", path, str(error)) from None

    return rate, checked()


def _checked_format(path):
    """Whether ffmpeg has to read this file; an AudioError if its end is missing, or it has more than one.

    Done before decoding: mp3 decoders fill the terminal with warnings about what is missing.
    """
    with _bytes_of(path) as data:
        if changed := passage.changes(data):
            raise AudioError("changed", path, changed)
        if untrue := headers.contradiction(data):
            raise AudioError("header", path, untrue)
        missing, extra = _ends(path, data)
        if missing:
            raise AudioError("truncated", path, missing)
        if extra:
            raise AudioError("joined", path, extra)
        return ffmpeg.needed(data)


def _ends(path, data):
    """What a file lacks at its end, and what it has behind it; "" for nothing, or if its format cannot tell."""
    needs_ffmpeg = ffmpeg.needed(data)
    is_wav = data[:4] == b"RIFF" and not needs_ffmpeg
    missing = wav.missing_part(data) if is_wav else containers.missing_part(data)
    if missing or not (path.suffix.lower() == ".mp3" or data[:3] == b"ID3" or data[:1] == b"\xff"):
        return missing, "" if missing else joined.extra_part(data)
    if is_wav or needs_ffmpeg:
        return "", joined.extra_part(data)
    found = mpeg.count(data)
    return found.missing, found.extra or joined.extra_part(data)
