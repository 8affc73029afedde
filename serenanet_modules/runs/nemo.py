"""Files of NeMo, made by anybody: a tar archive of a configuration and weights, read in place; nothing is written."""

import bz2
import gzip
import io
import lzma
import tarfile
from pathlib import PurePosixPath

import torch
from ruamel.yaml import YAML

from serenanet_modules.config.foreign import MALFORMED
from serenanet_modules.errors import UserError
from serenanet_modules.runs.pickled import in_a_line, load_pickled

CONFIG, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
MOST_CONFIG = 2**22  # bytes; a vocabulary stands in it
MOST_GROWTH, MOST_MORE = 4, 2**20  # times the file, and bytes, of what is in it: weights are hardly smaller packed
PACKED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}  # by how a file begins


def read_nemo(path):
    """A ``.nemo`` file's configuration and weights.

    Parameters
    ----------
    path : Path

    Returns
    -------
    config : dict
        Plain values.
    tensors : dict of str to Tensor

    Raises
    ------
    UserError
        For what is no such file, is cut short or changed, or holds links, paths that lead out of it or code.
    """
    try:
        with _unpacked(path) as file, tarfile.open(fileobj=_Bounded(file, path), mode="r:") as archive:
            members = _members(archive, path)
            config = _config(archive.extractfile(members[CONFIG]).read(), path)
            weights = archive.extractfile(members[WEIGHTS]).read()
    except (UserError, MemoryError):
        raise
    except Exception as error:  # wrong bytes make the readers of archives raise almost anything
        raise UserError(f"{path}: cannot be read as a .nemo file, or is cut short ({in_a_line(error)})") from None
    try:
        tensors = load_pickled(io.BytesIO(weights))
    except ValueError as error:
        raise UserError(f"{path}: {WEIGHTS} cannot be read as weights alone, or is cut short ({error})") from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise UserError(f"{path}: {WEIGHTS} is not a mapping of names to tensors")
    if not all(isinstance(name, str) for name in tensors):
        raise UserError(f"{path}: {WEIGHTS} has a name that is no text")
    return config, tensors


class _Bounded:
    """A file that is read no further than what a ``.nemo`` file may unpack to."""

    def __init__(self, file, path):
        self._file, self._path = file, path

    def read(self, size):
        self._check(self._file.tell() + size)
        return self._file.read(size)

    def seek(self, place):
        self._check(place)
        return self._file.seek(place)

    def tell(self):
        return self._file.tell()

    def _check(self, end):
        _check_size(end, self._path)


def _check_size(size, path):
    if not 0 <= size <= MOST_GROWTH * path.stat().st_size + MOST_MORE:
        raise UserError(f"{path}: its content is too large for weights, or the file is cut short")


def _unpacked(path):
    with open(path, "rb") as file:
        begin = file.read(8)
    return next((opened for magic, opened in PACKED.items() if begin.startswith(magic)), open)(path, "rb")


def _members(archive, path):
    """The two files that are wanted, after a look at all that there is."""
    found, size = {}, 0
    for member in archive:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"{path}: {member.name!r} has a path outside of the archive; it was not made by NeMo")
        if not (member.isfile() or member.isdir()):
            raise UserError(f"{path}: {member.name!r} is a link or a device, not a file; it was not made by NeMo")
        size += member.size
        _check_size(size if member.size >= 0 else -1, path)
        if member.isfile():
            found[place.name] = member
    if missing := [name for name in (CONFIG, WEIGHTS) if name not in found]:
        raise UserError(f"{path}: there is no {missing[0]} in it; give a .nemo file of a model")
    if found[CONFIG].size > MOST_CONFIG:
        raise UserError(f"{path}: {CONFIG} is too long for a configuration")
    return found


def _config(text, path):
    try:
        config = YAML(typ="safe", pure=True).load(text)
    except (*MALFORMED, RecursionError) as error:
        raise UserError(f"{path}: {CONFIG} is not valid yaml ({in_a_line(error)})") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: {CONFIG} is no mapping")
    return config
