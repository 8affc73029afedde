"""Which resolution a front end's gate chooses in which kind of sound: mean weights over dev by phone class.

Phones are found by a `SpacedAligner`, Gaussians of each phone over the cepstra of the same utterances, and not by the
model's own CTC path: that says at which of its frames of 40 ms a label is written, but not where in its 10 ms frames a
phone begins and ends, and blank may be anything. So the labels depend on the sound and the transcript alone, and models
of any units are measured by the same ones. Some are wrong, most of them beside a border between phones: true
differences between classes are larger than those that are seen. Phones are those of `data.alignment.spelling`: of the
manifest, of the locale's g2p, else letters.

Intervals are of a bootstrap over utterances: 95 % of what other utterances would give with these labels. An utterance
brings the frames of all seeds with it.
"""

import json
import warnings
from dataclasses import dataclass
from zipfile import BadZipFile

import numpy as np
import torch

from serenanet_modules.analysis.bootstrap import REPLICATES
from serenanet_modules.data.alignment import CEPSTRA, SILENCE, spelling, with_differences
from serenanet_modules.data.manifest import Utterance
from serenanet_modules.data.phone_classes import CLASSES, phone_class
from serenanet_modules.data.spaced_alignment import SpacedAligner
from serenanet_modules.errors import UserError

FILE = "gates.npz"
SPEECH = CLASSES.index("silence")  # classes before it are speech
CHUNK = 500  # replicates in memory at once
ROUNDS = 5  # of the alignment; more change nothing


class NoPhones(UserError):
    """Transcripts of which no phones can be had, or not found in the audio."""


@dataclass(frozen=True, eq=False)
class Gates:
    """Mean gate weights of a system by phone class.

    Attributes
    ----------
    milliseconds : list of float
        Of the resolutions' frames.
    utterances : int
    frames : ndarray
        (classes,) in each of `CLASSES`, of one seed's features.
    means : ndarray
        (classes, resolutions), NaN for a class without frames.
    low, high : ndarray
        Ends of their intervals.
    contrast : tuple of float
        Weight of the coarsest resolution in vowels less its weight in all other speech, with its interval's ends.
    """

    milliseconds: list[float]
    utterances: int
    frames: np.ndarray
    means: np.ndarray
    low: np.ndarray
    high: np.ndarray
    contrast: tuple[float, float, float]

    def sentence(self):
        """The contrast in words."""
        value, low, high = (f"{number:+.3f}".replace("-", "−") for number in self.contrast)
        return (
            f"The weight of {self.milliseconds[-1]:g} ms in vowels, less that in other speech, is {value} ({low} to "
            f"{high}): {self._verdict()}."
        )

    def _verdict(self):
        _, low, high = self.contrast
        if low > 0:
            return "the gate uses it more for vowels"
        return "the gate uses it less for vowels" if high < 0 else "no difference is seen"


def measure(results):
    """The `Gates` of a system's runs.

    Parameters
    ----------
    results : list of Result
        One for each seed.

    Returns
    -------
    Gates or None
        None where a run has kept no gates, or their resolutions differ.

    Raises
    ------
    NoPhones
        For transcripts that cannot be aligned.
    UserError
        For a file that cannot be read.
    """
    kept = [_read(result) for result in results]
    if None in kept or len({tuple(about["milliseconds"]) for about, _, _ in kept}) > 1:
        return None
    try:
        tables = [_tables(result, *found) for result, found in zip(results, kept, strict=True)]
    except UserError as error:
        raise NoPhones(str(error)) from error
    shared = sorted(set.intersection(*(set(table) for table in tables)))
    if not shared:
        raise NoPhones(f"the gates of {results[0].folder} and of its other seeds are of other utterances")
    sums = np.stack([sum(table[name] for table in tables) for name in shared])  # (U, classes, resolutions + 1)
    return _gates(kept[0][0]["milliseconds"], sums, len(results))


def _gates(milliseconds, sums, seeds):
    drawn, observed = _resampled(sums), sums.sum(0)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "All-NaN", RuntimeWarning)  # of classes without frames
        low, high = np.nanquantile(_means(drawn), [0.025, 0.975], axis=0)
        ends = np.nanquantile(_contrast(drawn), [0.025, 0.975])
    contrast = (float(_contrast(observed)), *map(float, ends))
    frames = (observed[:, -1] / seeds).round().astype(int)
    return Gates(milliseconds, len(sums), frames, _means(observed), low, high, contrast)


def _means(sums):
    """(…, classes, resolutions + 1) of summed weights and frames -> (…, classes, resolutions)."""
    return sums[..., :-1] / np.where(sums[..., -1:] > 0, sums[..., -1:], np.nan)


def _contrast(sums):
    vowels, others = sums[..., 0, :], sums[..., 1:SPEECH, :].sum(-2)
    return _means(vowels)[..., -1] - _means(others)[..., -1]


def _resampled(sums):
    """Sums over utterances drawn anew, with replacement: (replicates, classes, resolutions + 1)."""
    generator, count = np.random.default_rng(0), len(sums)
    flat, found = sums.reshape(count, -1), []
    for start in range(0, REPLICATES, CHUNK):
        times = generator.multinomial(count, np.full(count, 1 / count), size=min(CHUNK, REPLICATES - start))
        found.append(times.astype(float) @ flat)
    return np.concatenate(found).reshape(-1, *sums.shape[1:])


def _tables(result, about, gate, cepstra):
    """Utterance id -> (classes, resolutions + 1): weights summed over the frames of each class, and the frames."""
    spell, heard, start = spelling((SILENCE,)), {}, 0
    for told in about["utterances"]:
        part = slice(start, start + told["frames"])
        start = part.stop
        row = result.texts(told["set"]).get(told["id"])
        if row is not None:
            y = with_differences(torch.from_numpy(cepstra[part]).float())
            heard[told["id"]] = y, spell(_utterance(told, row)), gate[part]
    aligner = SpacedAligner.fit([(y, phones) for y, phones, _ in heard.values()], ROUNDS)
    kinds = [phone_class(phone) for phone in aligner.phones]
    places = np.array([CLASSES.index(kind) if kind else len(CLASSES) for kind in kinds])
    tables = {}
    for name, (y, phones, weights) in heard.items():
        path = aligner.align(y, phones)
        if path is not None:
            tables[name] = _by_class(places[path.numpy()], weights / 255)
    return tables


def _utterance(told, row):
    fields = {"path": told["id"], "duration": 1.0, "speaker": "", "split": told["set"], "locale": told["locale"]}
    return Utterance(id=told["id"], text=row["reference"], phonemes=row.get("phonemes", ""), **fields)


def _by_class(places, weights):
    """places (T,), weights (T, resolutions) -> (classes, resolutions + 1)."""
    table = np.zeros((len(CLASSES) + 1, weights.shape[1] + 1))
    np.add.at(table, places, np.column_stack([weights, np.ones(len(weights))]))
    return table[:-1]


def _read(result):
    """(about, gate, cepstra) of a run's gates.npz; None without it."""
    file = result.folder / FILE
    if not file.is_file():
        return None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            content = dict(arrays)
        about, gate, cepstra = json.loads(str(content["about"])), content["gate"], content["cepstra"]
        _check(about, gate, cepstra, result.splits)
        return about, gate, cepstra
    except (OSError, ValueError, KeyError, TypeError, IndexError, EOFError, BadZipFile) as error:
        raise UserError(f"{file}: cannot be read ({error}); delete it to report on the run without it") from error


def _check(about, gate, cepstra, splits):
    """Raise one of the errors of malformed content unless the parts fit together."""
    utterances, frames = about["utterances"], [told["frames"] for told in about["utterances"]]
    if not all(type(count) is int and count > 0 for count in frames) or not sum(frames) == len(gate) == len(cepstra):
        raise ValueError("its parts are not of one length")
    if gate.dtype != np.uint8 or gate.shape[1] != len(about["milliseconds"]) or cepstra.shape[1] != CEPSTRA:
        raise ValueError("its parts are not of the right size")
    if any(type(told[key]) is not str for told in utterances for key in ("id", "locale")):
        raise ValueError("an utterance has no name")
    if any(told["set"] not in splits for told in utterances):
        raise ValueError("it is of another set than those that were evaluated")


def table(found):
    """Rows of cells under a heading."""
    rows = [("sound", "frames", *(f"{ms:g} ms" for ms in found.milliseconds))]
    for i, name in enumerate(CLASSES):
        if found.frames[i]:
            cells = zip(found.means[i], found.low[i], found.high[i], strict=True)
            rows.append((name, f"{found.frames[i]:,}", *("{:.3f} ({:.3f} to {:.3f})".format(*cell) for cell in cells)))
    return rows


def csv_rows(name, found):
    """(system, class, frames, utterances, milliseconds, mean, low, high)."""
    for i, kind in enumerate(CLASSES):
        for j, ms in enumerate(found.milliseconds if found.frames[i] else ()):
            numbers = (round(float(part[i, j]), 5) for part in (found.means, found.low, found.high))
            yield name, kind, int(found.frames[i]), found.utterances, ms, *numbers
