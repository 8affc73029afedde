"""SpeechBrain's Checkpointer made atomic and suspicious of what it finds.

A checkpoint is written under a hidden name, its files' SHA-256 sums beside them, flushed to disk and renamed: a
process killed at any moment leaves either a whole checkpoint or none. A checkpoint whose sums do not match is
skipped with a warning, and the one before it is used.
"""

import hashlib
import json
import logging
import os
import shutil

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS.json"
PARTIAL = "partial"
DELETED = ".deleted"


class AtomicCheckpointer(Checkpointer):
    """Drop-in for `speechbrain.utils.checkpoints.Checkpointer`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._verified, self._refused = set(), set()

    def save_checkpoint(self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO):
        """Save as the parent does, but all or nothing."""
        if if_main_process():
            shutil.rmtree(self._custom_checkpoint_dirpath(PARTIAL), ignore_errors=True)
            final = super()._custom_checkpoint_dirpath(name) if name else self._new_checkpoint_dirpath()
        saved = super().save_checkpoint(meta or {}, end_of_epoch, PARTIAL, verbosity)
        if if_main_process():
            _seal(saved.path)
            os.rename(saved.path, final)
            _flush(final.parent)
            self._verified.add(final)
            files = {key: final / path.name for key, path in saved.paramfiles.items()}
            saved = Checkpoint(final, saved.meta, files)
        ddp_barrier()
        return saved

    def list_checkpoints(self):
        """All sound checkpoints; broken ones are named in a warning, once."""
        sound = [path for path in self._list_checkpoint_dirs() if self._is_sound(path)]
        return self._construct_checkpoint_objects(sound)

    def _is_sound(self, path):
        if path in self._verified:
            return True
        problem = _problem(path)
        if problem is None:
            self._verified.add(path)
        elif path not in self._refused:
            self._refused.add(path)
            logger.warning("%s is broken (%s) and is skipped", path, problem)
        return problem is None

    def _custom_checkpoint_dirpath(self, name):
        """Where the parent writes: never a name that counts as a checkpoint."""
        return self.checkpoints_dir / f".{name}"

    @staticmethod
    def _delete_checkpoint(checkpoint, verbosity=logging.INFO):
        doomed = checkpoint.path.with_name(DELETED)
        shutil.rmtree(doomed, ignore_errors=True)
        os.rename(checkpoint.path, doomed)
        shutil.rmtree(doomed)
        logger.log(verbosity, f"Deleted checkpoint in {checkpoint.path}")


def _seal(folder):
    """Write the sums of all files and flush everything to disk."""
    sums = {path.name: _sum(path) for path in sorted(folder.iterdir())}
    (folder / SUMS).write_text(json.dumps(sums), encoding="utf-8")
    for path in [*folder.iterdir(), folder]:
        _flush(path)


def _problem(folder):
    """What is wrong with a checkpoint folder, or None."""
    try:
        sums = json.loads((folder / SUMS).read_text(encoding="utf-8"))
        for name, expected in sums.items():
            if _sum(folder / name) != expected:
                return f"{name} is damaged"
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return None


def _sum(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
