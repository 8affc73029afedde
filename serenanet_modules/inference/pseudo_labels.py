"""Transcripts of speech that nobody has transcribed, as a manifest for the next training (noisy student).

Each piece that the recogniser read at once is a row. `COLUMNS` beside those that `data.custom` reads say how sure the
model was, which model it was and, by ``labelled_by``, that a training must keep the row from its dev and test sets.
"""

import csv
import json
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from serenanet_modules.data import custom
from serenanet_modules.data.audio import AudioError, cut_parts
from serenanet_modules.data.manifest import Candidate, role
from serenanet_modules.data.tables import SUFFIXES
from serenanet_modules.errors import UserError
from serenanet_modules.inference import files
from serenanet_modules.inference.journal import Journal
from serenanet_modules.runs.choice import lm_sha256
from serenanet_modules.runs.hub import known_as
from serenanet_modules.runtime.files import replacing, sha256

COLUMNS = (
    *("id", "path", "start", "end", "text", "speaker", "locale", "split"),
    *("confidence", "labelled_by", "model_sha256"),
)
HELD_OUT = "in a dev or test set"


@dataclass
class Labels:
    """What came of a labelling.

    Attributes
    ----------
    rows : list of dict
        By `COLUMNS`, and ``seconds``.
    left_out : Counter
        Pieces by the reason.
    seconds : float
        Of all audio.
    errors : list of UserError
        Of recordings that could not be read.
    surest : float
        The greatest confidence of a piece that may be kept, whether it was or not; 0 where there is none.
    """

    rows: list = field(default_factory=list)
    left_out: Counter = field(default_factory=Counter)
    seconds: float = 0.0
    errors: list = field(default_factory=list)
    surest: float = 0.0


def recordings(arguments, locale, stdin):
    """The audio that a command line means, without what is there twice.

    Parameters
    ----------
    arguments : list of str
        Files, folders and ``-`` as of `inference.files.find`, and manifests (see `data.custom`), whose texts are not
        read.
    locale : str
    stdin : binary file

    Returns
    -------
    list of Candidate
        Of one split: dev and test sets of manifests keep theirs.
    """
    found = []
    for argument in arguments:
        if Path(argument).suffix.lower() in SUFFIXES:
            found += custom.candidates(argument, locale, shares={"train": 1}, needs_text=False)
        else:
            found += [_of_file(file, locale) for file in files.find([argument], stdin)]
    found = list({(os.path.realpath(c.path), c.part): c for c in reversed(found)}.values())[::-1]
    seen, named = Counter(), []
    for c in found:
        seen[c.id] += 1
        named.append(c if seen[c.id] == 1 else replace(c, id=f"{c.id}-{seen[c.id]}"))
    return named


def _of_file(file, locale):
    """The folder that a file is in, below the one that was named, stands for its speaker."""
    inside = [os.fsencode(part).decode("utf-8", "backslashreplace") for part in file.inside.with_suffix("").parts]
    return Candidate("-".join(inside), file.path.absolute(), "", "/".join(inside[:-1]), locale, "train")


def label(recognizer, candidates, least, held_out, out, lm=None, batch_seconds=120.0, progress=False):
    """Transcribe recordings, and keep what the recogniser is sure of.

    Parameters
    ----------
    recognizer : Recognizer
    candidates : list of Candidate
        From `recordings`.
    least : float
        Confidence of a piece that is kept, 0 to 1: `Segment.confidence`.
    held_out : HeldOut
        What must not be labelled: its recordings, ids, speakers and sentences.
    out : Path
        The manifest to be. What was heard stands beside it until all is; a labelling that was stopped goes on there.
    lm, batch_seconds, progress
        As of `Recognizer.transcribe`.

    Returns
    -------
    Labels

    Raises
    ------
    UserError
        For a model that writes no words, or does not say how sure it is.
    """
    recognizer.check_sure()
    if not recognizer.decoder(lm).writes_words:
        raise UserError(
            f"{recognizer.folder}: writes phonemes, no words; give --lm, or take a model with char or bpe units"
        )
    labels = Labels()
    labels.left_out[HELD_OUT] = sum(role(c.split) != "train" for c in candidates)
    free = [c for c in candidates if role(c.split) == "train"]
    model = {"labelled_by": name_of(recognizer.folder), "model_sha256": recognizer.run.sha256}
    with Journal(out.with_name(f"{out.name}.heard"), _about(recognizer, lm)) as journal:
        waiting = [c for c in free if _key(c) not in journal.found]
        for candidate, end, pieces, language in _heard(recognizer, waiting, batch_seconds, lm, progress):
            if end.error:
                labels.errors.append(end.error)
            else:
                journal.add(_key(candidate), [end.duration, [tuple(_said(piece)) for piece in pieces], language])
        for candidate in free:
            duration, pieces, language = journal.found.get(_key(candidate), (0.0, (), ""))
            labels.seconds += duration
            for piece in pieces:
                said = Said(*piece)
                reason = _reason(candidate, said, held_out)
                if not reason:
                    labels.surest = max(labels.surest, said.confidence)
                    reason = f"with a confidence below {least:g}" if said.confidence < least else ""
                if reason:
                    labels.left_out[reason] += 1
                else:
                    labels.rows.append(_row(candidate, said, duration, language or recognizer.run.locale) | model)
    return labels


class Said(NamedTuple):
    """A piece of a recording: its times in seconds, and what was said there, if anything was."""

    start: float
    end: float
    text: str | None
    confidence: float | None


def _said(piece):
    segment = piece.segment
    return Said(piece.start, piece.end, *((segment.text, segment.confidence) if segment else (None, None)))


def _about(recognizer, lm):
    """What decides a transcript and its confidence beside the recording."""
    result = recognizer.folder / "result.json"
    sums = [recognizer.run.sha256, result.is_file() and sha256(result), lm_sha256(recognizer.run, lm)]
    told = {key: recognizer.settings.get(key) for key in ("language", "task", "context", "attention_beam_size")}
    return {"lm": lm, "wishes": repr(recognizer.run.wishes), "sha256": sums, **recognizer.computing, **told}


def _key(candidate):
    told = os.stat(candidate.path) if os.path.exists(candidate.path) else None
    file = [os.path.realpath(candidate.path), told and told.st_size, told and told.st_mtime_ns]
    return json.dumps([*file, *candidate.part[: 2 + (candidate.channel is not None)]])


def _heard(recognizer, candidates, batch_seconds, lm, progress):
    """Yield each candidate with its `End`, pieces and language."""
    given = []
    heard = recognizer.heard(_opened(candidates, given), batch_seconds, lm, progress)
    for number, found in enumerate(heard):
        yield given[number], *found


def _opened(candidates, given):
    """Yield sources for `Recognizer.heard`, and note in ``given`` whose they are; a recording is decoded once."""
    for path, same in groupby(candidates, key=lambda c: c.path):
        parts = []
        for c in same:
            if c.is_segment:
                parts.append(c)
            else:
                given.append(c)
                yield path
        waiting = dict(enumerate(parts))
        try:
            for i, samples in cut_parts(path, [c.part for c in parts]) if parts else ():
                given.append(waiting.pop(i))
                yield samples
        except AudioError:
            for c in waiting.values():
                given.append(c)
                yield path  # which fails alike, and says why


def _reason(candidate, piece, held_out):
    """Why a piece is left out however sure it is, "" if it is not."""
    if what := held_out.has(candidate, piece.text or ""):
        return f"{what} of dev or test"
    return "nothing said" if piece.text is None else ""


def _row(candidate, piece, duration, locale):
    """What a manifest says of a piece; its times only where it is not a whole file."""
    whole = piece.start == 0 and piece.end >= duration
    start, end = candidate.start, candidate.end
    if not whole:
        start, end = candidate.start + piece.start, candidate.start + piece.end
    times = {"start": "", "end": ""} if whole and end is None and not start else _times(start, end)
    return {
        "id": candidate.id if whole else f"{candidate.id}-{start:.2f}-{end:.2f}",
        "path": candidate.path,
        **times,
        "text": piece.text,
        "speaker": candidate.speaker,
        "locale": locale,
        "split": "train",
        "confidence": f"{piece.confidence:.4f}",
        "seconds": piece.end - piece.start,
    }


def _times(start, end):
    return {"start": f"{start:.3f}", "end": "" if end is None else f"{end:.3f}"}


def name_of(folder):
    """A run's name: the last three parts of its folder, or its name on the hub with the commit.

    Examples
    --------
    >>> name_of("/results/sw/small/1986"), name_of("/cache/models--owner--name/snapshots/0123abc")
    ('sw/small/1986', 'owner/name@0123abc')
    """
    path = Path(folder).resolve()
    name, commit = known_as(path)
    return "/".join(path.parts[-3:]) if name is None else f"{name}@{commit}"


def write(path, rows):
    """Write rows as a manifest; recordings below its folder are named from there."""
    root = path.parent.absolute()
    with replacing(path) as partial, open(partial, "w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS, lineterminator="\n", extrasaction="ignore")
        table.writeheader()
        for row in rows:
            inside = row["path"].relative_to(root) if row["path"].is_relative_to(root) else row["path"]
            table.writerow({**row, "path": inside})
