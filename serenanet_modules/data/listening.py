"""Candidates' audio: heard by threads, cut out of long recordings, and kept as 16 kHz FLAC where it is not that yet.

Clips are decoded by threads, not by processes: libsndfile and soxr leave Python's lock while they work (two threads on
two cores take half of the time), a thread neither imports torch again nor deadlocks with it, and no thread survives
its process.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby
from pathlib import Path

import soundfile

from serenanet_modules.data.audio import (
    SAMPLE_RATE,
    AudioError,
    amplitude,
    cut_parts,
    is_prepared,
    load,
    prepared,
    seconds,
)
from serenanet_modules.data.manifest import Candidate
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.native import without_noise

BATCH = 16  # clips a thread takes at once
SLACK = 0.5  # seconds that a segment's end may lie behind the recording's


@dataclass(frozen=True)
class Clip:
    """A candidate with its text normalised and, later, its audio looked at."""

    candidate: Candidate
    text: str
    flac: Path | None = None  # where its samples are, or will be
    duration: float = 0.0  # seconds
    amplitude: float = 0.0  # as of `data.audio`; None where only the header was read
    reason: str = ""  # why it is rejected, "" if it is not
    detail: str = ""

    def rejected(self, reason, detail=""):
        return replace(self, reason=reason, detail=detail)


def hear(clips, jobs, progress, store=None):
    """Decode the clips that are not rejected yet.

    A clip that is 16-bit mono FLAC at 16 kHz already is used where it is, or packed as it is; another is written,
    unless it lies at its ``flac`` since before. All segments of a recording are cut out of one decoding.

    Parameters
    ----------
    clips : list of Clip
    jobs : int
        Threads.
    progress : bool
    store : Loose or Packed, optional
        Where clips are written; without it they are only listened to.

    Returns
    -------
    list of Clip
        In the same order, with duration and amplitude, or with the reason of a rejection.
    """
    with without_noise():
        return _in_threads(partial(_hear, store=store), clips, jobs, progress)


def glance(clips, jobs, progress):
    """Read the headers of the clips that are not rejected yet; finds what is missing, not what is damaged."""
    return _in_threads(_glance, clips, jobs, progress)


def _in_threads(work, clips, jobs, progress):
    """Apply ``work`` to the clips of each file; return all, in order."""
    order = sorted(range(len(clips)), key=lambda i: str(clips[i].candidate.path))
    files = [list(same) for _, same in groupby(order, key=lambda i: clips[i].candidate.path)]
    done = list(clips)
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="prepare")
    try:
        with Bar(total=sum(not clip.reason for clip in clips), desc="audio", unit="clip", disable=not progress) as bar:
            for heard in pool.map(lambda batch: [_each(work, clips, file) for file in batch], _batches(files)):
                for i, clip in sum(heard, []):
                    done[i] = clip
                bar.update(sum(map(len, heard)))
    finally:  # after Ctrl-C, the clips being written are finished and no other is begun
        pool.shutdown(wait=True, cancel_futures=True)
    return done


def _batches(files):
    """Files in lists of about BATCH clips."""
    batches, size = [[]], 0
    for file in files:
        if size >= BATCH:
            batches.append([])
            size = 0
        batches[-1].append(file)
        size += len(file)
    return batches


def _each(work, clips, file):
    """(position, clip) pairs of one file after ``work``, without those that are rejected already."""
    fresh = [i for i in file if not clips[i].reason]
    return list(zip(fresh, work([clips[i] for i in fresh]) if fresh else [], strict=True))


def _hear(clips, store):
    """The clips of one file, decoded."""
    segments = iter(_segments([clip for clip in clips if clip.candidate.is_segment], store))
    return [next(segments) if clip.candidate.is_segment else _whole(clip, store) for clip in clips]


def _whole(clip, store):
    path = clip.candidate.path
    try:
        if store and store.in_place and is_prepared(path) and str(path).isprintable():  # else no manifest could name it
            return _measured(replace(clip, flac=path), load(path))
        samples = _written(clip, store)
        if samples is not None:
            return _measured(clip, samples)
        samples = load(path)
    except AudioError as error:
        return clip.rejected(error.reason, error.detail)
    return _measured(store.save(clip, samples) if store else clip, samples)


def _segments(clips, store):
    """Segments of one recording, those that were not cut before in one pass."""
    earlier = [_written(clip, store) for clip in clips]
    done = [None if samples is None else _measured(clip, samples) for clip, samples in zip(clips, earlier, strict=True)]
    missing = [i for i, clip in enumerate(done) if clip is None]
    parts = [clips[i].candidate.part for i in missing]
    try:
        for k, samples in cut_parts(clips[0].candidate.path, parts) if parts else ():
            done[missing[k]] = _segment(clips[missing[k]], samples, store)
    except AudioError as error:
        return [found or clip.rejected(error.reason, error.detail) for clip, found in zip(clips, done, strict=True)]
    return done


def _segment(clip, samples, store):
    c, found = clip.candidate, len(samples) / SAMPLE_RATE
    if not len(samples) or (c.end is not None and found < c.end - c.start - SLACK):
        return clip.rejected("outside the recording", f"which ends at {c.start + found:.2f} s" if found else "")
    return _measured(store.save(clip, samples) if store else clip, samples)


def _measured(clip, samples):
    return replace(clip, duration=len(samples) / SAMPLE_RATE, amplitude=amplitude(samples))


def _written(clip, store):
    """Return the samples that an earlier preparation left where the store has them, None if it did not."""
    if store is None or not store.has(clip):
        return None
    try:
        samples = prepared(clip.flac)
    except (soundfile.LibsndfileError, OSError):
        return None
    return samples if len(samples) else None


def _glance(clips):
    try:
        length = seconds(clips[0].candidate.path)
    except AudioError as error:
        return [clip.rejected(error.reason, error.detail) for clip in clips]
    return [_glanced(clip, length) for clip in clips]


def _glanced(clip, length):
    c = clip.candidate
    if length is None:
        known = c.end is not None
        return replace(clip, duration=c.end - c.start, amplitude=None) if known else clip.rejected("needs decoding")
    end = length if c.end is None else min(c.end, length)
    if c.start >= length or (c.end or 0) > length + SLACK:
        return clip.rejected("outside the recording", f"which ends at {length:.2f} s")
    return replace(clip, duration=end - c.start, amplitude=None)
