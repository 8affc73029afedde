"""Which reader a file of annotations needs."""

import logging
from typing import NamedTuple

from serenanet_modules.data.annotations import (
    chat,
    elan,
    exmaralda,
    flextext,
    kaldi,
    labels,
    lhotse,
    nist,
    subtitles,
    textgrid,
    transcriber,
    transcripts,
)
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import below

logger = logging.getLogger(__name__)


class Reader(NamedTuple):
    """How files with some endings are read; ``looks`` tells them from other files with the same endings."""

    read: callable
    endings: tuple[str, ...]
    looks: callable = None


READERS = (  # of a recording in several formats, the first is read
    Reader(elan.read, (".eaf",)),
    Reader(textgrid.read, (".textgrid",)),
    Reader(exmaralda.read, (".exb",)),
    Reader(transcriber.read, (".trs",)),
    Reader(flextext.read, (".flextext",)),
    Reader(chat.read, (".cha",)),
    Reader(nist.read_stm, (".stm",)),
    Reader(subtitles.read, (".srt", ".vtt")),
    Reader(labels.read_segments, (".tsv",), labels.is_segments),
    Reader(labels.read_labels, (".txt",), labels.is_labels),
    Reader(nist.read_ctm, (".ctm",)),
    Reader(transcripts.read, (".json",), transcripts.is_one),
    Reader(lhotse.read, (".jsonl", ".jsonl.gz"), lhotse.is_one),
)
FOLDERS = Reader(kaldi.read, (), kaldi.is_one)
ENDINGS = tuple(ending for reader in READERS for ending in reader.endings)


def reader(path):
    """The `Reader` of a file or folder, None where it holds no annotations that are known here."""
    name = path.name.lower()
    if not name.endswith(ENDINGS):
        return FOLDERS if path.is_dir() and FOLDERS.looks(path) else None
    fitting = (r for r in READERS if name.endswith(r.endings))
    return next((r for r in fitting if path.is_file() and (r.looks is None or r.looks(path))), None)


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
        raise UserError(f"{path}: holds no annotations of a known format ({', '.join(ENDINGS)}).")
    if not (documents := found.read(path)):
        raise UserError(f"{path}: holds no recording's annotations.")
    return documents


def within(folder):
    """All files and folders below a folder that hold annotations, sorted.

    Of files in one place that differ in their ending alone, which are one recording in several formats, the first in
    the order of `READERS` stands for all, with a warning.
    """
    found = {}
    for path in below(folder):
        if read_by := reader(path):
            stem = path if read_by is FOLDERS else path.with_suffix("")
            found.setdefault(stem, []).append((-1 if read_by is FOLDERS else READERS.index(read_by), path))
    for same in found.values():
        (_, first), *others = same.sort() or same
        if others:
            logger.warning("%s is read; %s beside it is not", first, ", ".join(path.name for _, path in others))
    return [same[0][1] for same in found.values()]
