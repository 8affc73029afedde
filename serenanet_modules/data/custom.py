"""Corpora of one's own: manifest files become candidates.

A folder holds a manifest for each split, named after it (train.csv, dev.json, test-clean.tsv, valid_manifest.json), or
a single manifest with a column ``split``, or one without, which is split by speaker; or folders named after their
splits with a manifest each that is called metadata. Annotated recordings of
`data.annotations`, one or a folder of them at any depth, are as one manifest without a column ``split``; and so are tar
archives of `data.tar_corpora`, whose names may say the split.
"""

import logging
import math
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

from serenanet_modules.data import tar_corpora
from serenanet_modules.data.annotations import formats, lhotse
from serenanet_modules.data.annotations.rows import read_rows as read_annotations
from serenanet_modules.data.division import WAYS, Division
from serenanet_modules.data.letters import Letters
from serenanet_modules.data.manifest import SPLITS, Candidate, check_split
from serenanet_modules.data.phonemes import phonemise
from serenanet_modules.data.placing import Places
from serenanet_modules.data.splitting import SPLIT_WORDS, SplitError, split_of_name
from serenanet_modules.data.tables import COLUMNS, SUFFIXES, begins, read_rows
from serenanet_modules.data.text import normaliser
from serenanet_modules.data.text.clean import Cleaner
from serenanet_modules.errors import LayoutError, UserError
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.files import below

logger = logging.getLogger(__name__)

HF = "metadata"  # the name of a manifest beside its audio, as Hugging Face's AudioFolder has it
PACKED = (".arrow", ".parquet")  # data sets that Hugging Face's library opens
KINDS = {**dict.fromkeys(("start", "end", "duration"), " of seconds"), "weight": " from 0"}
ROOT = re.compile(r"\$\{data_root\}|\$data_root|\{data_root\}")


def candidates(
    data_folder,
    locale,
    data_root=None,
    shares=None,
    split_seed=0,
    split_by=None,
    needs_text=True,
    tier=None,
    audio_folder=None,
    clean=None,
    letter_to_sound=None,
):
    """Return the utterances of manifest files, or of annotated recordings.

    Parameters
    ----------
    data_folder : str or Path
        A manifest or a folder of them, annotations or a folder of them.
    locale : str
        Of the rows that do not say theirs.
    data_root : str, optional
        Where relative paths start, and what stands in for ``$data_root`` and ``{data_root}``; by default the
        manifest's folder.
    shares : dict of str to float, optional
        Of train, dev and test where the manifest has no splits.
    split_seed : int
    split_by : str, optional
        What is not parted where the manifest has no splits: ``speaker``, ``recording`` or ``sentence``; by default the
        first of them that the corpus has enough of.
    needs_text : bool
        Whether a manifest without a column for the text is an error.
    tier : str, optional
        Of annotated recordings, as of `annotations.tiers.chosen`.
    audio_folder : str or Path, optional
        Where recordings that are not with their annotations may lie, at any depth.
    clean : str or Path, optional
        The corpus's conventions of transcription, a table as of `data.text.clean`; what it does is said in a warning.
    letter_to_sound : str or Path, optional
        A table as of `data.letters`, which gives the phonemes of texts that do not say theirs.

    Returns
    -------
    list of Candidate

    Raises
    ------
    UserError
        Naming file and line.
    """
    if split_by not in (None, *WAYS):
        raise UserError(f"split_by: must be {', '.join(WAYS)} or null, not {split_by!r}")
    folder, cleaner = Path(data_folder).absolute(), Cleaner(clean) if clean else None
    division, found = Division(shares, split_seed, split_by), []
    for file, root, rows in _lists(folder, data_root, tier, audio_folder):
        found += _candidates(_cleaned(rows, cleaner, file), file, locale, root, division, needs_text)
    for line in cleaner.report() if cleaner else ():
        logger.warning("%s", line)
    return _said(found, letter_to_sound) if letter_to_sound else found


def _said(found, path):
    """Candidates with their phonemes by a table of letters; those without a sound are named in a warning."""
    say, without, spoken = Letters(path), Counter(), []
    for candidate in found:
        text = normaliser(candidate.locale)(candidate.text)
        without.update(say.without_sound(text))
        phonemes = candidate.phonemes or phonemise(text, say)
        spoken.append(replace(candidate, phonemes=phonemes))
    if without:
        named = ", ".join(f"{letter} ({count})" for letter, count in without.most_common(20))
        logger.warning("%s: has no phoneme for %s; these letters are left out", path, named)
    return spoken


def _lists(folder, data_root, tier, audio_folder):
    """Yield (file, where its relative paths start, its rows) for each list of utterances."""
    if tar_corpora.archives(folder) and not (folder.is_dir() and _tables(folder)):
        yield folder, folder if folder.is_dir() else folder.parent, tar_corpora.read_rows(folder)
        return
    if files := annotated(folder):
        above = folder if folder.is_dir() else folder.parent
        yield folder, above, read_annotations(files, above, tier, audio_folder)
        return
    if data_root is not None and not Path(data_root).is_dir():
        raise UserError(f"data_root {data_root}: there is no such folder; relative paths in {folder} start there")
    for file in [folder] if folder.is_file() else _manifests(folder):
        yield file, Path(data_root or file.parent).absolute(), read_rows(file)


def _cleaned(rows, cleaner, file):
    """The rows with their texts cleaned, without those that are to be skipped."""
    if cleaner is None:
        return rows
    texts = [cleaner(row.get("text")) for row in rows]
    if not any(texts) and any(row.get("text") for row in rows):
        told = f"--clean {cleaner.path} leaves nothing of its {counted(len(rows), 'text')}"
        raise UserError(f"{file}: {told}; correct its rules")
    pairs = zip(rows, texts, strict=True)
    return [replace(row, values={**row.values, "text": text.strip()}) for row, text in pairs if text is not None]


def annotated(path):
    """The files of annotations that a file or folder is or holds; none where it has a manifest."""
    if formats.reader(path):
        return [path]
    return formats.within(path) if path.is_dir() and not _tables(path) else []


def _tables(folder):
    named = (file for file in folder.iterdir() if file.suffix.lower() in SUFFIXES and not file.name.startswith("."))
    there = (file for file in named if file.is_file() and not formats.reader(file))
    return sorted(file for file in there if not lhotse.is_recordings(file))


def _manifests(folder):
    if not folder.is_dir():
        raise UserError(f"{folder}: there is no such file or folder.")
    if packed := sorted(file.name for file in folder.iterdir() if file.suffix in PACKED):
        raise UserError(
            f"{folder}: {packed[0]} is not read; save its audio as files beside a metadata.csv that names them."
        )
    files = _tables(folder) or [file for file in below(folder) if file.stem == HF and file.suffix.lower() in SUFFIXES]
    named = [file for file in files if split_of_name(_named_after(file))]
    if named or len(files) == 1:
        return named or files
    if not files:
        raise LayoutError(f"{folder}: holds no manifest (a file that ends in {', '.join(SUFFIXES)}).")
    names = ", ".join(file.name for file in files[:4])
    raise UserError(f"{folder}: which of {names} is the manifest? Give the file, or name it after its split.")


def _named_after(file):
    """What may say a manifest's split: its name, or where all have one name that of its folder."""
    return file.parent.name if file.stem == HF else file.stem


def _candidates(rows, file, locale, root, division, needs_text):
    """Those of rows that were read from a file, whose relative paths start at ``root``."""
    if needs_text and not any(row.get("text") for row in rows):
        *names, last = COLUMNS["text"]
        shown = f"; it reads {begins(file)}" if file.suffix.lower() in SUFFIXES else ""
        raise UserError(f"{file}: no row has a text; the column is called {', '.join(names)} or {last}{shown}.")
    places = Places()
    paths = [places.find(Path(root, ROOT.sub(str(root).replace("\\", r"\\"), row.get("path")))) for row in rows]
    spans = [_span(row) for row in rows]
    names = [row.get("id") or _name(path, root, *span) for row, path, span in zip(rows, paths, spans, strict=True)]
    _check_unique(names, rows)
    splits = _splits(rows, paths, file, division)
    locales = {row.get("locale") or locale for row in rows}
    if locales and locale not in locales:
        said = ", ".join(sorted(locales))
        logger.warning("%s: its column locale says %s, whose text rules are used, not those of %s", file, said, locale)
    return [
        Candidate(
            name,
            path,
            row.get("text"),
            row.get("speaker"),
            row.get("locale") or locale,
            split,
            row.get("phonemes"),
            *span,
            1.0 if (weight := _number(row, "weight")) is None else weight,
            row.get("labelled_by"),
            int(row.get("channel")) if row.get("channel") else None,
        )
        for name, path, row, split, span in zip(names, paths, rows, splits, spans, strict=True)
    ]


def _check_unique(names, rows):
    lines = {}
    for name, row in zip(names, rows, strict=True):
        if name in lines:
            first = lines[name].rpartition(": ")[2]
            raise UserError(f"{row.where}: the id {name!r} is there twice, first in {first}.")
        lines[name] = row.where


def _name(path, root, start, end):
    """An id for an utterance that has none: its path below the root, and its time."""
    inside = path.relative_to(root) if path.is_relative_to(root) else Path(*path.parts[-2:])
    time = "" if end is None and not start else f"-{start:.2f}" + ("" if end is None else f"-{end:.2f}")
    return "-".join((inside.with_suffix("") if inside.name else path).parts) + time


def _span(row):
    """Start and end in seconds; with a start but no end, the duration counts."""
    start, end, duration = (_number(row, column) for column in ("start", "end", "duration"))
    if end is None and start is not None and duration is not None:
        end = start + duration
    if end is not None and end <= (start or 0):
        raise UserError(
            f"{row.where}: the segment ends at {end:g} s and starts at {start or 0:g} s; it must end after that."
        )
    return start or 0.0, end


def _number(row, column):
    text = row.get(column)
    if not text:
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value >= 0):
        raise UserError(f"{row.where}: {column} is {text!r}, it must be a number{KINDS[column]}.")
    return value


# --- splits -----------------------------------------------------------------------------------------------------------


def _splits(rows, paths, file, division):
    given = [row for row in rows if row.get("split")]
    if not given:
        is_table = file.suffix.lower() in SUFFIXES  # annotations are named after what is said in them
        named = split_of_name(_named_after(file)) if is_table else SPLIT_WORDS.get(file.stem.lower())
        if named:
            return [named] * len(rows)
        return (_made if is_table else _made_of_those_there)(rows, paths, file, division)
    for row in rows:
        _check_given(row)
    return [split_of_name(row.get("split")) for row in rows]


def _check_given(row):
    said = row.get("split")
    if not said:
        raise UserError(f"{row.where}: has no split, where other lines have one.")
    try:
        check_split(split_of_name(said))
    except ValueError:
        raise UserError(
            f"{row.where}: split is {said!r}; it must be train, dev or test, or a named set such as test-clean."
        ) from None


def _made_of_those_there(rows, paths, file, division):
    """As `_made`, of annotations whose recording is there; the others are of train, where they are rejected."""
    there = {path: path.is_file() for path in set(paths)}
    known = [i for i, path in enumerate(paths) if there[path]] or [*range(len(rows))]
    splits = ["train"] * len(rows)
    made = _made([rows[i] for i in known], [paths[i] for i in known], file, division)
    for i, split in zip(known, made, strict=True):
        splits[i] = split
    return splits


def _made(rows, paths, file, division):
    """Split by the first way that `Division` finds; warn of what it leaves in train and in dev or test."""
    if whole := [split for split in SPLITS if division.shares == {split: 1}]:
        return whole * len(rows)
    groups = {
        "speaker": [row.get("speaker") for row in rows],
        "recording": [str(path) for path in paths],
        "sentence": [row.get("text").casefold() or str(path) for row, path in zip(rows, paths, strict=True)],
    }
    made = division(groups)
    if made is None:
        how = f" by {division.by}" if division.by else ""
        told = f"{counted(len(rows), 'utterance')} cannot be split{how} into train, dev and test"
        raise SplitError(f"{file}: {told}; add a column 'split'.")
    for line in made.told:
        logger.warning("%s: %s", file, line)
    return made.splits
