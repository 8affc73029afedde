"""What a network's fixed part makes of sounds, kept on disk: computed once, then read by every epoch and every run.

A folder belongs to one part with one set of weights. It holds safetensors files of some seconds of work each, whole or
not there, whose tensors are named by the SHA-256 of the float32 samples that they were made of. So a sound is known
wherever it comes from: a training utterance, a piece of a long recording, another preparation of the same corpus.
Readers map the files into memory and hold none of them.
"""

import hashlib
import logging
import time
from contextlib import contextmanager

import torch
from safetensors import SafetensorError, safe_open

from serenanet_modules.runtime.files import locked, sweep, write_tensors

logger = logging.getLogger(__name__)

ENCODED = "encoded"  # folder of all caches beside prepared audio
DTYPES = {"float16": torch.float16, "float32": torch.float32}
SHARD_BYTES = 2**27  # a file's, about; what a writer holds
SHARD_SECONDS = 60.0  # of work, at most, that a kill may lose


class FrameCache:
    """Frames by the samples that they were made of.

    Parameters
    ----------
    folder : Path
        Made when the first frames are written.
    dtype : str
        Of `DTYPES`: what frames are kept as.
    """

    def __init__(self, folder, dtype="float16"):
        self.folder, self.dtype = folder, DTYPES[dtype]
        self._shards, self._places = {}, {}
        self.look()

    def look(self):
        """Know what lies in the folder now, whoever wrote it; a damaged file counts as missing."""
        for path in sorted(self.folder.glob("*.safetensors")):
            if path.name in self._shards:
                continue
            try:
                shard = self._shards[path.name] = safe_open(path, "pt")
                self._places |= dict.fromkeys(shard.keys(), shard)
            except (SafetensorError, OSError) as error:
                logger.warning("%s: cannot be read (%s); what it held is computed anew", path, error)

    @property
    def files(self):
        """Names of the files that are known."""
        return set(self._shards)

    def __contains__(self, key):
        return key in self._places

    def __getitem__(self, key):
        """Frames (T, …) as they were kept."""
        return self._places[key].get_tensor(key)

    def extend(self, frames):
        """Write frames into files as they come, and know them.

        The caller holds `lock`. A file is written when it is large enough, or has cost enough time.

        Parameters
        ----------
        frames : iterable of (str, Tensor)
            Of `key_of` and (T, …).

        Raises
        ------
        OverflowError
            For values that the type cannot hold.
        OSError
            Where the disk is full.
        """
        held, size, since = {}, 0, time.monotonic()
        for key, x in frames:
            held[key] = kept = x.to("cpu", self.dtype)
            if not kept.isfinite().all():
                raise OverflowError(f"values up to {float(x.abs().max()):.3g}")
            size += kept.nbytes
            if size >= SHARD_BYTES or time.monotonic() - since >= SHARD_SECONDS:
                self._write(held)
                held, size, since = {}, 0, time.monotonic()
        self._write(held)

    def _write(self, held):
        if held:
            name = hashlib.sha256("".join(held).encode()).hexdigest()[:16]
            path = self.folder / f"{name}.safetensors"
            try:
                write_tensors(path, held)
            except OSError as error:
                error.filename = error.filename or str(path)  # which a full disk does not say
                raise
            self.look()

    @contextmanager
    def lock(self):
        """One writer at a time is in this context; what killed ones have left is swept up, what is whole is known."""
        with locked(self.folder / ".lock"):
            sweep(self.folder)
            self.look()
            yield


def key_of(samples):
    """The name of what is made of samples (S,) float32, a Tensor on any device."""
    return hashlib.sha256(samples.detach().cpu().contiguous().numpy()).hexdigest()
