"""Preparation: a corpus's clips and sentences become FLAC, a manifest and a list of rejects.

    <folder>/audio/                 16-bit mono FLAC at 16 kHz, shared by this folder's manifests
    <folder>/<key>/manifest.csv     what training and evaluation read; written last
    <folder>/<key>/rejects.tsv      path, split, reason, detail of every clip not in the manifest
    <folder>/<key>/summary.json     hours, utterances, speakers, characters, rejects, warnings

The key is a hash of all that decides the result: settings, sentences, splits, the size and time
of every clip, and the code that normalises and prepares. The same key is never prepared twice;
another key reuses the FLAC files of clips that did not change, which is also how an interrupted
preparation goes on.

Clips are decoded by threads, not by processes: libsndfile and soxr leave Python's lock while they
work (two threads on two cores take half of the time), a thread neither imports torch again nor
deadlocks with it, and no thread survives its process.
"""

import csv
import functools
import hashlib
import importlib.util
import json
import os
import signal
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from serenanet_modules.data.audio import SAMPLE_RATE, AudioError, load, save_flac
from serenanet_modules.data.files import replacing
from serenanet_modules.data.manifest import SPLITS, Utterance, write_manifest
from serenanet_modules.data.text import normaliser
from serenanet_modules.errors import UserError
from serenanet_modules.threads import available_cores

PREPARATION_VERSION = 1  # raise it when the rules below, or what the FLAC files hold, change
SILENCE = 1e-4  # peak amplitude (-80 dBFS) below which a clip is silent
PRECEDENCE = ("test", "dev", "train")  # of two clips with one id, the first is kept
BATCH = 16  # clips a thread takes at once


@dataclass(frozen=True)
class Settings:
    """The rules a *training* utterance must meet; dev and test keep everything that can be read.

    `frame_rate` is the lowest that an encoder's output has, 25 Hz for 40 ms frames. CTC needs a
    frame for every character and one more between two equal ones; `frames_per_character`
    multiplies that need.
    """

    min_duration: float = 0.3  # seconds
    max_duration: float = 60.0  # seconds
    frame_rate: float = 25.0  # Hz
    frames_per_character: float = 1.0
    phonemes: bool = False  # fill the phonemes column
    needs_text: bool = True  # False keeps training clips whatever their text; pre-training reads none


@dataclass(frozen=True)
class Prepared:
    """Where the prepared data is, and the content of summary.json."""

    folder: Path
    manifest: Path
    summary: dict

    def __str__(self):
        return "\n".join([f"prepared data: {self.folder}", *_table(self.summary)])


@dataclass(frozen=True)
class _Clip:
    """A candidate with its text normalised and its audio looked at."""

    candidate: object
    text: str
    flac: Path
    duration: float = 0.0  # seconds
    peak: float = 0.0
    reason: str = ""  # why it is rejected, "" if it is not
    detail: str = ""


def prepare(candidates, folder, settings=None, jobs=None, progress=True):
    """Decode, normalise, sift and write a corpus, unless the same has been done before.

    Rejected from every split: a clip that is missing, undecodable, truncated, empty or not finite,
    and the second of two with one id (test goes before dev, dev before train). Rejected from train
    only: empty text after normalisation, silent, too short, too long, too short for its text. A dev
    or test utterance without text stays: whatever is recognised in it counts as insertions.

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

    Returns
    -------
    Prepared

    Raises
    ------
    UserError
        Where nothing usable is left of a split.
    """
    settings = settings or Settings()
    candidates = sorted(candidates, key=lambda c: PRECEDENCE.index(c.split))
    if not candidates:
        raise UserError("There is nothing to prepare: the data folder's lists are empty.")
    key, tags = _fingerprints(candidates, settings)
    target = Path(folder).absolute() / key[:12]
    prepared = _existing(target)
    if prepared is None:
        with _sigterm_as_exit():
            clips = _normalised(candidates, tags, target.parent / "audio", settings)
            clips = _heard(clips, jobs or available_cores(), progress)
            clips = [clip if clip.reason else _judged(clip, settings) for clip in clips]
            prepared = _write(clips, target, key, settings, progress)
    if progress:
        print(prepared)
    return prepared


def _fingerprints(candidates, settings):
    """Return the key of the preparation and, for each candidate, a short hash of its audio file."""
    digest = hashlib.sha256(repr([PREPARATION_VERSION, asdict(settings)]).encode())
    digest.update(_source_hash("serenanet_modules.data.text"))
    if settings.phonemes:
        digest.update(_source_hash("serenanet_modules.data.phonemes"))
    tags = []
    for c in candidates:
        try:
            stat = c.path.stat()
            clip = (PREPARATION_VERSION, c.id, c.path.name, stat.st_size, stat.st_mtime_ns)
        except OSError:
            clip = (PREPARATION_VERSION, c.id, c.path.name, "missing")
        tags.append(hashlib.sha256(repr(clip).encode()).hexdigest()[:10])
        row = (tags[-1], c.text, c.speaker, c.locale, c.split, c.phonemes)
        digest.update(repr(row).encode())
    return digest.hexdigest(), tags


def _source_hash(module):
    """Hash the source of a module, or of all modules of a package."""
    file = Path(importlib.util.find_spec(module).origin)
    sources = sorted(file.parent.rglob("*.py")) if file.stem == "__init__" else [file]
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).digest()


def _existing(target):
    """Return what was prepared before; the manifest is written last, so it stands for the whole."""
    if not ((target / "manifest.csv").is_file() and (target.parent / "audio").is_dir()):
        return None
    summary = json.loads((target / "summary.json").read_text(encoding="utf-8"))
    return Prepared(target, target / "manifest.csv", summary)


def _normalised(candidates, tags, audio, settings):
    """Normalise the texts, and reject what needs no listening."""
    rules = {locale: normaliser(locale) for locale in {c.locale for c in candidates}}
    kept = {c.id: i for i, c in reversed(list(enumerate(candidates)))}
    clips = []
    for i, (c, tag) in enumerate(zip(candidates, tags, strict=True)):
        flac = audio / tag[:2] / f"{c.path.stem}-{tag}.flac"
        clip = _Clip(c, rules[c.locale](c.text), flac)
        if kept[c.id] != i:
            detail = f"the one in {candidates[kept[c.id]].split} is kept"
            clip = replace(clip, reason="duplicate id", detail=detail)
        elif settings.needs_text and c.split == "train" and not clip.text:
            clip = replace(clip, reason="empty text", detail=f"the sentence is {c.text!r}")
        clips.append(clip)
    return clips


def _heard(clips, jobs, progress):
    """Decode the clips that are not rejected yet; return all, in order."""
    batches = [clips[i : i + BATCH] for i in range(0, len(clips), BATCH)]
    heard = []
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="prepare")
    try:
        with tqdm(total=len(clips), desc="audio", unit="clip", disable=not progress) as bar:
            for batch in pool.map(lambda batch: [_listen(clip) for clip in batch], batches):
                heard += batch
                bar.update(len(batch))
    finally:  # after Ctrl-C, the clips being written are finished and no other is begun
        pool.shutdown(wait=True, cancel_futures=True)
    return heard


def _listen(clip):
    if clip.reason:
        return clip
    try:
        samples = _written(clip.flac)
        if samples is None:
            samples = load(clip.candidate.path)
            save_flac(clip.flac, samples)
    except AudioError as error:
        return replace(clip, reason=error.reason, detail=error.detail)
    return replace(clip, duration=len(samples) / SAMPLE_RATE, peak=float(np.abs(samples).max()))


def _written(flac):
    """Return the samples of a FLAC file of an earlier preparation, None if there is none."""
    try:
        samples, _ = soundfile.read(flac, dtype="float32")
    except soundfile.LibsndfileError:
        return None
    return samples if len(samples) else None


def _judged(clip, settings):
    """Reject a training clip that would not train."""
    if clip.candidate.split != "train":
        return clip
    need = settings.frames_per_character * ctc_frames(clip.text)
    frames = clip.duration * settings.frame_rate
    if clip.peak < SILENCE:
        return replace(clip, reason="silent", detail=f"peak amplitude {clip.peak:.1e}")
    if clip.duration < settings.min_duration:
        return replace(clip, reason="too short", detail=f"{clip.duration:.2f} s")
    if clip.duration > settings.max_duration:
        return replace(clip, reason="too long", detail=f"{clip.duration:.2f} s")
    if settings.needs_text and frames < need:
        detail = f"{frames:.0f} frames at {settings.frame_rate:g} Hz, {need:.0f} needed"
        return replace(clip, reason="too short for its text", detail=detail)
    return clip


def ctc_frames(text):
    """Fewest frames in which CTC can say a text: a blank stands between two equal characters.

    Examples
    --------
    >>> ctc_frames("saa")
    4
    """
    return len(text) + sum(a == b for a, b in pairwise(text))


def _write(clips, target, key, settings, progress):
    """Write the four files, the manifest last."""
    utterances = list(_utterances([c for c in clips if not c.reason], target, settings, progress))
    with replacing(target / "rejects.tsv") as partial, open(partial, "w", encoding="utf-8") as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow(("path", "split", "reason", "detail"))
        for clip in clips:
            if clip.reason:
                rows.writerow((clip.candidate.path, clip.candidate.split, clip.reason, clip.detail))
    for split in {clip.candidate.split for clip in clips} - {u.split for u in utterances}:
        reasons = _counts(_rejected(clips, split))
        raise UserError(f"No {split} utterance is usable ({reasons}); see {target / 'rejects.tsv'}.")
    summary = {"key": key, "settings": asdict(settings), **_summary(clips, utterances)}
    with replacing(target / "summary.json") as partial:
        partial.write_text(json.dumps(summary, ensure_ascii=False, indent=1), encoding="utf-8")
    write_manifest(target / "manifest.csv", utterances)
    return Prepared(target, target / "manifest.csv", summary)


def _utterances(clips, target, settings, progress):
    spoken = _phonemiser({clip.candidate.locale for clip in clips}) if settings.phonemes else None
    for clip in tqdm(clips, desc="phonemes", unit="clip", disable=not (progress and spoken)):
        c = clip.candidate
        phonemes = c.phonemes or (spoken(clip.text, c.locale) if spoken else "")
        path = os.path.relpath(clip.flac, target)
        yield Utterance(c.id, path, clip.duration, clip.text, phonemes, c.speaker, c.locale, c.split)


def _phonemiser(locales):
    """Return a function (text, locale) -> phonemes that looks every word up once."""
    from serenanet_modules.data.phonemes import g2p, phonemise  # its libraries load slowly

    words = {locale: functools.cache(g2p(locale)) for locale in locales}
    return lambda text, locale: phonemise(text, words[locale])


def _summary(clips, utterances):
    splits = {}
    for split in SPLITS:
        inside = [u for u in utterances if u.split == split]
        splits[split] = {
            "hours": round(sum(u.duration for u in inside) / 3600, 4),
            "utterances": len(inside),
            "speakers": len({u.speaker for u in inside}),
            "characters": sum(len(u.text) for u in inside),
            "rejected": _rejected(clips, split),
        }
    return {
        "locales": sorted({u.locale for u in utterances}),
        "splits": splits,
        "warnings": list(_warnings(utterances)),
    }


def _rejected(clips, split):
    counts = Counter(c.reason for c in clips if c.reason and c.candidate.split == split)
    return dict(counts.most_common())


def _warnings(utterances):
    """Say what makes a score look better, or worse, than the system is."""
    by_split = {split: [u for u in utterances if u.split == split] for split in SPLITS}
    speakers = {u.speaker for u in by_split["train"]}
    sentences = {u.text for u in by_split["train"]}
    letters = set().union(*sentences)
    for split in ("dev", "test"):
        inside = by_split[split]
        shared = {u.speaker for u in inside} & speakers
        if shared:
            yield f"{len(shared)} {split} speaker(s) also speak in train"
        if known := sum(u.text in sentences for u in inside):
            yield f"{known} {split} utterance(s) have a sentence that is in train"
        if empty := sum(not u.text for u in inside):
            yield f"{empty} {split} utterance(s) have no text; all words there are insertions"
        if letters and (unseen := set().union(*(u.text for u in inside)) - letters):
            yield f"{split} has character(s) that train lacks: {' '.join(sorted(unseen))}"


def _table(summary):
    """Show a summary as lines of text."""
    yield "split     hours  utterances  speakers  characters  rejected"
    for split, s in summary["splits"].items():
        numbers = f"{s['utterances']:>12}{s['speakers']:>10}{s['characters']:>12}"
        yield f"{split:<5}{s['hours']:>10.2f}{numbers}  {_counts(s['rejected']) or 'none'}"
    for warning in summary["warnings"]:
        yield f"note: {warning}"


def _counts(reasons):
    return ", ".join(f"{count} {reason}" for reason, count in reasons.items())


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
