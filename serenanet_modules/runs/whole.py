"""Whether the files of a result folder belong together: SHA-256 sums of all that make the model, which its run wrote.

Units of another run, or in another order, fit the network as well as its own and give other text. So the files are
known by what they hold. The sums tell accidents, not attacks: whoever can change a file can change its sum, or leave
the sums out.
"""

import functools
import logging
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from serenanet_modules.config.foreign import FILE as HYPERPARAMS
from serenanet_modules.config.foreign import inside
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import read_json, sha256, write_json

FILE = "checksums.json"
WEIGHTS = "weights.safetensors"
SAVED = (
    "units/units.json",
    "units/units.model",
    "units/tokenizer.json",
    "lexicon.tsv",
    "lm.arpa",
    "words.txt",
    "dev.npz",
)
SAVED += ("clusters.safetensors", "aligner.safetensors", "tokenizer.json")
MODEL = (HYPERPARAMS, WEIGHTS, "result.json", *(f"save/{name}" for name in SAVED))  # those of them that there are
logger = logging.getLogger(__name__)
NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int64, torch.int32, torch.bool)


def seal(folder):
    """Write the sums of a finished run's model."""
    write_json(Path(folder) / FILE, sums_of(folder))


def sums_of(folder):
    """SHA-256 of each file that makes a result folder's model, by name; {} for what is no result folder."""
    folder = Path(folder)
    return {name: sha256(folder / name) for name in MODEL if (folder / name).is_file()}


def renew(folder, name):
    """Note that the run itself has written a file anew, where it has sealed its folder before."""
    folder = Path(folder)
    sums = _sums(folder)
    if sums:
        write_json(folder / FILE, sums | {name: sha256(folder / name)})


def check_files(folder, *names):
    """Refuse files of a result folder that lead out of it, or are not those that its run wrote.

    Of a folder without sums, whose training has not ended or which was handed on without, a warning says so, once.

    Parameters
    ----------
    folder : str or Path
    *names : str
        Paths below it; those that are not there count as not there.

    Raises
    ------
    UserError
        With the first such file.
    """
    folder = Path(folder)
    inside(folder, *names, FILE)
    sums = _sums(folder)
    if not sums:
        _warn(folder)
    for name in names if sums else ():
        if (folder / name).is_file() and sums.get(name) != sha256(folder / name):
            raise UserError(
                f"{folder}: {name} is not the one that the training wrote (its SHA-256 is not that of {FILE}); copy "
                "the whole folder anew"
            )


def read_weights(path):
    """The tensors of a safetensors file, by name, on the CPU.

    Raises
    ------
    UserError
        Where it cannot be read, or holds what is no weight: NaN, infinity, complex numbers, bytes.
    """
    try:
        weights = load_file(path)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path}: cannot be read as weights ({error})") from None
    for name, tensor in weights.items():
        if tensor.dtype not in NUMBERS:
            raise UserError(f"{path}: {name} holds {str(tensor.dtype).removeprefix('torch.')}, which no weights are")
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(f"{path}: {name} holds values that are infinite or not a number")
    return weights


@functools.cache
def _warn(folder):
    logger.warning(
        "warning: %s: has no %s, so whether its files belong together is not known; it comes with every finished "
        "training, copy it too",
        folder,
        FILE,
    )


def _sums(folder):
    """What the folder says of its files; {} for one that no run has sealed, or that was handed on without."""
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        return dict(read_json(path).items())
    except (OSError, ValueError, AttributeError, RecursionError):
        raise UserError(f"{path}: is not what a training writes; copy the whole folder anew") from None
