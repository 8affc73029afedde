"""Files of NeMo, made by anybody: a tar archive of a configuration and weights, read in place; nothing is written."""

import io
import pickle
import tarfile
from pathlib import PurePosixPath

import torch
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from serenanet_modules.errors import UserError

CONFIG, WEIGHTS = "model_config.yaml", "model_weights.ckpt"
MOST_CONFIG = 2**22  # bytes; a vocabulary stands in it
MOST_GROWTH = 4  # times the file, of what is packed into it: weights are hardly smaller packed
BROKEN = (tarfile.TarError, EOFError, OSError)
UNLOADABLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError, AttributeError)


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
        For what is no such file, is cut short, or holds links, paths that lead out of it or code.
    """
    try:
        with tarfile.open(path) as archive:
            members = _members(archive, path)
            config = _config(archive.extractfile(members[CONFIG]).read(), path)
            weights = archive.extractfile(members[WEIGHTS]).read()
    except BROKEN as error:
        raise UserError(f"{path}: cannot be read as a .nemo file, or is cut short ({_line(error)})") from None
    try:
        tensors = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except UNLOADABLE as error:
        raise UserError(
            f"{path}: {WEIGHTS} cannot be read as weights alone, or is cut short ({_line(error)})"
        ) from None
    if not isinstance(tensors, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in tensors.values()):
        raise UserError(f"{path}: {WEIGHTS} is not a mapping of names to tensors")
    return config, tensors


def _members(archive, path):
    """The two files that are wanted, after a look at all that there is."""
    members = archive.getmembers()
    for member in members:
        place = PurePosixPath(member.name)
        if place.is_absolute() or ".." in place.parts:
            raise UserError(f"{path}: {member.name} has a path outside of the archive; it was not made by NeMo")
        if not (member.isfile() or member.isdir()):
            raise UserError(f"{path}: {member.name} is a link or a device, not a file; it was not made by NeMo")
    if sum(member.size for member in members) > MOST_GROWTH * path.stat().st_size:
        raise UserError(f"{path}: its content is too large for weights")
    found = {PurePosixPath(member.name).name: member for member in members if member.isfile()}
    if missing := [name for name in (CONFIG, WEIGHTS) if name not in found]:
        raise UserError(f"{path}: there is no {missing[0]} in it; give a .nemo file of a model")
    if found[CONFIG].size > MOST_CONFIG:
        raise UserError(f"{path}: {CONFIG} is too long for a configuration")
    return found


def _config(text, path):
    try:
        config = YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise UserError(f"{path}: {CONFIG} is not valid yaml ({_line(error)})") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: {CONFIG} is no mapping")
    return config


def _line(error):
    return " ".join(str(error).split())[:200] or type(error).__name__
