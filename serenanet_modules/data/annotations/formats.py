"""Which reader a file of annotations needs."""

import logging

from serenanet_modules.data.annotations import elan, textgrid
from serenanet_modules.errors import UserError

logger = logging.getLogger(__name__)

READERS = {".eaf": elan.read, ".textgrid": textgrid.read}  # by ending


def reader(path):
    """The function that reads a file or folder, None where it holds no annotations that are known here."""
    return READERS.get(path.suffix.lower()) if path.is_file() else None


def read(path):
    """The documents of a file, or of a folder that is one format.

    Returns
    -------
    list of Document

    Raises
    ------
    UserError
        Saying what is wrong in it, or that there is no `reader`.
    """
    found = reader(path)
    if found is None:
        if not path.exists():
            raise UserError(f"{path}: there is no such file or folder.")
        raise UserError(f"{path}: holds no annotations of a known format ({', '.join(READERS)}).")
    return found(path)


def within(folder):
    """All files below a folder that hold annotations, sorted.

    Of files in one place that differ in their ending alone, which are one recording in several formats, the first in
    the order of `READERS` stands for all, with a warning.
    """
    found = {}
    for path in sorted(path for path in folder.rglob("*") if reader(path)):
        found.setdefault(path.with_suffix(""), []).append(path)
    order = list(READERS)
    for same in found.values():
        same.sort(key=lambda path: order.index(path.suffix.lower()))
        if same[1:]:
            logger.warning("%s is read; %s beside it is not", same[0], ", ".join(path.name for path in same[1:]))
    return [same[0] for same in found.values()]
