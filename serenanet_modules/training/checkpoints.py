"""SpeechBrain's Checkpointer made atomic and suspicious of what it finds.

A checkpoint is written under a hidden name, its files' SHA-256 sums beside them, flushed to disk and renamed: a
process killed at any moment leaves either a whole checkpoint or none. A checkpoint whose sums do not match (a file
damaged, or a deletion cut short) is skipped with a warning, and the one before it is used. What the processes of a run
hold in parts is put together before the main one writes.
"""

import json
import logging
import os
import pickle
import shutil

import torch
from speechbrain.utils.checkpoints import CKPT_PREFIX, Checkpoint, Checkpointer, ckpt_recency
from speechbrain.utils.distributed import main_process_only

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import read_json, sha256
from serenanet_modules.runtime.sharding import spread, whole

logger = logging.getLogger(__name__)

SUMS = "SHA256SUMS.json"
PARTIAL = "partial"


class AtomicCheckpointer(Checkpointer):
    """Drop-in for `speechbrain.utils.checkpoints.Checkpointer`.

    Recoverables may have a method ``gather``, which all processes call before the main one saves them.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._verified, self._refused = set(), set()

    def save_checkpoint(self, meta=None, end_of_epoch=True, name=None, verbosity=logging.INFO):
        """Save as the parent does, but all or nothing; processes other than the main one wait."""
        for recoverable in self.recoverables.values():
            if hasattr(recoverable, "gather"):
                recoverable.gather()
        return self._save(meta, end_of_epoch, name, verbosity)

    @main_process_only  # the parent would let all processes write some of the files at the same time
    def _save(self, meta, end_of_epoch, name, verbosity):
        self._clear()
        partial = self._custom_checkpoint_dirpath(PARTIAL)
        final = super()._custom_checkpoint_dirpath(name) if name else self._new_checkpoint_dirpath()
        try:
            saved = super().save_checkpoint(meta or {}, end_of_epoch, PARTIAL, verbosity)
            _seal(saved.path)
            os.rename(saved.path, final)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)  # half a checkpoint must not fill the disk
            raise
        _flush(final.parent)
        self._verified.add(final)
        files = {key: final / path.name for key, path in saved.paramfiles.items()}
        return Checkpoint(final, saved.meta, files)

    def recover_if_possible(self, *args, **kwargs):
        """As the parent's; a run that has nothing left to save deletes here what a kill has left."""
        found = super().recover_if_possible(*args, **kwargs)
        self._clear()
        return found

    @main_process_only
    def _clear(self):
        """Delete what saving and deleting left when they were cut short."""
        left = [path for path in self._refused if _is_incomplete(path)]
        for path in (self._custom_checkpoint_dirpath(PARTIAL), *left):
            shutil.rmtree(path, ignore_errors=True)

    def save_and_keep_only(self, *args, importance_keys=(), **kwargs):
        """As the parent's, whose own default for ``importance_keys`` is a list that grows with every call."""
        super().save_and_keep_only(*args, importance_keys=list(importance_keys), **kwargs)

    @main_process_only  # the parent would let all look at what the main one is deleting
    def delete_checkpoints(self, **options):
        """Delete as the parent does; processes other than the main one wait."""
        super().delete_checkpoints(**options)

    def list_checkpoints(self):
        """All sound checkpoints, newest first, which decides between equals; a warning names broken ones, once."""
        sound = [path for path in self._all() if self._is_sound(path)]
        return sorted(self._construct_checkpoint_objects(sound), key=ckpt_recency, reverse=True)

    def has_sound(self):
        """Whether there is a checkpoint to go on from; broken ones are named when one is loaded."""
        self._verified.update(path for path in self._all() if path in self._verified or _problem(path) is None)
        return bool(self._verified)

    def _all(self):
        return self.checkpoints_dir.glob(f"{CKPT_PREFIX}+*")

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

    def _call_load_hooks(self, checkpoint):
        """As the parent's, which has torch load weights only: what is more may be anybody's code."""
        try:
            super()._call_load_hooks(checkpoint)
        except pickle.UnpicklingError:
            raise UserError(
                f"{checkpoint.path}: holds more than weights and numbers, and loading that could run anybody's code; "
                "delete it, or give another folder"
            ) from None

    def _custom_checkpoint_dirpath(self, name):
        """Where the parent writes: never a name that counts as a checkpoint."""
        return self.checkpoints_dir / f".{name}"


class Held:
    """What a checkpoint holds of something whose parts the processes of a run may have; see `Steps`."""

    _state = None

    def gather(self):
        """Let the main process have the state; all call this alike."""
        self._state = self.state()

    def add_to(self, checkpointer, name):
        """Let an `AtomicCheckpointer` save and recover it."""
        checkpointer.add_recoverable(
            name,
            self,
            custom_save_hook=lambda held, path: held._write(path),
            custom_load_hook=lambda held, path, end_of_epoch: held.load(torch.load(path, "cpu", weights_only=True)),
        )

    def _write(self, path):
        state, self._state = self._state, None  # of shards it is a copy
        torch.save(state, path)


class Steps(Held):
    """An optimizer as checkpoints hold it: the states of whole parameters, by number.

    Parameters
    ----------
    optimizer : Optimizer
    """

    def __init__(self, optimizer):
        self.optimizer = optimizer

    def state(self):
        """What a checkpoint holds, whole on the main process."""
        return whole(self.optimizer.state_dict())

    def load(self, state):
        """Take what a checkpoint holds."""
        parameters = [parameter for group in self.optimizer.param_groups for parameter in group["params"]]
        for number, entries in state["state"].items():
            like = parameters[number]
            state["state"][number] = {name: spread(value, like) for name, value in entries.items()}
        self.optimizer.load_state_dict(state)


def _seal(folder):
    """Write the sums of all files and flush everything to disk."""
    sums = {path.name: sha256(path) for path in sorted(folder.iterdir())}
    (folder / SUMS).write_text(json.dumps(sums), encoding="utf-8")
    for path in [*folder.iterdir(), folder]:
        _flush(path)


def _problem(folder):
    """What is wrong with a checkpoint folder, or None."""
    try:
        sums = read_json(folder / SUMS)
        for name, expected in sums.items():
            if sha256(folder / name) != expected:
                return f"{name} is damaged"
    except (OSError, ValueError, AttributeError) as error:
        return str(error)
    return None


def _is_incomplete(folder):
    """Whether files are missing: checkpoints appear whole, so their deletion was cut short. A damaged one stays."""
    try:
        names = read_json(folder / SUMS)
    except FileNotFoundError:
        return True
    except (OSError, ValueError):
        return False
    return any(not (folder / name).is_file() for name in names)


def _flush(path):
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
