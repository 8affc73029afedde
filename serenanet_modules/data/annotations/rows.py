"""Annotated recordings as rows of a manifest."""

import logging
import os
from collections import Counter

from serenanet_modules.data.annotations import formats
from serenanet_modules.data.annotations.media import Media, origin
from serenanet_modules.data.annotations.tiers import chosen, names
from serenanet_modules.data.splitting import split_of_name
from serenanet_modules.data.tables import Row
from serenanet_modules.errors import UserError

logger = logging.getLogger(__name__)


def read_rows(paths, folder, tier=None, audio_folder=None):
    """The annotations of files, one a row: path, id, text, speaker, start and end in seconds.

    Annotations without text are passed over; those without a time are, too, and counted in a warning.

    Parameters
    ----------
    paths : list of Path
        For which there is a `formats.reader`.
    folder : Path
        That they are in; ids say the path below it.
    tier : str, optional
        As of `tiers.chosen`.
    audio_folder : str or Path, optional
        As of `Media`.

    Returns
    -------
    list of `tables.Row`

    Raises
    ------
    UserError
        For a file that cannot be read, and where no file has such a tier or any annotation in it.
    """
    media, rows, without, annotated = Media(audio_folder, [folder]), [], [], set()
    for path, split in zip(paths, _splits(paths, folder), strict=True):
        for document in formats.read(path):
            tiers = chosen(document, tier)
            if not tiers and document.tiers:
                without.append(document)
            found = [*_rows(document, tiers, media, folder, split)]
            annotated.update((row.values["path"], path, document.media[:1]) for row in found[:1])
            rows += found
    if not rows and without:
        first = without[0]
        which = "no tier with" if tier is None else f"no tier {tier} with"
        raise UserError(f"{first.path}: has {which} text; its tiers are {names(first.tiers)}.")
    if not rows:
        raise UserError(f"{paths[0]}: holds no annotation with a text and a time.")
    if without:
        which = "tier with text" if tier is None else f"tier {tier}"
        logger.warning("%d of the recordings have no %s, such as %s", len(without), which, without[0].path)
    _warn(annotated, audio_folder)
    return rows


def _warn(annotated, audio_folder):
    """Of (recording, file that annotates it, what that names): say what is missing, and what several files annotate."""
    missing = sorted((path, named) for recording, path, named in annotated if not os.path.isfile(recording))
    if missing and not (audio_folder and len(missing) == len(annotated)):  # that none is there, whoever hears them says
        path, named = missing[0]
        which = f"{named[0]}, which {path} names" if named else f"that of {path}"
        hint = "" if audio_folder else "; --audio-folder says where they are"
        logger.warning("%d recording(s) are not there, such as %s%s", len(missing), which, hint)
    for recording, count in Counter(recording for recording, *_ in annotated).items():
        if count > 1:
            files = ", ".join(sorted(str(path) for place, path, _ in annotated if place == recording))
            logger.warning("%s is annotated by %d files, which are all read: %s", recording, count, files)


def _splits(paths, folder):
    """The split of each file by the folders that it is in, or by a part of its name, such as ``b_supervisions_dev``.

    None of any of them where some say none, or none says train.
    """
    said = [_split(path, folder) for path in paths]
    return said if "train" in said and "" not in said else [""] * len(paths)


def _split(path, folder):
    own = [path.name] if path.is_dir() else path.name.split(".")[0].split("_")
    return next(filter(None, map(split_of_name, [*_above(path, folder), *own])), "")


def _above(path, folder):
    """The folders that a file is in below ``folder``."""
    return path.relative_to(folder).parts[:-1] if path.is_relative_to(folder) else ()


def _rows(document, tiers, media, folder, split):
    full = [(tier, a) for tier in tiers for a in tier.annotations if a.text.strip()]
    usable = [(tier, a) for tier, a in full if a.timed]
    if left := len(full) - len(usable):
        logger.warning("%s: %d of %d annotations have no time and are left out", document.path, left, len(full))
    if not usable:
        return
    path, numbers = media.find(document), Counter()
    later = origin(document, path)
    stem = "-".join([*_above(document.path, folder), document.name])
    for tier, a in usable:
        numbers[tier.name] += 1
        name = a.id if document.name != document.path.stem and a.id else _name(stem, tiers, tier, numbers[tier.name])
        values = {
            "path": str(path),
            "id": name,
            "text": a.text.strip(),
            "speaker": a.speaker or tier.participant,
            "start": repr(a.start + later),
            "end": "" if a.end is None else repr(a.end + later),
            "split": split,
            "channel": "" if a.channel is None else str(a.channel),
        }
        where = f"{document.path}: tier {tier.name}: annotation {numbers[tier.name]}"
        yield Row(where, {column: value for column, value in values.items() if value})


def _name(stem, tiers, tier, number):
    return f"{stem}-{number:04d}" if len(tiers) == 1 else f"{stem}-{tier.name}-{number:04d}"
