"""Folders of the Hugging Face hub: downloaded into its cache or found there, and uploaded."""

import os
import re
from pathlib import Path

from serenanet_modules.errors import UserError

NAME = re.compile(r"\w[\w.-]*(/[\w.-]+)?")
CACHED = "models--"  # begins the name of a model's folder in the hub's cache

OWNED = re.compile(r"\w[\w.-]*/\w[\w.-]*(@[\w./-]+)?")  # owner/name, or owner/name@revision


def finished(source, wanted):
    """The folder of a finished run, which is here or has a name on the hub.

    Parameters
    ----------
    source : str or Path
        A path, ``owner/name`` or ``owner/name@revision``.
    wanted : list of str
        As of `local`.

    Returns
    -------
    Path
        Where there is neither, the path as it was given.
    """
    if os.path.lexists(source) or not OWNED.fullmatch(str(source)):
        return Path(source)
    name, _, revision = str(source).partition("@")
    return local(name, wanted, "RESULT_DIR", revision or None)[0]


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
    except Exception as error:
        if barred := _barred(error):
            raise UserError(
                f"{key}: {source} is no folder here, and {barred[0]}: give a folder, or {barred[1]}"
            ) from None
        if not isinstance(error, ImportError | OSError | ValueError):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{key}: there is no folder {source}, and the hub does not give a model of this name ({reason})"
        ) from None
    return path, path.name


def known_as(folder):
    """What a folder of the hub's cache is on the hub.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    tuple
        ``owner/name`` and the commit; None and None of any other folder.

    Examples
    --------
    >>> known_as("cache/models--owner--name/snapshots/0123abc"), known_as("results/sw/1986")
    (('owner/name', '0123abc'), (None, None))
    """
    *_, model, snapshots, commit = "", "", *Path(folder).absolute().parts
    if snapshots != "snapshots" or not model.startswith(CACHED):
        return None, None
    return model.removeprefix(CACHED).replace("--", "/"), commit


def _barred(error):
    """What keeps this machine from the hub, and what mends that; None where the hub has answered."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    names = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    if "OfflineModeIsEnabled" in names:
        return "HF_HUB_OFFLINE switches the Hugging Face hub off", "unset HF_HUB_OFFLINE"
    if "TransportError" in names:  # httpx's, of all that went wrong before there was an answer
        return "the Hugging Face hub cannot be reached", "go online"
    return None


def push(name, files, private=False, message="A recogniser"):
    """Upload files as one commit of a model on the hub, which is made where it is not there.

    Parameters
    ----------
    name : str
        ``owner/name``.
    files : dict of str to (Path or bytes)
        By their path in the repository.
    private : bool
        Of a new one.
    message : str
        Of the commit.

    Returns
    -------
    str
        Where it is to be seen.

    Raises
    ------
    UserError
        For a name that cannot be, and what the hub refuses or cannot do.
    """
    if not OWNED.fullmatch(name) or "@" in name:
        raise UserError(f"{name}: give a name on the hub, owner/name")
    try:
        from huggingface_hub import CommitOperationAdd, HfApi

        api = HfApi()
        url = api.create_repo(name, private=private, exist_ok=True)
        added = [CommitOperationAdd(path, content) for path, content in files.items()]
        api.create_commit(name, added, commit_message=message)
    except Exception as error:
        if barred := _barred(error):
            raise UserError(f"{name}: cannot be uploaded, as {barred[0]}: {barred[1]}") from None
        if not isinstance(error, ImportError | OSError | ValueError | RuntimeError):
            raise
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"{name}: cannot be uploaded ({reason}); `hf auth login` or HF_TOKEN says who you are"
        ) from None
    return str(url)
