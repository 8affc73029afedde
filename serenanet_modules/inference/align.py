"""A known text aligned with its audio: when is each word and each unit said?"""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch

from serenanet_modules.decoding.anchors import cuts, greedy
from serenanet_modules.decoding.holes import holes_of
from serenanet_modules.decoding.spans import align, words_of
from serenanet_modules.errors import UserError
from serenanet_modules.inference.spelling import spelled
from serenanet_modules.inference.timestamps import placed
from serenanet_modules.inference.transcript import Transcript, Unplaced

MOST_CELLS = 10**9  # frames times twice the labels, a byte each: about 20 minutes of characters at 40 ms
AT_ONCE = 2 * 10**7  # of these that have one path over all of them: about 3 minutes
BETWEEN = 4000**2  # labels of the text times labels that were heard, at most between cuts of what is longer


def align_text(recognizer, source, text, batch_seconds=120.0, locale=None, unknown="error"):
    """The best CTC path through a text, between whose words anything else may be said, and any of which may not be.

    Confidences are those that the words would have if greedy decoding had heard them.

    The network reads the audio in pieces cut at pauses, as it does to transcribe. The path is one over all of it, up to
    some minutes; what is longer is cut at words where the text and greedy decoding have the same, rare runs of labels,
    and each part has its path, so that time and memory grow with the length alone. Words that are not said have no
    place: they are in no segment, and the transcript lists them as ``unplaced``.

    Parameters
    ----------
    recognizer : Recognizer
    source : str, Path, array or (array, int)
        As of `Recognizer.transcribe`.
    text : str
        As it is written.
    batch_seconds : float
        Most seconds of padded audio that the network reads at a time.
    locale : str, optional
        Whose rules normalise the text, and whose units it is written in; the run's by default.
    unknown : {"error", "skip", "nearest"}
        What to do with letters that the model has no unit for, as of `spelled`.

    Returns
    -------
    Transcript
        Of one segment.

    Raises
    ------
    UserError
        For audio that cannot be read, and a text that is empty, has what is no unit of the model, of which nothing is
        said, or that is too long for memory.
    """
    if not recognizer.modules["model"].scorings:
        raise UserError(f"{recognizer.folder}: has no CTC head, which aligns texts; take another model")
    locale, style = locale or recognizer.settings["locale"], recognizer.run.style
    hypothesis = spelled(recognizer.units, locale, text, unknown, style)
    log_probs, edges = _posteriors(recognizer, source, batch_seconds)
    spans = [
        span
        for part in _parts(recognizer.units, hypothesis.labels, log_probs)
        for span in _aligned(part, log_probs, recognizer.units)
    ]
    words = words_of(hypothesis, recognizer.units)
    said = [word for word in words if spans[word.group[0]]]
    if not said:
        raise UserError("no word of the text was found in the audio; check that they belong together")
    labels = [label for label, span in zip(hypothesis.labels, spans, strict=True) if span]
    known = replace(hypothesis, labels=labels, words=[w.text for w in said], text=" ".join(w.text for w in said))
    calibration = recognizer.run.calibration(recognizer.run.decoders.greedy())
    segment = placed(known, recognizer.units, [span for span in spans if span], edges, calibration)
    unplaced = tuple(Unplaced(word.text, i) for i, word in enumerate(words) if not spans[word.group[0]])
    return Transcript(segment.text, edges[-1], (segment,), calibration is not None, unplaced)


class _Part(NamedTuple):
    """Labels of whole words, and the frames in which they are said, ``end`` not included."""

    labels: list[int]
    start: int
    end: int


def _parts(units, labels, log_probs):
    """The text as one part, or if that is long cut where it and what was heard agree beyond doubt."""
    frames = len(log_probs)
    if frames * (2 * len(labels) + 1) <= AT_ONCE:
        return [_Part(labels, 0, frames)]
    bounds = [(0, 0), *_cuts(units, labels, log_probs), (len(labels), frames)]
    return [_Part(labels[first:last], start, end) for (first, start), (last, end) in pairwise(bounds)]


def _cuts(units, labels, log_probs):
    """(label, frame) pairs at which a text and its audio can be cut, before words.

    Text and what was heard are compared without boundaries between words, which are not heard where a piece of the
    audio begins.
    """
    boundary = units.pieces.index(units.boundary) if units.boundary in units.pieces else None
    places = [i for i, label in enumerate(labels) if label != boundary]
    begins = [units.pieces[labels[i]].startswith(units.boundary) or labels[i - 1] == boundary for i in places]
    heard = [
        (label, end) for label, (_, end) in zip(*greedy(log_probs, units.blank_id), strict=True) if label != boundary
    ]
    found = cuts([labels[i] for i in places], [label for label, _ in heard], begins, BETWEEN)
    return [(places[i] - (labels[places[i] - 1] == boundary), heard[j - 1][1]) for i, j in found]


def _aligned(part, log_probs, units):
    """The spans of a part's labels among all frames."""
    frames = part.end - part.start
    if frames * (2 * len(part.labels) + 1) > MOST_CELLS:
        raise UserError(
            f"{frames} frames and {len(part.labels)} units are too many to align at once; cut the audio and the text "
            "into parts of some 10 minutes"
        )
    spans = align(log_probs[part.start : part.end], part.labels, units.blank_id, holes_of(units, part.labels))
    return [span and span._replace(start=part.start + span.start, end=part.start + span.end) for span in spans]


def _posteriors(recognizer, source, batch_seconds):
    """Log-probabilities (T, V) of all of a source, and the T + 1 seconds at which its frames begin and end."""

    def hear(pieces):
        _, log_probs, edges = recognizer.posteriors(pieces)
        return list(zip(log_probs, edges, strict=True))

    most, silence = recognizer.settings["piece_seconds"], partial(_silence, recognizer.units)
    ((end, parts),) = recognizer.network.read([source], hear, most, batch_seconds, silence=silence)
    if end.error:
        raise end.error
    edges = [second for _, seconds in parts for second in seconds[:-1]]
    return torch.cat([log_probs for log_probs, _ in parts]), [*edges, parts[-1][1][-1]]


def _silence(units, piece):
    """A silent piece as one frame that is blank for sure."""
    log_probs = torch.full((1, units.size), -torch.inf)
    log_probs[0, units.blank_id] = 0.0
    return log_probs, [piece.start, piece.start + piece.seconds]
