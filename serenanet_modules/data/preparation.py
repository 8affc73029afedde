"""Preparation: a corpus's clips and sentences become FLAC, a manifest and a list of rejects; `sifting` has the rules.

    <folder>/audio/                 16-bit mono FLAC at 16 kHz, shared by this folder's manifests
    <folder>/<key>/manifest.csv     what training and evaluation read; written last
    <folder>/<key>/rejects.tsv      id, path, split, reason, detail of each clip not in the manifest
    <folder>/<key>/summary.json     hours, utterances, speakers, characters, rejects, warnings

The key is a hash of all that decides the result: settings, sentences, splits, the size and time
of every clip, and the code that normalises and prepares. The same key is never prepared twice;
another key reuses the FLAC files of clips that did not change, which is also how an interrupted
preparation goes on. A clip that is such a FLAC file already is not copied: the manifest names it
where it is.
"""

import csv
import functools
import hashlib
import importlib.util
import logging
import os
import re
import signal
import tempfile
import threading
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import chain, groupby
from pathlib import Path

from serenanet_modules.data.frame_cache import ENCODED
from serenanet_modules.data.listening import Clip, hear
from serenanet_modules.data.manifest import Utterance, role, write_manifest
from serenanet_modules.data.sifting import Settings, in_precedence, judged, normalised, phonemiser
from serenanet_modules.data.stores import Loose, Packed, packed
from serenanet_modules.data.summary import SUMMARY, in_words, read_summary, rejected, summarise, table
from serenanet_modules.data.tars import member
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.files import locked, one_line, replacing, sweep, write_json
from serenanet_modules.runtime.threads import available_cores

logger = logging.getLogger(__name__)

PREPARATION_VERSION = 3  # raise it when the rules of `sifting`, or what the FLAC files hold, change
MOST_OF_NAME = 40  # characters of a clip's name that its FLAC file has too


@dataclass(frozen=True)
class Part:
    """Clips that a process decodes: all of a corpus, or its share of them.

    Attributes
    ----------
    clips : list of Clip
    audio : Path
        Folder of what is written.
    jobs : int
        Threads.
    progress, pack : bool
    process : int
    """

    clips: list[Clip]
    audio: Path
    jobs: int
    progress: bool
    pack: bool
    process: int = 0

    def hear(self):
        """The clips with what was found of their audio."""
        store = Packed(self.audio, self.process) if self.pack else Loose()
        try:
            return hear(self.clips, self.jobs, self.progress, store)
        finally:
            store.close()

    def shared(self, share):
        """As `hear`, by several processes; clips of one recording stay together."""
        order = sorted(range(len(self.clips)), key=lambda i: str(self.clips[i].candidate.path))
        groups = [list(same) for _, same in groupby(order, key=lambda i: self.clips[i].candidate.path)]
        places = [list(chain.from_iterable(groups[n :: share.processes])) for n in range(share.processes)]
        parts = [
            replace(self, clips=[self.clips[i] for i in own], progress=self.progress and not n, process=n)
            for n, own in enumerate(places)
        ]
        heard = dict(zip(chain(*places), chain(*share(parts)), strict=True))
        return [heard[i] for i in range(len(self.clips))]


@dataclass(frozen=True)
class Prepared:
    """Where the prepared data is, and the content of summary.json."""

    folder: Path
    manifest: Path
    summary: dict

    def __str__(self):
        return "\n".join([f"prepared data: {self.folder}", *table(self.summary)])


def prepare(candidates, folder, settings=None, jobs=None, progress=True, pack=False, share=None):
    """Decode, normalise, sift and write a corpus, unless the same has been done before.

    Rejected from every split: a clip that is missing, undecodable, truncated, empty or not finite, a
    segment outside its recording, and the second of two with one id (test goes before dev, dev
    before train). Rejected from train only: empty text after normalisation, silent, too short, too
    long, too short for its text, of weight 0; and what a model has labelled where dev or test has its
    recording, id, speaker or sentence. A dev or test utterance without text stays: whatever is recognised
    in it counts as insertions.

    Parameters
    ----------
    candidates : iterable of Candidate
    folder : str or Path
        Holds all preparations of a corpus; see the module's docstring.
    settings : Settings, optional
    jobs : int, optional
        Threads; by default one for each core that this process may use.
    progress : bool
        Show a progress bar and print the summary.
    pack : bool
        Whether audio is written into tar archives, in the place of a file a clip.
    share : callable, optional
        From a list of `Part`, one for each of its ``processes``, to what `Part.hear` gives of each.

    Returns
    -------
    Prepared

    Raises
    ------
    UserError
        Where nothing usable is left of train, of dev or of test.
    """
    settings = settings or Settings()
    candidates = in_precedence(candidates)
    key, tags = _fingerprints(candidates, settings, pack)
    target = Path(folder).absolute() / key[:12]
    places = _places(candidates)
    prepared = _existing(target, places)
    if prepared is None:
        with _sigterm_as_exit(), locked(target.parent / ".lock"):
            prepared = _existing(target, places)  # a run that started together with this one may have made it
            if prepared is None:
                sweep(target.parent, spared=ENCODED)
                if progress:
                    print(f"preparing {counted(len(candidates), 'clip')} in {target}", flush=True)
                audio = target.parent / "audio"
                clips = _placed(normalised(candidates, settings), audio, tags, pack)
                part = Part(clips, audio, jobs or available_cores(), progress, pack)
                clips = part.hear() if share is None or share.processes == 1 else part.shared(share)
                clips = [judged(clip, settings) for clip in clips]
                prepared = _write(clips, target, {"key": key, "places": places}, settings, progress)
    if progress:
        print(prepared)
    return prepared


def _fingerprints(candidates, settings, pack):
    """Return the key of the preparation and, for each candidate, a short hash of its audio file."""
    digest = hashlib.sha256(repr([PREPARATION_VERSION, asdict(settings), *(["packed"] * pack)]).encode())
    digest.update(_source_hash("serenanet_modules.data.text"))
    if settings.phonemes:
        digest.update(_source_hash("serenanet_modules.data.phonemes"))
    tags = []
    stat_of = functools.cache(_stat)  # a recording may have many segments
    for c in candidates:
        try:
            stat = stat_of(c.path)
        except (OSError, ValueError):  # ValueError: a name that no file can have
            stat = ("missing",)
        clip = (PREPARATION_VERSION, c.id, c.path.name, *stat)
        clip += c.part[: 2 + (c.channel is not None)] if c.is_segment else ()
        tags.append(hashlib.sha256(repr(clip).encode()).hexdigest()[:10])
        row = (tags[-1], c.text, c.speaker, c.locale, c.split, c.phonemes)
        row += (c.weight, c.labelled_by) if c.labelled_by or c.weight != 1 else ()
        row += (_recording(c, stat),) if c.is_segment else ()
        digest.update(repr(row).encode())
    return digest.hexdigest(), tags


def _stat(path):
    """What changes when a file does, or a member of an archive."""
    if inside := member(path):
        return inside.stat()
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns


def _recording(candidate, stat):
    """Name of the recording that a candidate is a part of, wherever the corpus lies; "" for a file of its own."""
    if not candidate.is_segment:
        return ""
    path = candidate.path
    return f"{_plain(path.stem)}-{hashlib.sha256(repr((path.name, *stat)).encode()).hexdigest()[:10]}"


def _source_hash(module):
    """Hash the source of a module, or of all modules of a package."""
    file = Path(importlib.util.find_spec(module).origin)
    sources = sorted(file.parent.rglob("*.py")) if file.stem == "__init__" else [file]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).digest()


def _places(candidates):
    """Hash where the clips are: the manifest names some of them there, and the key does not depend on it."""
    return hashlib.sha256("\n".join(str(c.path) for c in candidates).encode(errors="surrogateescape")).hexdigest()[:12]


def _existing(target, places):
    """Return what was prepared before; the manifest is written last, so it stands for the whole."""
    if not (target / "manifest.csv").is_file():
        return None
    summary = read_summary(target)
    moved = summary["in_place"] and summary["places"] != places
    lost = summary["in_place"] < _utterance_count(summary) and not (target.parent / "audio").is_dir()
    return None if moved or lost else Prepared(target, target / "manifest.csv", summary)


def _utterance_count(summary):
    return sum(split["utterances"] for split in summary["splits"].values())


def _placed(clips, audio, tags, pack):
    """Say where each clip's FLAC file is, or will be: in a folder, or in one of its archives."""
    places = packed(audio) if pack else {}
    names = [f"{_plain(clip.candidate.path.stem)}-{tag}.flac" for clip, tag in zip(clips, tags, strict=True)]
    return [
        replace(clip, flac=places.get(name) or audio / tag[:2] / name)
        for clip, name, tag in zip(clips, names, tags, strict=True)
    ]


def _plain(stem):
    """What any file system takes of a clip's name; the tag behind it tells clips apart."""
    return re.sub(r"[^\w.-]", "_", stem)[:MOST_OF_NAME]


def _write(clips, target, identity, settings, progress):
    """Write the three files, the manifest last."""
    kept = [clip for clip in clips if not clip.reason]
    with (
        replacing(target / "rejects.tsv") as partial,
        open(partial, "w", encoding="utf-8", errors="backslashreplace") as file,
    ):
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(("id", "path", "split", "reason", "detail"))
        for clip in clips:
            if clip.reason:
                c = clip.candidate
                rows.writerow((c.id, c.path, c.split, clip.reason, clip.detail))
    _check_splits(clips, {clip.candidate.split for clip in kept}, target / "rejects.tsv")
    in_place = sum(clip.flac == clip.candidate.path for clip in kept)
    summary = {**identity, "in_place": in_place, "settings": asdict(settings), **summarise(clips)}
    write_json(target / SUMMARY, summary)
    write_manifest(target / "manifest.csv", _utterances(kept, target, settings, progress))
    return Prepared(target, target / "manifest.csv", summary)


def _check_splits(clips, left, rejects):
    """Refuse a corpus of which a role has nothing left; one of several sets of a role may be lost."""
    for split in sorted({clip.candidate.split for clip in clips} - left):
        reasons = in_words(rejected(clips, split))
        first = next(clip.candidate.path for clip in clips if clip.candidate.split == split)
        sentence = f"No {split} utterance is usable ({reasons}; first {one_line(str(first))}){_see(rejects)}."
        if role(split) not in map(role, left):
            raise UserError(sentence)
        logger.warning("%s The set is left out.", sentence)


def _see(file):
    """Where to read on, unless it is soon gone, as is what `evaluate` prepares without --out."""
    return "" if Path(tempfile.gettempdir()).resolve() in file.resolve().parents else f"; see {file}"


def _utterances(clips, target, settings, progress):
    spoken = phonemiser() if settings.phonemes else None
    stat_of = functools.cache(_stat)
    for clip in Bar(clips, desc="phonemes", unit="clip", disable=not (progress and spoken)):
        c = clip.candidate
        phonemes = c.phonemes or (spoken(clip.text, c.locale) if spoken else "")
        path = clip.flac if clip.flac == c.path else os.path.relpath(clip.flac, target)
        about = (c.speaker, c.locale, c.split, c.weight if c.split == "train" else 1.0, c.labelled_by)
        recording = _recording(c, stat_of(c.path)) if c.is_segment else ""
        yield Utterance(c.id, str(path), clip.duration, clip.text, phonemes, *about, recording)


@contextmanager
def _sigterm_as_exit():
    """Let SIGTERM unwind the stack as Ctrl-C does, so that no half file stays behind."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def leave(signum, frame):
        raise SystemExit(128 + signum)

    previous = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if previous is None else previous)
