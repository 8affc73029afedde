"""Result folders as analysis sees them: figures, decoded texts, history and examples of one run."""

import csv
import json
import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from serenanet_modules.analysis.cost import seconds_of
from serenanet_modules.analysis.counts import counts_of, read_counts
from serenanet_modules.analysis.reliability import BINS
from serenanet_modules.analysis.scoring import LEVELS, score
from serenanet_modules.config.foreign import FILE, check_format
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.data.manifest import role
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import read_json

RESULT = "result.json"


@dataclass(frozen=True, eq=False)
class Result:
    """A finished run.

    Attributes
    ----------
    folder : Path
    content : dict
        Of result.json.
    """

    folder: Path
    content: dict

    @classmethod
    def read(cls, folder):
        """Open a result folder.

        Raises
        ------
        UserError
            Where it is not one of a finished run of a recogniser, or of another format.
        """
        folder = Path(folder)
        file, settings = folder / RESULT, folder / FILE
        if not file.is_file():
            raise UserError(f"{folder}: has no {RESULT}; give the folder of a finished run")
        if settings.is_file():  # a copy of what was measured may do without
            check_format(read_yaml(settings), settings)
        try:
            content = read_json(file)
            if "pretraining" in content:
                raise UserError(f"{folder}: is a pre-training, which has no error rates")
            content["scoring"], content["experiment"], content["seed"], in_order(content["results"])[0]
            content["dataset"], float(seconds_of(content)), content["parameters"]["total"]
            _check_rates(content["results"])
            _check_bins(content.get("confidence", {}))
            if not isinstance(content["scoring"], str):
                raise TypeError("scoring is no name")
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{file}: is not the result of a recogniser ({error!r})") from error
        return cls(folder, content)

    @property
    def name(self):
        """Experiment."""
        return str(self.content["experiment"])

    @property
    def seed(self):
        return self.content["seed"]

    @property
    def dataset(self):
        return self.content["dataset"]

    @property
    def scoring(self):
        """decoder, car or average: what dev chose checkpoints by and the beam search reads."""
        return self.content["scoring"]

    @property
    def splits(self):
        """Evaluated sets, those of dev first."""
        return in_order(self.content["results"])

    def decoders(self, split):
        """Names such as ``average/greedy``, in the order of evaluation."""
        return list(self.content["results"][split])

    def measures(self, split, decoder):
        """``WER``, ``CER`` or ``PER`` -> rate and counts; {} for a decoder that was not run."""
        return self.content["results"].get(split, {}).get(decoder, {})

    def reliability(self, split, decoder):
        """``raw`` and ``calibrated`` -> bins of `analysis.reliability`; {} where no confidences were measured."""
        measured = self.content.get("confidence", {}).get(decoder, {"sets": {}})["sets"].get(split, {})
        return {kind: found["bins"] for kind, found in measured.items() if any(found["bins"])}

    @property
    def real_time_factor(self):
        """Seconds of features, network and greedy decoding per second of dev and test audio; None if unknown."""
        seconds = self.content.get("seconds", {})
        network, audio = seconds.get("network"), seconds.get("evaluated_audio")
        return network / audio if network and audio else None

    def has_texts(self, split):
        """Whether it has what was said; copies (`analysis.counts`) have counts of errors alone."""
        return not counts_of(self.folder, split).is_file()

    def _copied(self, split):
        """What a copy keeps of a set, as of `read_counts`."""
        if split not in self._copies:
            file = counts_of(self.folder, split)
            try:
                self._copies[split] = read_counts(file)
            except (OSError, LookupError, TypeError, ValueError, AttributeError, csv.Error) as error:
                raise UserError(f"{file}: cannot be read ({error}); make the copy again") from error
        return self._copies[split]

    def texts(self, split):
        """Rows of decoded_<split>.csv by utterance id: what `runs.decoded` writes; older ones lack whose they are.

        Those of a copy say whose they are and nothing else.
        """
        if not self.has_texts(split):
            return self._copied(split)[0]
        if split not in self._texts:
            file = self.folder / f"decoded_{split}.csv"
            try:
                with open(file, encoding="utf-8", newline="") as opened:
                    self._texts[split] = _by_id(csv.DictReader(opened, strict=True))
            except (OSError, KeyError, ValueError, csv.Error) as error:
                raise UserError(f"{file}: cannot be read ({error}); evaluate the run again") from error
        return self._texts[split]

    def pair(self, split, decoder, column="reference"):
        """References and a decoder's hypotheses, each by utterance id; ``column`` may be ``phonemes``."""
        if not self.has_texts(split):
            raise UserError(f"{self.folder}: is a copy without texts, which this needs; give the folder of the run")
        rows = self.texts(split)
        for needed in (column, decoder):
            if any(needed not in row for row in rows.values()):
                raise UserError(f"{self.folder / f'decoded_{split}.csv'}: has no column {needed!r}")
        return [{name: row[key] for name, row in rows.items()} for key in (column, decoder)]

    def per_utterance(self, split, decoder, measure):
        """Utterance id -> ErrorCounts of a decoder's texts."""
        if not self.has_texts(split):
            counted = self._copied(split)[1]
            if (decoder, measure) not in counted:
                raise UserError(f"{counts_of(self.folder, split)}: has no column '{decoder} {measure}'")
            return counted[decoder, measure]
        key = split, decoder, measure
        if key not in self._scores:
            texts = self.pair(split, decoder, "phonemes" if measure == "PER" else "reference")
            self._scores[key] = score(*texts, LEVELS[measure]).per_utterance
        return self._scores[key]

    @cached_property
    def _copies(self):
        return {}

    @cached_property
    def _texts(self):
        return {}

    @cached_property
    def _scores(self):
        return {}

    def examples(self):
        """Content of examples.npz (see `training.examples`), its metadata under ``about``; {} without it."""
        file = self.folder / "examples.npz"
        if not file.is_file():
            return {}
        try:
            with np.load(file, allow_pickle=False) as arrays:
                content = dict(arrays)
            return {**content, "about": json.loads(str(content["about"]))}
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise UserError(f"{file}: cannot be read ({error}); delete it to report on the run without it") from error


def _check_rates(results):
    """Raise one of the errors of malformed content unless each measure has its numbers."""
    for decoders in results.values():
        for measures in decoders.values():
            for measure in measures.values():
                if not all(math.isfinite(number) for number in (measure["percent"], *measure.get("interval_95", ()))):
                    raise ValueError("a rate is no number")


def _check_bins(confidence):
    """Raise one of the errors of malformed content unless all bins of confidences have their numbers."""
    for entry in confidence.values():
        for kinds in entry["sets"].values():
            for found in kinds.values():
                if len(found["bins"]) != BINS or not all(_is_bin(b) for b in found["bins"] if b is not None):
                    raise ValueError("a bin of confidences is malformed")


def _is_bin(found):
    words, right, said = (found[name] for name in ("words", "right", "confidence"))
    return type(words) is type(right) is int and 0 <= right <= words and words > 0 and 0 <= said <= 1


def _by_id(rows):
    """Rows by id, each of them whole and none twice."""
    found = {}
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values():
            raise ValueError(f"row {number} has too few or too many columns")
        if found.setdefault(row["id"], row) is not row:
            raise ValueError(f"row {number} has the id {row['id']!r} again")
    if not found:
        raise ValueError("it holds no utterance")
    return found


def in_order(names):
    """Names of evaluated sets, once each, those of dev first.

    Examples
    --------
    >>> in_order(["test-clean", "dev", "test-clean", "test-other"])
    ['dev', 'test-clean', 'test-other']
    """
    return sorted(dict.fromkeys(names), key=lambda name: role(name) != "dev")


def find_results(places):
    """Results in folders or anywhere below them, and a sentence for each result.json that is of another kind.

    Parameters
    ----------
    places : iterable of str or Path

    Returns
    -------
    (list of Result, list of str)

    Raises
    ------
    UserError
        Where a place holds no result at all, or all of them none of a recogniser.
    """
    found, left_out = {}, []
    for place in map(Path, places):
        if not place.is_dir():
            raise UserError(f"{place}: there is no such folder")
        files = sorted(place.rglob(RESULT))
        if not files:
            raise UserError(f"{place}: holds no finished run")
        for file in files:
            try:
                found.setdefault(file.parent.resolve(), Result.read(file.parent))
            except UserError as error:
                left_out.append(str(error))
    if not found:
        raise UserError(f"there is nothing to report on: {left_out[0]}")
    return list(found.values()), left_out
