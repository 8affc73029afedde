"""Who says what, where nobody marked it: voices compared by a speaker encoder.

A vector of each 1.6 s of sound, every 0.4 s; vectors in groups by how alike they are (Ng, Jordan and Weiss 2001, "On
spectral clustering"); then the likeliest sequence of speakers, who change rarely. Words belong to who speaks for most
of their time.
"""

from dataclasses import replace
from itertools import groupby

import numpy as np
import torch

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.silence import Silence
from serenanet_modules.data.sources import read
from serenanet_modules.errors import UserError
from serenanet_modules.inference.subtitles import parts_of
from serenanet_modules.lobes.speaker_encoder import SAMPLES
from serenanet_modules.runs.speaker_weights import speaker_encoder

AUTO = "auto"
HOP = SAMPLE_RATE * 2 // 5  # samples between windows
WINDOWS = 64  # read at once
GROUPED = 1500  # vectors that groups are made of; further ones join the group that is nearest
NEAREST, FEWEST = 0.05, 5  # share of the others, and how many at least, to which a vector is linked
COUNTED, FEWEST_COUNTED = 0.1, 10  # the same to count speakers: windows overlap, and fewer links join neighbours alone
APART = 0.09  # eigenvalue of the Laplacian below which there is one more speaker
MOST = 20  # speakers that are found where nobody says how many there are
CHANGE = 0.2  # what a change of speaker costs, in cosine similarity


def naming(count, whole=False):
    """A function from a transcript and what it is of, the `parts` of a file, to the transcript with its speakers.

    Parameters
    ----------
    count : int, "auto" or None
        As of `named`; with None transcripts stay as they are, and no encoder is looked for.
    whole : bool
        As of `named`.
    """
    if count is None:
        return lambda transcript, parts: transcript
    encoder = speaker_encoder()
    return lambda transcript, parts: named(transcript, *parts.values(), count, encoder, whole)


def named(transcript, source, count, encoder, whole=False):
    """A transcript whose segments name their speakers, cut where these change.

    Parameters
    ----------
    transcript : Transcript
        Of one speaker without a name.
    source
        What it is of, as of `data.sources.read`.
    count : int or "auto"
        How many speak.
    encoder : SpeakerEncoder
    whole : bool
        Whether segments stay as they are, and belong to who says most of them.

    Returns
    -------
    Transcript
        Speakers are ``speaker 1``, ``speaker 2``, … in the order in which they are first heard; the text has a line for
        each turn.
    """
    if not transcript.segments:
        return transcript
    voices = Voices(source, count, encoder)
    segments = [part for segment in transcript.segments for part in _cut(segment, voices, whole)]
    order = list(dict.fromkeys(segment.speaker for segment in segments))
    segments = [replace(s, speaker=f"speaker {1 + order.index(s.speaker)}") for s in segments]
    said = [segment for segment in segments if segment.text]
    turns = [(speaker, [*inside]) for speaker, inside in groupby(said, lambda segment: segment.speaker)]
    text = "\n".join(f"{speaker}: {' '.join(s.text for s in inside)}" for speaker, inside in turns)
    return replace(transcript, text=text, segments=tuple(segments))


def _cut(segment, voices, whole):
    """A segment's parts, each of one speaker, who is a number in the place of a name."""
    parts, space = parts_of(segment)
    if whole or not parts:
        return [replace(segment, speaker=voices.of(segment.start, segment.end))]
    runs = [(who, [*run]) for who, run in groupby(parts, lambda part: voices.of(part.start, part.end))]
    if len(runs) == 1:
        return [replace(segment, speaker=runs[0][0])]
    return [_part(segment, run, space, who) for who, run in runs]


def _part(segment, run, space, who):
    start, end = run[0].start, run[-1].end
    words, tokens = ([x for x in found if start <= x.start < end] for found in (segment.words, segment.tokens))
    confidence = sum(part.confidence for part in run) / len(run)
    text = space.join(part.text.strip() for part in run)
    return replace(
        segment,
        text=text, start=start, end=end, confidence=confidence, words=tuple(words), tokens=tuple(tokens), speaker=who,
        alternatives=(), insertions=(),
    )  # fmt: skip


class Voices:
    """Who speaks when in a recording, by numbers from 0.

    Parameters
    ----------
    source, count, encoder
        As of `named`.
    """

    def __init__(self, source, count, encoder):
        self.starts, vectors = embedded(source, encoder)
        groups = grouped(vectors, count)
        self.labels = sequence(vectors, groups)

    def of(self, start, end):
        """Who speaks for most of a time, in seconds."""
        middles = self.starts + SAMPLES / SAMPLE_RATE / 2
        inside = np.flatnonzero((middles >= start) & (middles <= end))
        if not len(inside):
            inside = [int(np.abs(middles - (start + end) / 2).argmin())]
        return int(np.bincount(self.labels[inside]).argmax())


def embedded(source, encoder):
    """Vectors of a recording's windows in which something is heard.

    Returns
    -------
    starts : numpy.ndarray
        (W,) seconds.
    vectors : numpy.ndarray
        (W, 256), each of length 1; of a recording without sound there is one.
    """
    starts, found, waiting = [], [], []
    for start, samples in _windows(source):
        if start and Silence().add(samples).holds:
            continue
        starts.append(start)
        waiting.append(samples)
        if len(waiting) == WINDOWS:
            found.append(_vectors(encoder, waiting))
            waiting = []
    if waiting:
        found.append(_vectors(encoder, waiting))
    return np.array(starts), np.concatenate(found)


def _vectors(encoder, windows):
    with torch.inference_mode():
        return encoder(torch.from_numpy(np.stack(windows))).numpy()


def _windows(source):
    """(seconds, samples) of windows, the last of a recording filled up with what came before."""
    held, at = np.empty(0, np.float32), 0
    for block in read(source):
        held = np.concatenate([held, block])
        while len(held) >= SAMPLES + HOP:
            yield at / SAMPLE_RATE, held[:SAMPLES]
            held, at = held[HOP:], at + HOP
    if len(held) > SAMPLES:
        yield at / SAMPLE_RATE, held[:SAMPLES]
        held, at = held[-SAMPLES:], at + len(held) - SAMPLES
    yield at / SAMPLE_RATE, np.resize(held, SAMPLES)


def grouped(vectors, count):
    """The middle of each speaker's vectors.

    Parameters
    ----------
    vectors : numpy.ndarray
        (W, D), each of length 1.
    count : int or "auto"

    Returns
    -------
    numpy.ndarray
        (speakers, D), each of length 1.
    """
    from sklearn.cluster import KMeans

    some = vectors[np.linspace(0, len(vectors) - 1, min(len(vectors), GROUPED)).round().astype(int)]
    if count != AUTO and count > len(some):
        raise UserError(
            f"--speakers {count}: the recording is too short for so many ({len(some)} windows); give fewer, or auto"
        )
    if count == AUTO:
        values = np.linalg.eigvalsh(_laplacian(some, COUNTED, FEWEST_COUNTED))
        count = max(1, int((values[:MOST] < APART).sum()))
    _, coordinates = np.linalg.eigh(_laplacian(some, NEAREST, FEWEST))
    rows = coordinates[:, :count]
    rows = rows / np.linalg.norm(rows, axis=1, keepdims=True).clip(1e-9)
    return _middles(some, KMeans(count, n_init=10, random_state=0).fit_predict(rows))


def _laplacian(vectors, share, fewest):
    """The normalised Laplacian (W, W) of a graph in which each vector is linked to the most alike of the others."""
    alike = vectors @ vectors.T
    linked = min(len(vectors), max(fewest, round(share * len(vectors))))
    bounds = np.sort(alike, axis=1)[:, -linked, None]
    links = np.where(alike >= bounds, alike.clip(0), 0)
    links = (links + links.T) / 2
    degrees = links.sum(1)  # each is linked to itself, so none is 0
    return np.eye(len(vectors)) - links / np.sqrt(np.outer(degrees, degrees))


def _middles(vectors, labels):
    sums = np.stack([vectors[labels == i].sum(0) for i in np.unique(labels)])
    return sums / np.linalg.norm(sums, axis=1, keepdims=True)


def sequence(vectors, middles):
    """The likeliest speaker of each window, where a change costs `CHANGE`: Viterbi's algorithm.

    Parameters
    ----------
    vectors : numpy.ndarray
        (W, D).
    middles : numpy.ndarray
        (speakers, D).

    Returns
    -------
    numpy.ndarray
        (W,) numbers of speakers.
    """
    scores = vectors @ middles.T
    best, before = scores[0], np.zeros(scores.shape, int)
    for t in range(1, len(scores)):
        stay = np.arange(len(best))
        other = int(best.argmax())
        moved = best[other] - CHANGE > best
        before[t] = np.where(moved, other, stay)
        best = scores[t] + np.where(moved, best[other] - CHANGE, best)
    path = [int(best.argmax())]
    for t in range(len(scores) - 1, 0, -1):
        path.append(int(before[t, path[-1]]))
    return np.array(path[::-1])
