"""All that ``data_folder`` may name: corpora in a recipe's layout, manifest files, folders of audio alone."""

import logging
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from serenanet_modules.data import custom, tar_corpora
from serenanet_modules.data.annotations.formats import ENDINGS
from serenanet_modules.data.audio import AudioError, seconds
from serenanet_modules.data.endings import AUDIO, sounds
from serenanet_modules.data.manifest import Candidate, role
from serenanet_modules.data.splitting import by_group
from serenanet_modules.data.tables import SUFFIXES
from serenanet_modules.errors import LayoutError, UserError
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.files import walk

logger = logging.getLogger(__name__)

PIECE = 20.0  # seconds, of a long recording without a transcript
SOUNDS = tuple(f".{ending}" for ending in AUDIO)
TRANSCRIPTIONS = (*ENDINGS, *SUFFIXES, *custom.PACKED, ".tar", ".xml", "text")  # what files with text in them end in
UNLABELLED_DEV = 0.02  # of the files, where no corpus has a dev set


def entries(data_folder):
    """The files and folders of a ``data_folder``, one or a list.

    Raises
    ------
    UserError
        Where one of them is not there, or there is none.
    """
    listed = data_folder if isinstance(data_folder, list | tuple) else [data_folder]
    if not listed:
        raise UserError("data_folder: the list is empty; give a corpus")
    for entry in listed:
        if not isinstance(entry, str | Path) or not os.path.exists(entry):  # unlike Path's, of any name
            raise UserError(f"data_folder: there is no file or folder {entry}")
    return [Path(entry).absolute() for entry in listed]


def read(data_folder, locale, layout, needs_text=True, options=None):
    """Read one corpus, or pool several.

    Parameters
    ----------
    data_folder : str, Path or list of them
        Folders in the recipe's layout, manifest files (see `serenanet_modules.data.custom`), and, where no text is
        needed, folders of audio.
    locale : str
        Of what does not say its own.
    layout : callable
        A recipe's ``candidates(data_folder, locale, **options)``.
    needs_text : bool
        Whether a training needs transcripts.
    options : dict, optional
        The recipe's own.

    Returns
    -------
    list of Candidate
        An id that several corpora have is prefixed by the corpus's name in each of them, and a dev or test set that
        several have gets that name: ``test-sw``, ``test-mdw``.

    Raises
    ------
    UserError
        Where an entry is none of these.
    """
    corpora = [_entry(path, locale, layout, needs_text, options or {}) for path in entries(data_folder)]
    return _with_dev(_pooled(corpora, [path.stem for path in entries(data_folder)]))


def _entry(path, locale, layout, needs_text, options):
    if layout is custom.candidates:
        options = {**options, "needs_text": needs_text}
    elif path.is_file():
        return custom.candidates(path, locale, needs_text=needs_text)
    try:
        return list(layout(path, locale, **options))
    except LayoutError as error:
        if layout is not custom.candidates and tar_corpora.archives(path):
            return custom.candidates(path, locale, needs_text=needs_text)
        if needs_text or not (found := unlabelled(path, locale)):
            own = layout is custom.candidates  # other layouts know better what is not there
            raise LayoutError((own and lacking(path)) or str(error)) from None
        logger.warning("%s is read as audio without transcripts; as a corpus it fails: %s", path, error)
        return found


def lacking(folder):
    """What a folder that is no corpus lacks, in a sentence; "" where some file in it may hold transcriptions."""
    recordings = others = broken = 0
    for place, files in walk(folder):  # no further than to the first such file: a corpus may have millions
        for name in files:
            if not os.path.exists(place / name):
                broken += 1
            elif name.lower().endswith(TRANSCRIPTIONS):
                return ""
            elif name.lower().endswith(SOUNDS):
                recordings += 1
            else:
                others += 1
    if recordings:
        return (
            f"{folder}: holds {counted(recordings, 'recording')} but no transcriptions beside them (.eaf, .TextGrid, "
            "…); put them there, or give a table with columns path and text"
        )
    if broken:
        links = "1 link to a file that is" if broken == 1 else f"{broken} links to files that are"
        return f"{folder}: holds {links} not there; bring what they lead to, or give another folder"
    return "" if others else f"{folder}: is empty; give the folder of a corpus, or its manifest"


def unlabelled(folder, locale):
    """All audio of a folder, as training candidates without a text.

    What is longer than `PIECE` is cut into equal pieces. The folder that a file is in stands for its speaker.

    Returns
    -------
    list of Candidate
    """
    return [piece for file in sounds(folder) for piece in _pieces(file, file.relative_to(folder), locale)]


def _pieces(file, inside, locale):
    name, speaker = "-".join(inside.with_suffix("").parts), str(inside.parent) if inside.parent.parts else ""
    name, speaker = (os.fsencode(text).decode("utf-8", "backslashreplace") for text in (name, speaker))
    whole = Candidate(name, file, "", speaker, locale, "train")
    try:
        length = seconds(file) or 0.0
    except AudioError:
        length = 0.0  # preparation says what is wrong with it
    count = -int(-length // PIECE)
    if count < 2:
        return [whole]
    edges = [round(i * length / count, 2) for i in range(count)] + [None]
    return [replace(whole, id=f"{name}-{i:05d}", start=edges[i], end=edges[i + 1]) for i in range(count)]


def _pooled(corpora, names):
    """One list. Ids that several corpora have are told apart, and so are their dev and test sets."""
    ids = Counter(name for corpus in corpora for name in {c.id for c in corpus})
    sets = Counter(name for corpus in corpora for name in {c.split for c in corpus})
    names = [re.sub(r"[^\w.-]", "-", name) for name in names]
    pooled = []
    for i, (corpus, name) in enumerate(zip(corpora, names, strict=True)):
        name += str(names[:i].count(name) + 1) if name in names[:i] else ""
        for c in corpus:
            own_set = sets[c.split] > 1 and c.split != "train"
            new_id = f"{name}/{c.id}" if ids[c.id] > 1 else c.id
            pooled.append(replace(c, id=new_id, split=f"{c.split}-{name}" if own_set else c.split))
    return pooled


def _with_dev(candidates):
    """Give audio alone a small dev set, of whole files where there are several."""
    if any(c.text or role(c.split) != "train" for c in candidates):
        return candidates
    shares = {"train": 1 - UNLABELLED_DEV, "dev": UNLABELLED_DEV}
    splits = by_group([str(c.path) for c in candidates], shares) or by_group([c.id for c in candidates], shares)
    splits = splits or ["train"] * len(candidates)
    return [replace(c, split=split) for c, split in zip(candidates, splits, strict=True)]
