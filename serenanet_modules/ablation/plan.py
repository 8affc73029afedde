"""From a suite to runs: what must be trained, in which folders, and which variants share a run.

Two variants whose merged hyper-parameters are the same, ``scoring`` and what has no effect on results aside, are one
training: the one that
stands first in the suite owns it. ``scoring`` changes no gradient: a variant that differs only there is another
column of the same run's decoded texts.
"""

import itertools
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from serenanet_modules.ablation.fit import check_fit
from serenanet_modules.config.foreign import check_format
from serenanet_modules.config.hparams import Hparams, write_layer
from serenanet_modules.config.keys import RUN, WEIGHTS, free_to_change
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.config.settings import read_command_line
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.errors import UserError
from serenanet_modules.runs.folder import OUTPUT

BASE = "base.yaml"
SET_HERE = {"experiment": "", "output_folder": ", and give --out", "seed": ", and give --seeds", "pretrained": ""}
NOT_TRAINING = ("experiment", "scoring", *free_to_change(RUN))  # every run decodes each scoring


@dataclass(frozen=True, eq=False)
class Run:
    """One training in a folder of its own.

    Attributes
    ----------
    name : str
        Folder below the suite's, such as ``no_athm/1987``.
    folder : Path
    arguments : tuple of str
        train.py and what follows it.
    hparams : Hparams
        What these arguments come to.
    needs : Run or None
        The pre-training that it starts from.
    """

    name: str
    folder: Path
    arguments: tuple[str, ...]
    hparams: Hparams = field(repr=False)
    needs: "Run | None" = None

    @property
    def command(self):
        """Words of the command line."""
        return (sys.executable, *self.arguments)

    @cached_property
    def epochs(self):
        """Epochs that it is to be trained for."""
        return self.hparams.plain()["number_of_epochs"]

    @property
    def output(self):
        """File with what the run printed."""
        return self.folder / OUTPUT

    def state(self):
        """``finished``, ``begun`` or ``new``.

        Raises
        ------
        UserError
            Where the folder holds a run with other settings, or one that started from what its pre-training was before
            it is trained further: neither must be overwritten or passed for this one.
        """
        if not self._settings.is_file():
            return "new"
        changed, result = self._changed(), self.folder / "result.json"
        if other := [key for key in changed if key not in free_to_change()]:
            raise UserError(
                f"{self.folder} holds a run with other settings ({', '.join(other)}); give --out, or delete that folder"
            )
        if self.needs and (further := [key for key in self.needs._changed() if key in free_to_change(WEIGHTS)]):
            raise UserError(
                f"{self.folder} started from {self.needs.folder}, which would now be trained with another "
                f"{' and '.join(further)}; give --out, or delete both folders"
            )
        # a run writes its hyper-parameters when it starts and its result when it ends
        ended = result.is_file() and result.stat().st_mtime_ns >= self._settings.stat().st_mtime_ns
        return "finished" if ended and not changed else "begun"

    @property
    def _settings(self):
        return self.folder / "hyperparams.yaml"

    def _changed(self):
        """Keys that have another value in the folder, if there is a run in it."""
        if not self._settings.is_file():
            return []
        held = read_yaml(self._settings)
        check_format(held, self._settings)
        self.hparams.set("n_units", held.get("n_units"))  # null became what the units gave
        return self.hparams.differences(self._settings, free_to_change(RUN))


@dataclass(frozen=True)
class Row:
    """A variant and the runs that it is read from.

    Attributes
    ----------
    name : str
    runs : tuple of Run
        One per seed.
    scoring : str or None
        decoder, car or average: what its texts are decoded from, where the runs themselves say something else.
    same_as : str or None
        The variant whose row is the same.
    """

    name: str
    runs: tuple[Run, ...]
    scoring: str | None = None
    same_as: str | None = None


@dataclass(frozen=True)
class Plan:
    """Rows of the table in the suite's order, the runs for them, each after what it needs, and the full model's row."""

    rows: tuple[Row, ...]
    runs: tuple[Run, ...]
    reference: Row


class Planner:
    """Makes the `Plan` of a suite.

    Parameters
    ----------
    suite : Suite
    recipe : Path
        Folder with train.py and dataset.yaml.
    out : Path
        Holds the folders of all runs.
    arguments : list of str
        ``--key value`` that every variant's base gets, and SpeechBrain's run options.
    work : Path, optional
        Where the base is written; ``out`` by default.
    """

    def __init__(self, suite, recipe, out, arguments=(), work=None):
        self.suite, self.out, self.script = suite, Path(out), Path(recipe) / "train.py"
        if not self.script.is_file():
            raise UserError(f"{recipe}: has no train.py; give a recipe's folder such as recipes/CommonVoice/sw")
        self.recipe = Recipe(recipe)
        _, overrides, self.options = read_command_line(self.recipe, [*map(str, suite.base), *arguments])
        for key, hint in SET_HERE.items():
            if key in dict([*overrides, *suite.variants[0].values]):
                raise UserError(f"--{key} is set by the ablation for each run; leave it out{hint}")
        self.base = Path(work or out) / BASE
        write_layer(self.base, suite.base, overrides)
        self._owners = {}  # what a training comes to -> its Run
        self._names = {}  # Run -> the variant that owns it
        self._shared = {}  # variant and seed -> pre-training with its front end

    def plan(self, seeds, only=None):
        """Rows of the variants asked for and the runs they need.

        Parameters
        ----------
        seeds : int
            The base's seed and the numbers that follow it.
        only : collection of str, optional
            Names of variants; the others are left out, but still own the runs that they share.

        Raises
        ------
        UserError
            Where a variant asked for cannot be laid over the base, or changes nothing there.
        """
        full, *others = self.suite.variants
        first = int(self._hparams(full, ["--pretrained", "null"]).plain()["seed"])
        seeds = range(first, first + seeds)
        every, misfits = {full.name: self._row(full, seeds)}, {}
        wanted = [number for number, variant in enumerate(others, 1) if only is None or variant.name in only]
        for variant in others[: max(wanted, default=0)]:  # none after these owns what they share
            try:
                check_fit(variant, every[full.name].runs[0].hparams.tree)
                every[variant.name] = self._row(variant, seeds)
            except UserError as error:
                misfits[variant.name] = str(error)
        self._refuse({name: told for name, told in misfits.items() if only is None or name in only}, every, only)
        rows = [row for row in every.values() if only is None or row.name in only]
        runs = itertools.chain.from_iterable(row.runs for row in rows)
        runs = dict.fromkeys(itertools.chain.from_iterable((run.needs, run) if run.needs else (run,) for run in runs))
        runs = sorted(runs, key=lambda run: not run.name.startswith("pretraining/"))  # pre-trainings first
        return Plan(tuple(rows), tuple(runs), every[full.name])

    def _refuse(self, misfits, fitting, only):
        if not misfits:
            return
        told, names = next(iter(misfits.values())), ", ".join(misfits)
        others = [name for name in fitting if only is None or name in only]
        hint = f"; run the others with --only {','.join(others)}" if others else ""
        raise UserError(f"{self.suite.file}: variants that do not fit this base: {names} ({told}){hint}")

    def _row(self, variant, seeds):
        runs = tuple(self._fine_tuning(variant, seed) for seed in seeds)
        owner = self._names[runs[0]]
        if owner == variant.name:
            return Row(variant.name, runs)
        scoring = self._hparams(variant, _start(runs[0].needs)).plain()["scoring"]
        if runs[0].hparams.plain()["scoring"] == scoring:
            return Row(variant.name, runs, same_as=owner)
        return Row(variant.name, runs, scoring)

    def _fine_tuning(self, variant, seed):
        needs = self._pretraining(variant, seed)
        experiment = ["--experiment", variant.name] if variant.values else []  # its files name no combination
        return self._run(variant.name, variant, seed, [*experiment, *_start(needs)], needs)

    def _pretraining(self, variant, seed):
        """The pre-training that a variant's run of a seed starts from, or None."""
        if variant.pretraining == "none":
            return None
        shaped = variant if variant.pretraining == "own" else self.suite.full
        if (shaped, seed) not in self._shared:
            before = replace(shaped, files=(*shaped.files, self.suite.pretraining))
            more = self.suite.pretraining_arguments
            self._shared[shaped, seed] = self._run(f"pretraining/{shaped.name}", before, seed, more, None)
        return self._shared[shaped, seed]

    def _run(self, place, variant, seed, arguments, needs):
        """The run that does this, which may be another variant's."""
        name = f"{place}/{seed}"
        folder = self.out / name
        arguments = ["--output_folder", str(folder), "--seed", str(seed), *arguments]
        hparams = self._hparams(variant, arguments)
        key = hparams.without(NOT_TRAINING).text
        if key not in self._owners:
            words = (self.script, self.base, *variant.files, *variant.arguments, *arguments, *self.options)
            self._owners[key] = Run(name, folder, tuple(map(str, words)), hparams, needs)
            self._names[self._owners[key]] = variant.name
        return self._owners[key]

    def _hparams(self, variant, arguments):
        words = [str(self.base), *map(str, variant.files), *variant.arguments, *arguments]
        return read_command_line(self.recipe, words)[0]


def _start(needs):
    return ["--pretrained", str(needs.folder)] if needs else []
