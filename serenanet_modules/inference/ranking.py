"""Which recordings, or pieces of them, people should transcribe next, so that the next training learns most from them.

Each is judged by what the recogniser makes of it: how much of its text is probably wrong (`doubt`), how many of its
trigrams of characters no transcript has had (`novelty`), and how unlike it sounds to what was chosen before it
(`distance`). The last two change with every choice, so one is chosen after the other (greedily, as in Wei, Iyer and
Bilmes, "Submodularity in data subset selection and active learning", ICML 2015; distance alone is the k-centre choice
of Sener and Savarese, "Active learning for convolutional neural networks: a core-set approach", ICLR 2018).
"""

import csv
from collections import defaultdict
from dataclasses import dataclass
from functools import partial

import numpy as np

from serenanet_modules.runs.words import read_words

GRAM = 3  # characters
COLUMNS = ("rank", "path", "start", "end", "seconds", "score", "doubt", "novelty", "distance", "confidence", "text")


@dataclass(frozen=True)
class Weights:
    """What counts how much."""

    doubt: float = 0.0
    novelty: float = 0.0
    distance: float = 1.0


@dataclass(frozen=True)
class Item:
    """What may be chosen.

    Attributes
    ----------
    path : Path
    start, end : float
        Seconds into the recording.
    seconds : float
        Of speech in it, about: pieces that are silent do not count.
    text : str
        As the recogniser hears it.
    confidence : float
        The mean of its words; 0 where none was heard.
    sound : ndarray
        Mean of the acoustic model's frames (d_model,).
    """

    path: object
    start: float
    end: float
    seconds: float
    text: str
    confidence: float
    sound: np.ndarray

    @property
    def grams(self):
        """The trigrams of its words, whose borders count as characters."""
        return grams(self.text.split())


@dataclass(frozen=True)
class Choice:
    """An item in its place, and why it stands there: parts of the score between 0 and 1."""

    item: Item
    score: float
    doubt: float
    novelty: float
    distance: float


def grams(words):
    """The trigrams of characters of words.

    Examples
    --------
    >>> sorted(grams(["saa"]))
    [' sa', 'aa ', 'saa']
    """
    return {f" {word} "[i : i + GRAM] for word in words for i in range(len(word) + 2 - GRAM + 1)}


def items(recognizer, paths, batch_seconds=120.0):
    """Yield for each recording a list of the `Item` of each of its pieces in which something sounds, or its error.

    Parameters
    ----------
    recognizer : Recognizer
    paths : list of Path
    batch_seconds : float

    Yields
    ------
    list of Item or UserError

    Raises
    ------
    UserError
        For a model that does not say how sure it is.
    """
    recognizer.check_sure()
    most, waiting = recognizer.settings["piece_seconds"], iter(paths)
    for one, same in recognizer.by_language(paths):
        hear = partial(_heard, one, one.decoder())
        for end, pieces in one.network.read(same, hear, most, batch_seconds):
            path = next(waiting)
            yield end.error or [Item(path, *piece) for piece in pieces if piece is not None]


def _heard(recognizer, decoder, pieces):
    """Start, end, seconds, text, confidence and sound of each piece."""
    output, log_probs, edges = recognizer.posteriors(pieces)
    segments = recognizer.segments(decoder, output, log_probs, edges)
    for i, (piece, segment) in enumerate(zip(pieces, segments, strict=True)):
        sound = output.hidden[i, : output.lengths[i]].float().mean(0).cpu().numpy()
        said = ("", 0.0) if segment is None else (segment.text, segment.confidence)
        yield piece.start, piece.start + piece.seconds, piece.seconds, *said, sound


def whole(pieces):
    """The pieces of a recording as one item."""
    seconds = np.array([piece.seconds for piece in pieces])
    share = seconds / seconds.sum()
    return Item(
        pieces[0].path,
        pieces[0].start,
        pieces[-1].end,
        float(seconds.sum()),
        " ".join(piece.text for piece in pieces if piece.text),
        float(share @ [piece.confidence for piece in pieces]),
        share @ np.stack([piece.sound for piece in pieces]),
    )


def known_grams(folder):
    """The trigrams that the transcripts of a model's training had; none where its folder does not say their words."""
    return grams(read_words(folder) or ())


def rank(found, known, weights=None, seconds=None):
    """Items in the order in which they should be transcribed.

    Parameters
    ----------
    found : list of Item
    known : set of str
        Trigrams that are not new.
    weights : Weights, optional
    seconds : float, optional
        So much is wanted; all by default.

    Returns
    -------
    list of Choice
    """
    if not found:
        return []
    weights, left = weights or Weights(), np.ones(len(found), bool)
    doubt, sounds = _by_rank([-item.confidence for item in found]), _directions(found)
    novelty = _Novelty([item.grams for item in found], known)
    distance, chosen, spoken = np.ones(len(found)), [], 0.0
    while left.any() and (seconds is None or spoken < seconds):
        score = weights.doubt * doubt + weights.novelty * novelty.shares + weights.distance * distance
        best = int(np.argmax(np.where(left, score, -np.inf)))
        parts = (score, doubt, novelty.shares, distance)
        chosen.append(Choice(found[best], *(float(part[best]) for part in parts)))
        left[best], spoken = False, spoken + found[best].seconds
        novelty.cover(best)
        distance = np.minimum(distance, (1 - sounds @ sounds[best]) / 2)
    return chosen


def write(choices, file):
    """Write choices as a table between tabs, `COLUMNS`; times in seconds."""
    table = csv.writer(file, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for number, choice in enumerate(choices, start=1):
        item = choice.item
        times = (f"{time:.2f}" for time in (item.start, item.end, item.seconds))
        parts = (
            f"{part:.3f}" for part in (choice.score, choice.doubt, choice.novelty, choice.distance, item.confidence)
        )
        table.writerow([number, item.path, *times, *parts, item.text])


class _Novelty:
    """Of each item the share of its trigrams that are neither known nor in what was chosen."""

    def __init__(self, of_items, known):
        self._of_items, self._covered, self._where = of_items, set(known), defaultdict(list)
        for i, found in enumerate(of_items):
            for gram in found - self._covered:
                self._where[gram].append(i)
        self._new = np.array([len(found - self._covered) for found in of_items], float)
        self._sizes = np.array([max(1, len(found)) for found in of_items], float)

    @property
    def shares(self):
        return self._new / self._sizes

    def cover(self, item):
        for gram in self._of_items[item] - self._covered:
            self._new[self._where[gram]] -= 1
            self._covered.add(gram)


def _by_rank(values):
    """Values as their places among all, from 0 to 1; equal ones have equal places."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts + 1) / 2
    return (middle / max(1, len(values) - 1))[places]


def _directions(found):
    """Unit vectors from the mean of all sounds to each (N, d_model)."""
    sounds = np.stack([item.sound for item in found]).astype(float)
    sounds -= sounds.mean(0)
    return sounds / np.maximum(np.linalg.norm(sounds, axis=1, keepdims=True), 1e-9)
