"""What a finished model hears in dev, kept in its folder: language models that come later are weighed by it.

Of CTC's log-probabilities those labels of each frame are kept that a search would try, so that a quarter of an hour
takes some 200 KB; of an encoder's output, which a label decoder reads, half the bits.
"""

import json
import random
import zipfile
import zlib
from typing import NamedTuple

import numpy as np
import torch

from serenanet_modules.decoding.rows import Row
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing

FILE = "save/dev.npz"
MOST, MOST_NUMBERS = 200, 2**22  # utterances; of an encoder's output
WITHIN = 10.0  # nats below the best label of a frame
NONE = -1e4  # of a label that is not kept
NOT_READ = (OSError, ValueError, LookupError, TypeError, StopIteration, RuntimeError, MemoryError)


class Known(NamedTuple):
    """An utterance of dev: what is said, and the `Row` of each piece of it."""

    text: str
    rows: list


def write_dev(folder, utterances, seed):
    """Keep some utterances.

    Parameters
    ----------
    folder : Path
    utterances : list of Known
        In an order that does not depend on the number of processes.
    seed : int
        Of the choice, where they are too many.
    """
    kept = _chosen(utterances, seed)
    rows = [row for known in kept for row in known.rows]
    about = {"texts": [known.text for known in kept], "pieces": [len(known.rows) for known in kept]}
    about |= {"seconds": [row.seconds for row in rows], "frames": [row.frames for row in rows]}
    arrays = {"about": np.array(json.dumps(about))}
    if rows and rows[0].log_probs is not None:
        arrays |= _likely(np.concatenate([row.log_probs.numpy() for row in rows]))
    if rows and rows[0].hidden is not None:
        arrays["hidden"] = np.concatenate([row.hidden.half().numpy() for row in rows])
    with replacing(folder / FILE) as path, open(path, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_dev(folder):
    """What `write_dev` kept, a list of `Known`; None where the folder has none.

    Raises
    ------
    UserError
        Where the file is none.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        with np.load(path) as file:
            about, arrays = json.loads(str(file["about"])), {name: file[name] for name in file.files if name != "about"}
        ends = np.cumsum(about["frames"])[:-1]
        log_probs = _parts(_frames(arrays) if "labels" in arrays else None, ends, about["frames"])
        hidden = _parts(arrays.get("hidden"), ends, about["frames"])
        rows = (Row(*found) for found in zip(about["seconds"], log_probs, hidden, strict=True))
        return [Known(t, [next(rows) for _ in range(n)]) for t, n in zip(about["texts"], about["pieces"], strict=True)]
    except (*NOT_READ, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            f"{path}: is damaged ({error}); copy it again, or delete it: the folder opens without it"
        ) from None


def _chosen(utterances, seed):
    """As many as may be kept."""
    kept, numbers = [], 0
    for known in random.Random(seed).sample(utterances, min(MOST, len(utterances))):
        numbers += sum(row.hidden.numel() for row in known.rows if row.hidden is not None)
        if numbers <= MOST_NUMBERS:
            kept.append(known)
    return kept


def _likely(frames):
    """Arrays of the likely labels of frames (T, V): how far below the best they lie, so that near ones keep order."""
    best = frames.max(1, keepdims=True)
    tried = frames >= best - WITHIN
    return {
        "size": np.array(frames.shape[1]),
        "counts": tried.sum(1).astype(np.uint16),
        "labels": tried.nonzero()[1].astype(np.uint16),
        "best": best[:, 0].astype(np.float16),
        "values": (frames - best)[tried].astype(np.float16),
    }


def _frames(arrays):
    """The frames (T, V) of such arrays."""
    counts = arrays["counts"].astype(np.int64)
    frames = np.full((len(counts), int(arrays["size"])), NONE, np.float32)
    at = np.repeat(np.arange(len(counts)), counts)
    frames[at, arrays["labels"]] = arrays["best"].astype(np.float32)[at] + arrays["values"]
    return frames


def _parts(array, ends, frames):
    """An array cut into those of the pieces; None of each where there is none."""
    if array is None:
        return [None] * len(frames)
    return [torch.from_numpy(part.astype(np.float32)) for part in np.split(array, ends)]
