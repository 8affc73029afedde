"""A finished recogniser learns from corrected recordings, and what that brought is measured on others.

<out>/            the adapted model, or the one before where that hears the held-out recordings better
<out>/adapted.json  what was learned from, and the error rates before and after
<out>/training/   the training while it lasts; the same command goes on in it
"""

import hashlib
import json
import shutil
from dataclasses import asdict, astuple, dataclass
from pathlib import Path

import serenanet_modules.runtime.light  # noqa: F401  before anything else imports SpeechBrain

# isort: split
import speechbrain as sb

from serenanet_modules.analysis import bootstrap
from serenanet_modules.analysis.bootstrap import with_interval
from serenanet_modules.config.foreign import FILE as HYPERPARAMS
from serenanet_modules.data import corpora, corrected, custom
from serenanet_modules.data.corrected import NEW, OLD
from serenanet_modules.errors import UserError
from serenanet_modules.inference.evaluate import evaluate
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs import hub
from serenanet_modules.runs.folder import for_training
from serenanet_modules.runs.opening import HUB
from serenanet_modules.runtime.amounts import duration
from serenanet_modules.runtime.files import write_json, write_text
from serenanet_modules.training.experiment import Experiment
from serenanet_modules.training.recall import recall_kept
from serenanet_modules.training.sources import preparation_of

TRAINING, ABOUT = "training", "adapted.json"
ONLY_OF_TRAININGS = ("CKPT+*", "frozen.safetensors", ".lock", "asked.txt")  # in a result folder
WARMUP = 50  # optimizer steps
FEW = 50  # words by which nothing is measured


@dataclass(frozen=True)
class Plan:
    """How much is learned, and how fast.

    Attributes
    ----------
    epochs : int
    rate : float
        Of the learning rate of the model's own training.
    old : float
        Seconds of its training speech mixed in for each corrected second.
    keep : float
        Share of the old weights in the finished ones.
    batch_seconds : float
        Most in a batch: a few minutes of speech are to be many steps.
    seed : int
    more : tuple of (str, str)
        Further hyper-parameters, with dots, and yaml texts.
    """

    epochs: int = 5
    rate: float = 0.2
    old: float = 1.0
    keep: float = 0.5
    batch_seconds: float = 40.0
    seed: int = 1986
    more: tuple = ()


@dataclass(frozen=True)
class Mixed:
    """What an `Experiment` asks of a recipe, of a `corrected.Pool`."""

    pool: corrected.Pool
    languages: None = None

    def candidates(self, plain, needs_text=True, roles=None):
        """All of the pool."""
        return list(self.pool.candidates)


class Adaptation:
    """An adaptation of one model, in one folder: `read`, then `run`.

    Parameters
    ----------
    model : Path
        Result folder of a recogniser.
    out : Path
    plan : Plan
    device : str

    Raises
    ------
    UserError
        For what is no result folder of a recogniser.
    """

    def __init__(self, model, out, plan, device):
        self.model, self.out, self.plan, self.device = hub.finished(model, HUB), Path(out), plan, device
        self.training, self.pool = self.out / TRAINING, None
        if not (self.model / HYPERPARAMS).is_file():
            raise UserError(f"{self.model}: has no {HYPERPARAMS}; give the result folder of a finished recogniser")
        self.hparams = for_training(self.model)
        self.plain = self.hparams.plain()
        self.prepared = prepared_folder(self.model, self.plain) or self.out.absolute().parent / "prepared"

    def read(self, paths, data=(), **options):
        """Read what was corrected, and what the model was trained on.

        Parameters
        ----------
        paths, options
            As of `corrected.read`.
        data : sequence of Path
            As of `old_speech`.
        """
        found = corrected.read(paths, self.plain["locale"], **options)
        judged = corrected.judge(found, self._settings(), options.get("audio_folder"))
        old = old_speech(self.model, self.plain, data)
        self.pool = corrected.pool(judged.usable, old, self.plan.old, self.plan.seed, judged)

    def _settings(self):
        """The `Settings` by which the training prepares what it learns from."""
        hparams = for_training(self.model).lay(self._overrides())
        return preparation_of(hparams.only(("brain",)).build()["brain"], hparams.plain())

    def run(self):
        """Train, measure, and put the better model in its place.

        Returns
        -------
        dict
            What ``adapted.json`` says.
        """
        self._begin()
        options = ["--noprogressbar", f"--device={self.device}"]
        hparams = self.hparams.lay(self._overrides())
        run_opts = sb.parse_arguments([str(hparams.source), *options])[1]
        Experiment(Mixed(self.pool), hparams, run_opts).run()
        before, after = (self._scores(folder) for folder in (self.model, self.training))
        about = self._about(before, after)
        self._place(self.training if about["kept"] == "adapted" else self.model, about)
        return about

    def _begin(self):
        """An empty folder for the training, or that of the same one; with the units of the model."""
        asked = self.training / "asked.txt"
        told = [self.hparams.text, repr(self._overrides()), *(repr(astuple(c)) for c in self.pool.candidates)]
        key = hashlib.sha256("\n".join(told).encode()).hexdigest()
        if not (asked.is_file() and asked.read_text(encoding="utf-8") == key):
            shutil.rmtree(self.training, ignore_errors=True)
            for name in ("units", "tokenizer.json"):
                _copy(self.model / "save" / name, self.training / "save" / name)
            write_text(asked, key)

    def _name(self):
        """The experiment's: that of the folder, or where this is a seed, of the one above."""
        out = self.out.absolute()
        return out.parent.name if out.name.isdigit() else out.name

    def _overrides(self):
        """What differs from the model's own training."""
        plan, plain = self.plan, self.plain
        rate = plan.rate * plain["lr"]
        found = {
            "data_folder": self.model.absolute(),
            "output_folder": self.training,
            "prepared_folder": self.prepared,
            "pretrained": self.model.absolute(),
            "experiment": self._name(),
            "seed": plan.seed,
            "number_of_epochs": plan.epochs,
            "max_batch_seconds": min(plan.batch_seconds, plain["max_batch_seconds"]),
            "iteration": 1,
            "pretrained_share": plan.keep,
            "lr": rate,
            "opt_class.lr": rate,
            "lr_schedule.peak": rate,
            "warmup_steps": WARMUP,
            "lr_schedule.warmup_steps": WARMUP,
        }
        return [*((name, json.dumps(value, default=str)) for name, value in found.items()), *plan.more]

    def _scores(self, folder):
        """The `SetScore` of what measures, and of the corrected recordings that chose, as a model hears them.

        Frames of a fixed encoder are recalled.
        """
        recognizer = Recognizer.from_folder(folder, self.device)
        recall_kept(recognizer.modules["model"].acoustic, self.prepared, self.plain.get("encoder_cache"))
        return evaluate(recognizer, self.pool.measuring, self.prepared)[0]

    def _about(self, before, after):
        measure = "WER" if "WER" in before[f"test-{NEW}"].scores else "PER"
        sets = {
            name.removeprefix("test-"): _compared(before[name].scores[measure], after[name].scores[measure])
            for name in before
            if name.startswith("test-")
        }
        finest = "CER" if measure == "WER" else measure
        errors = [tuple(_errors(found, finest, of) for of in (NEW, OLD)) for found in (before, after)]
        told = {"model": str(self.model), "kept": better(*errors), "measure": measure, "sets": sets}
        plan = {name: value for name, value in asdict(self.plan).items() if name != "more"}
        plan |= {"more": dict(self.plan.more)}
        return {**told, "seconds": self.pool.seconds, "left_out": dict(self.pool.left_out), "plan": plan}

    def _place(self, folder, about):
        """The files of a model, without what only a training goes on with, become those of the folder."""
        left = shutil.ignore_patterns(*ONLY_OF_TRAININGS, HYPERPARAMS)
        shutil.copytree(folder, self.out, ignore=left, dirs_exist_ok=True)
        write_json(self.out / ABOUT, about)
        shutil.copyfile(folder / HYPERPARAMS, self.out / HYPERPARAMS)  # last: it makes the folder a result
        shutil.rmtree(self.training)


def better(before, after):
    """Which model makes fewer errors, ``adapted`` or ``old``; of equals the former.

    Parameters
    ----------
    before, after : tuple of int
        Errors in corrected speech, and in old, which decide where those are equal.
    """
    return "adapted" if after <= before else "old"


def prepared_folder(model, plain):
    """Where the model's training, or one beside it, has its prepared data; None where that is not on this machine."""
    there = [Path(plain["prepared_folder"]), model.absolute().parents[1] / "prepared"]
    return next((path for path in there if path.is_dir()), None)


def old_speech(model, plain, data=()):
    """What a model's training had: the corpora that are named, or what it has prepared, if that is still there.

    Parameters
    ----------
    model : Path
    plain : dict
        Its hyper-parameters.
    data : sequence of Path
        As of `corpora.read`.

    Returns
    -------
    list of Candidate
    """
    key, prepared = model / "save" / "data.txt", prepared_folder(model, plain)
    if not data and prepared and key.is_file():
        manifest = prepared / key.read_text(encoding="utf-8").strip() / "manifest.csv"
        data = [manifest] if manifest.is_file() else []
    return corpora.read(list(data), plain["locale"], custom.candidates) if data else []


def _compared(before, after):
    """Both rates in percent, and what lies between them, with its interval."""
    told = bootstrap.compare(before.per_utterance, after.per_utterance)
    return {
        "before": with_interval(before),
        "after": with_interval(after),
        "difference": round(100 * told.difference, 3),
        "interval_95": [round(100 * told.low, 3), round(100 * told.high, 3)],
    }


def _errors(scores, measure, of):
    """All errors in the recordings of a kind that are held out: the finest measure of the most speech tells best."""
    return sum(found.scores[measure].total.errors for name, found in scores.items() if name.endswith(f"-{of}"))


def _copy(source, target):
    """A file, or a folder, if it is there."""
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)


def _length(found):
    """Tokens of a set's references."""
    return sum(found["before"][name] for name in ("hits", "substitutions", "deletions"))


def report(about, out):
    """Yield lines for people of what ``adapted.json`` says.

    Parameters
    ----------
    about : dict
    out : Path
    """
    new, old = (duration(about["seconds"][name]) for name in ("train", OLD))
    yield f"trained on {new} of corrected speech and {old} of the model's earlier training data"
    yield from (f"left out: {number} {reason}" for reason, number in about["left_out"].items())
    measure, tokens = about["measure"], "words" if about["measure"] == "WER" else "phones"
    yield f"{'held out':<12}{tokens:>7}{measure + ' % before':>16}{'after':>8}{'difference':>12}   95 % interval"
    for name, found in about["sets"].items():
        rates = f"{found['before']['percent']:>16.1f}{found['after']['percent']:>8.1f}{found['difference']:>+12.1f}"
        yield f"{name:<12}{_length(found):>7}{rates}   " + "{:+.1f} … {:+.1f}".format(*found["interval_95"])
    for name, found in about["sets"].items():
        if (length := _length(found)) < FEW:
            yield f"{name}: {length} {tokens} are too few to measure by; correct more"
    if OLD not in about["sets"]:
        yield "the model's earlier training data is not here, so errors on it are not measured; give it with --data"
    kept = "adapted model" if about["kept"] == "adapted" else "old model, unchanged: the adapted one makes more errors"
    yield f"{out}: holds the {kept}"
