"""Sound as it comes in: chunks of a file, of raw samples on a pipe, or of the microphone."""

import contextlib
import importlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.sources import read
from serenanet_modules.errors import UserError

CONTAINERS = (b"RIFF", b"RF64", b"fLaC", b"OggS", b"ID3", b"FORM", b"caff", b"\x1aE\xdf\xa3")  # how files begin
SAMPLE_BYTES = 2  # raw samples are 16-bit signed, little-endian
ARECORD = ["arecord", "-q", "-t", "raw", "-f", "S16_LE", "-r", str(SAMPLE_RATE), "-c", "1"]
FFMPEG_INPUTS = {"linux": ["-f", "alsa", "-i", "default"], "darwin": ["-f", "avfoundation", "-i", ":0"]}
RAW = ["-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"]


def chunks(source, seconds):
    """Samples of a source in chunks, each as soon as it is there.

    Parameters
    ----------
    source : str or Path
        An audio file; ``-`` for raw 16-bit little-endian samples of one channel at 16 kHz on stdin; ``microphone``.
    seconds : float
        Length of a chunk; only the last may be shorter.

    Yields
    ------
    numpy.ndarray
        (N,) float32 at 16 kHz.

    Raises
    ------
    UserError
        For a file that is no audio, for a file on stdin, whose bytes are no samples, and where nothing can record.
    """
    size = max(1, round(seconds * SAMPLE_RATE))
    if source == "microphone":
        with _microphone(size) as read_bytes:
            yield from _decoded(read_bytes, size)
    elif source == "-":
        yield from _decoded(_samples_alone(sys.stdin.buffer.read), size)
    else:
        yield from _regrouped(read(source), size)


def _samples_alone(read_bytes):
    """The same function, which refuses bytes that begin as a file of audio does: its header would be heard as sound."""
    begun = False

    def read(count):
        nonlocal begun
        data = read_bytes(count)
        if not begun and data.startswith(CONTAINERS):
            raise UserError(
                f"-: is a file of audio ({data[:4].decode('latin-1').strip()}) and not raw samples; give its name, or "
                "pipe it through ffmpeg -i - -f s16le -ac 1 -ar 16000 -"
            )
        begun = True
        return data

    return read


def _decoded(read_bytes, size):
    """Chunks of ``size`` samples from a function that reads a number of bytes, fewer at the end alone."""
    while data := read_bytes(size * SAMPLE_BYTES):
        whole = len(data) // SAMPLE_BYTES * SAMPLE_BYTES
        yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


def _regrouped(blocks, size):
    """Blocks of any lengths as chunks of ``size`` samples."""
    rest = np.empty(0, np.float32)
    for block in blocks:
        rest = np.concatenate([rest, block])
        whole = len(rest) // size * size
        yield from rest[:whole].reshape(-1, size)
        rest = rest[whole:]
    if len(rest):
        yield rest


# --- the microphone ---------------------------------------------------------------------------------------------------


def _microphone(size):
    """A context manager that gives a function to read bytes of what the default microphone hears."""
    if (sounddevice := _sounddevice()) is not None:
        return _portaudio(sounddevice, size)
    if shutil.which("arecord"):
        return _recorder(ARECORD)
    if shutil.which("ffmpeg") and sys.platform in FFMPEG_INPUTS:
        return _recorder(["ffmpeg", "-nostdin", "-v", "error", *FFMPEG_INPUTS[sys.platform], *RAW])
    raise UserError(
        "microphone: nothing here can record; install the Python package sounddevice, or arecord (alsa-utils) or ffmpeg"
    )


def _sounddevice():
    """The package sounddevice, None where it or its library is missing."""
    try:
        return importlib.import_module("sounddevice")
    except (ImportError, OSError):
        return None


@contextlib.contextmanager
def _portaudio(sounddevice, size):
    try:
        with sounddevice.RawInputStream(SAMPLE_RATE, size, channels=1, dtype="int16") as stream:
            yield lambda count: bytes(stream.read(count // SAMPLE_BYTES)[0])
    except sounddevice.PortAudioError as error:
        raise UserError(f"microphone: cannot be read ({error})") from None


@contextlib.contextmanager
def _recorder(command):
    """A program that writes raw samples; Ctrl-C does not reach it, the reader decides when to stop."""
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=complaints, start_new_session=True) as process,
    ):
        try:
            yield process.stdout.read
            if process.wait():
                complaints.seek(0)
                said = complaints.read().decode(errors="replace").strip().splitlines()[-1:]
                raise UserError(f"microphone: {command[0]} cannot record ({' '.join(said)})")
        finally:
            process.terminate()
