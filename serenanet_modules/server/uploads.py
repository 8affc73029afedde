"""From an upload to samples. Files have names of ours or none, and are gone afterwards: audio is never kept."""

import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from serenanet_modules.data.audio import REASONS, SAMPLE_RATE, AudioError, blocks
from serenanet_modules.server.errors import APIError


def read(file, max_seconds, timeout):
    """Decode an upload, and stop where it gets too long: headers may say anything.

    Parameters
    ----------
    file : binary file
        What the client sent.
    max_seconds : float
        Of audio.
    timeout : float
        Most seconds of work.

    Returns
    -------
    numpy.ndarray
        (N,) float32 at 16 kHz, N > 0.

    Raises
    ------
    APIError
        400 for what is no audio, 413 for too much of it, 503 where it takes too long.
    """
    with tempfile.NamedTemporaryFile(prefix="serenanet-") as copy:
        shutil.copyfileobj(file, copy)
        copy.flush()
        file.close()  # a large one lay on the disk, too
        return decoded(Path(copy.name), max_seconds, timeout)


def decoded(path, max_seconds, timeout):
    """The samples of a file; all else as of `read`."""
    try:
        return _decode(path, max_seconds, time.monotonic() + timeout)
    except AudioError as error:
        detail = f" ({error.detail})" if error.detail else ""
        message = f"the audio file cannot be used: {REASONS[error.reason]}{detail}"
        raise APIError(400, message, "file", "invalid_audio") from None


def _decode(path, max_seconds, until):
    """The samples, in a file without a name: hours of them take no memory while they wait."""
    left = int(max_seconds * SAMPLE_RATE)
    with tempfile.TemporaryFile(prefix="serenanet-") as file:
        for block in blocks(path):
            left -= len(block)
            if left < 0:
                message = f"the audio is longer than {max_seconds:g} s; send it in parts"
                raise APIError(413, message, "file", "audio_too_long")
            if time.monotonic() > until:
                raise APIError(503, "decoding the audio took too long; send it in parts", "file", "timeout")
            file.write(np.ascontiguousarray(block, np.float32).data)
        if not file.tell():
            raise AudioError("empty", path)
        file.flush()
        return np.memmap(file, np.float32, "c")
