"""Files that are either whole or not there."""

import fcntl
import os
import threading
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path):
    """Yield a temporary path, renamed to `path` when the block ends well, else deleted.

    Parameters
    ----------
    path : str or Path
        The file to create or replace. Its folder is made if it is missing.

    Yields
    ------
    Path
        Where to write. Unique per process and thread, so writers of the same file do not meet.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def locked(path, wait=True):
    """Hold a lock file; the kernel lets it go when the process ends, however it ends.

    Parameters
    ----------
    path : str or Path
        Made if it is missing, with its folder, and left there.
    wait : bool
        Whether to wait for another holder.

    Raises
    ------
    BlockingIOError
        Where another holds it and ``wait`` is False.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
