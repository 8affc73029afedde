"""Common Voice, any release and locale: its tsv files and clips/*.mp3 become candidates."""

import csv
import logging
from contextlib import contextmanager
from pathlib import Path

from serenanet_modules.data import custom
from serenanet_modules.data.manifest import SPLITS, Candidate
from serenanet_modules.errors import LayoutError, UserError

logger = logging.getLogger(__name__)

VALIDATED = "validated.tsv"
COLUMNS = ("client_id", "path", "sentence")  # all releases have these, and some have others


def candidates(data_folder, locale):
    """Yield the clips of an unpacked release.

    Parameters
    ----------
    data_folder : str or Path
        The folder that holds train.tsv, dev.tsv, test.tsv and clips/. A release of a young language or of what is
        new has none of these lists, or empty ones: then validated.tsv is split by speaker.
    locale : str
        Common Voice's code of the language, for rows that do not say theirs.

    Yields
    ------
    Candidate

    Raises
    ------
    UserError
        Where this is no unpacked release (a LayoutError if there is nothing of one); all of it is checked before the
        first clip is yielded.
    """
    folder = Path(data_folder).absolute()
    if (folder / VALIDATED).is_file() and not any(_lines(folder / f"{split}.tsv") for split in SPLITS):
        logger.warning("%s: has no clips in train, dev and test lists; %s is split by speaker", folder, VALIDATED)
        return custom.candidates(folder / VALIDATED, locale)
    _check(folder, locale)
    return (clip for split in SPLITS for clip in _split(folder, split, locale))


def _lines(path):
    """Whether a list has any line but its header."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        return bool(file.readline() and file.readline().strip())


def _check(folder, locale):
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such folder; data_folder is where Common Voice was unpacked.")
    for split in SPLITS:
        path = folder / f"{split}.tsv"
        if not path.is_file():
            inner = folder / locale
            found = any((inner / name).is_file() for name in ("train.tsv", VALIDATED))
            hint = f"did you mean {inner}?" if found else "is it an unpacked release?"
            nothing = not found and not any((folder / f"{name}.tsv").is_file() for name in SPLITS)
            error = LayoutError if nothing else UserError
            raise error(f"{folder}: there is no {split}.tsv in this data folder; {hint}")
        with _rows(path) as rows:
            missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
        if missing:
            raise UserError(f"{path}: line 1 lacks the column(s) {', '.join(missing)}.")
    if not (folder / "clips").is_dir():
        raise UserError(f"{folder / 'clips'}: there is no such folder; the release's mp3 go there.")


def _split(folder, split, locale):
    with _rows(folder / f"{split}.tsv") as rows:
        for row in rows:
            name = row["path"]
            # The first releases leave the extension out.
            clip = folder / "clips" / (name if Path(name).suffix else f"{name}.mp3")
            own = row.get("locale") or locale
            yield Candidate(clip.stem, clip, row["sentence"], row["client_id"], own, split)


@contextmanager
def _rows(path):
    """Open a tsv file; some tools write a byte order mark, and quotation marks are data."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            # A line that is cut short has empty fields, which preparation rejects.
            yield csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE, restval="")
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a UTF-8 tsv file ({error}).") from None
