"""A known text aligned with its audio: when is each word and each unit said?"""

from functools import partial

import torch

from serenanet_modules.data.phonemes import WORD_BOUNDARY, g2p
from serenanet_modules.data.text import normaliser
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.decoding.spans import frames_needed
from serenanet_modules.errors import UserError
from serenanet_modules.inference.timestamps import timed
from serenanet_modules.inference.transcript import Transcript

MOST_CELLS = 10**9  # frames times twice the labels, a byte each: about 20 minutes of characters at 40 ms
UNKNOWN = "<unk>"  # SentencePiece's unit for what has none


def align_text(recognizer, source, text, batch_seconds=120.0, locale=None):
    """The best CTC path through a text.

    Confidences are those that the words would have if greedy decoding had heard them.

    The network reads the audio in pieces cut at pauses, as it does to transcribe; the path is one over all of it. So
    memory grows with frames times labels, and `MOST_CELLS` bounds it.

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

    Returns
    -------
    Transcript
        Of one segment.

    Raises
    ------
    UserError
        For audio that cannot be read, and a text that is empty, has what is no unit of the model, or is too long for
        the audio or for memory.
    """
    hypothesis = spelled(recognizer.units, locale or recognizer.settings["locale"], text)
    log_probs, edges = _posteriors(recognizer, source, batch_seconds)
    need, frames = frames_needed(hypothesis.labels), len(log_probs)
    if need > frames:
        raise UserError(
            f"the text has {len(hypothesis.labels)} units, which need {need} frames, but the audio has {frames}; is it "
            "what is said there?"
        )
    if frames * (2 * len(hypothesis.labels) + 1) > MOST_CELLS:
        raise UserError(
            f"{frames} frames and {len(hypothesis.labels)} units are too many to align at once; cut the audio and the "
            "text into parts of some 10 minutes"
        )
    calibration = recognizer.run.calibration(recognizer.run.decoders.greedy())
    segment = timed(hypothesis, recognizer.units, log_probs, edges, calibration)
    return Transcript(segment.text, edges[-1], (segment,), calibration is not None)


def spelled(units, locale, text):
    """A text in the model's units, as a `Hypothesis`.

    Raises
    ------
    UserError
        Where it is empty or cannot be written in them.
    """
    words = normaliser(locale)(text).split()
    if units.kind == "phoneme":
        say = g2p(locale)
        said = {word: " ".join(say(word)) for word in words}
        words = [word for word in words if said[word]]
        labels = units.encode(f" {WORD_BOUNDARY} ".join(said[word] for word in words))
    else:
        labels = units.encode(" ".join(words), locale)
        if unknown := [c for c in sorted(set("".join(words))) if UNKNOWN in _pieces(units, c, locale)]:
            raise UserError(f"the text has characters that the model has no unit for: {' '.join(unknown)}")
    if not labels:
        raise UserError(f"the text is empty: nothing of {text[:80]!r} can be said")
    return Hypothesis(labels, " ".join(words), words)


def _pieces(units, text, locale):
    return [units.pieces[label] for label in units.encode(text, locale)]


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
