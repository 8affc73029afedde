"""Folders of the Hugging Face hub, downloaded into its cache or found there."""

import os
import re
from pathlib import Path

from serenanet_modules.errors import UserError

NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")


def local(source, wanted, key, revision=None):
    """The folder that a hyper-parameter names, here or on the hub.

    Parameters
    ----------
    source : str
        A path, or a name on the hub.
    wanted : list of str
        Which files are needed of the hub's; patterns.
    key : str
        The hyper-parameter, which errors begin with.
    revision : str, optional
        Of a name on the hub; None takes the newest.

    Returns
    -------
    tuple
        Its path, and of a name on the hub the commit, else None.

    Raises
    ------
    UserError
        Where there is neither.
    """
    path = Path(source)
    if path.is_dir():
        return path, None
    if not NAME.fullmatch(source) or os.sep + "." in source:
        raise UserError(f"{key}: there is no folder {source}")
    try:
        from huggingface_hub import snapshot_download

        path = Path(snapshot_download(source, revision=revision, allow_patterns=wanted))
    except (ImportError, OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{key}: there is no folder {source}, and the hub does not give a model of this name ({reason})"
        ) from None
    return path, path.name
