"""A manifest of any length as a sequence: some numbers of each utterance are at hand, and the rest is in the file."""

import csv
import mmap
import operator
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from serenanet_modules.data.manifest import role, rows_of, utterance_of
from serenanet_modules.errors import UserError

ROW = [("start", "i8"), ("size", "u4"), ("split", "u4"), ("duration", "f8"), ("weight", "f8"), ("id", "i8")]
COLUMNS = ("_starts", "_sizes", "_splits", "durations", "weights")


class Listed(Sequence):
    """Utterances that are read from their manifest whenever they are asked for.

    The file stays open, so that another one of its name is not read in its place.

    Parameters
    ----------
    path : str or Path
        Of a manifest, which is read and checked once.

    Attributes
    ----------
    durations, weights : numpy.ndarray
        (N,) seconds, and what the utterances weigh.

    Raises
    ------
    UserError
        As of `manifest.read_manifest`.
    """

    def __init__(self, path):
        self.path, names = Path(path), {}
        rows = np.fromiter(_numbers(path, names), ROW)
        self._names = list(names)
        self._starts, self._sizes, self._splits = rows["start"].copy(), rows["size"].copy(), rows["split"].copy()
        self.durations, self.weights = rows["duration"].copy(), rows["weight"].copy()
        self._open()
        self._check_ids(rows["id"])

    def _open(self):
        with open(self.path, "rb") as file:
            self._file = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._columns = self._values(0, self._file.find(b"\n") + 1)

    def _check_ids(self, hashes):
        """Refuse an id that is there twice."""
        order = np.argsort(hashes, kind="stable")
        same, seen = np.flatnonzero(np.diff(hashes[order]) == 0), {}
        for i in sorted({*order[same].tolist(), *order[same + 1].tolist()}):  # few, and some by chance
            name, first = self[i].id, seen.setdefault(self[i].id, i)
            if first != i:
                line = self._file[: self._starts[i] + self._sizes[i]].count(b"\n")
                raise UserError(f"{self.path}: line {line}: the id {name!r} is there twice.")

    def __len__(self):
        return len(self._starts)

    def __getitem__(self, index):
        """The `Utterance` at a place, with its weight of `weights`."""
        at = operator.index(index)
        values = self._values(self._starts[at], self._sizes[at])
        return replace(utterance_of(self._columns, values), weight=float(self.weights[at]))

    def _values(self, start, size):
        return next(csv.reader([self._file[start : start + size].decode("utf-8")], strict=True))

    def of(self, wanted):
        """Those of a role: train, dev or test."""
        chosen = np.isin(self._splits, [i for i, name in enumerate(self._names) if role(name) == wanted])
        return self._with(**{name: getattr(self, name)[chosen] for name in COLUMNS})

    def of_mean_weight_one(self):
        """The same utterances, whose weights are over their mean."""
        return self._with(weights=self.weights / self.weights.mean())

    def _with(self, **columns):
        part = object.__new__(Listed)  # which shares the open file
        vars(part).update(vars(self) | columns)
        return part

    def __getstate__(self):
        """For another process, which opens the file anew."""
        return {name: value for name, value in vars(self).items() if name != "_file"}

    def __setstate__(self, state):
        vars(self).update(state)
        self._open()


def _numbers(path, names):
    """Yield a `ROW` of each utterance; ``names`` gets the number of each split."""
    for row in rows_of(path):
        u, split = row.utterance, row.utterance.split
        yield row.start, row.end - row.start, names.setdefault(split, len(names)), u.duration, u.weight, hash(u.id)
