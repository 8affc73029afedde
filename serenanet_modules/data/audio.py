"""Audio in: any file becomes 16 kHz mono float32, or an error that says what is wrong with it.

libsndfile (through soundfile) reads wav, flac, mp3, ogg, opus and more; the ffmpeg program, where
there is one, reads the containers of phones and browsers (m4a, mp4, webm, aac, amr, wma). Only
those: a damaged mp3 is refused with and without ffmpeg, so that a test set does not depend on the
machine.

Resampling is soxr's "HQ": twice as fast as torchaudio's cached filters, nothing to cache, and it
works without Python's lock, so that threads run beside each other.
"""

import io
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import soundfile
import soxr

from serenanet_modules.data import mpeg
from serenanet_modules.data.files import replacing
from serenanet_modules.errors import UserError

SAMPLE_RATE = 16000

REASONS = {
    "missing": "there is no such file",
    "undecodable": "this cannot be read as audio",
    "truncated": "the end of the file is missing",
    "empty": "there is no sound in it (0 samples)",
    "not finite": "it has samples that are infinite or not a number",
}

_FFMPEG_ONLY = {  # how files begin that libsndfile does not know: offset, bytes
    "mp4": (4, b"ftyp"),
    "webm or matroska": (0, b"\x1aE\xdf\xa3"),
    "wma": (0, b"0&\xb2u"),
    "amr": (0, b"#!AMR"),
    "aac": (0, b"\xff\xf1"),
    "aac, MPEG-2": (0, b"\xff\xf9"),
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

    Channels are averaged.

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
        With one of `REASONS`. Truncation is seen in mp3 and wav; a cut flac is undecodable; in
        ogg, which may end on any page, it does not show.
    """
    path = Path(path)
    if not path.is_file():
        raise AudioError("missing", path)
    if path.stat().st_size == 0:
        raise AudioError("empty", path, "a file of 0 bytes")
    samples, rate = _decode(path)
    if len(samples) == 0:
        raise AudioError("empty", path)
    if not np.isfinite(samples).all():
        raise AudioError("not finite", path)
    mono = samples.mean(axis=1) if samples.shape[1] > 1 else samples[:, 0]
    mono = mono if rate == SAMPLE_RATE else soxr.resample(mono, rate, SAMPLE_RATE)
    if len(mono) == 0:
        raise AudioError("empty", path, "less than one sample at 16 kHz")
    return np.ascontiguousarray(mono, dtype=np.float32)


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
            soundfile.write(partial, samples, SAMPLE_RATE, subtype="PCM_16", format="FLAC")
        except soundfile.LibsndfileError as error:
            raise UserError(f"{path}: cannot be written ({error}); is the disk full?") from None


def _decode(path):
    """Return samples, (N, channels) float32, and their rate."""
    data = path.read_bytes()
    if any(data.startswith(magic, at) for at, magic in _FFMPEG_ONLY.values()):
        return _decode_with_ffmpeg(path)
    # Before decoding: mp3 decoders fill the terminal with warnings about what is missing.
    if missing := _missing_part(path, data):
        raise AudioError("truncated", path, missing)
    try:
        return soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise AudioError("undecodable", path, error.error_string) from None


def _decode_with_ffmpeg(path):
    if not shutil.which("ffmpeg"):
        raise AudioError("undecodable", path, "its format needs ffmpeg, which is not installed")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", f"file:{path}"]
    command += ["-map", "0:a:0", "-c:a", "pcm_f32le", "-f", "wav", "-"]
    done = subprocess.run(command, capture_output=True)
    if done.returncode:
        last_line = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise AudioError("undecodable", path, f"ffmpeg: {' '.join(last_line)}")
    return soundfile.read(io.BytesIO(done.stdout), dtype="float32", always_2d=True)


def _missing_part(path, data):
    """Say what a file lacks at its end, "" if nothing or its format cannot tell."""
    if data.startswith(b"RIFF"):
        return _missing_wav_part(data)
    is_mp3 = path.suffix.lower() == ".mp3" or data.startswith((b"ID3", b"\xff"))
    return mpeg.missing_part(data) if is_mp3 else ""


def _missing_wav_part(data):
    """Compare a wav file with the length its header gives.

    Writers to a pipe announce 0 or 2^32 - 1 bytes, which promises nothing.
    """
    position = 12
    while position + 8 <= len(data):
        name, size = struct.unpack_from("<4sI", data, position)
        there = len(data) - position - 8
        if name == b"data":
            promise = 0 < size < 0xFFFFFFFF
            return f"{there} of {size} bytes are there" if promise and there < size else ""
        position += 8 + size + size % 2
    return ""
