"""One experiment: prepare, make units, build, fit, average, evaluate. A recipe's train.py calls `main`."""

import contextlib
import fcntl
import importlib.util
import logging
import signal
import sys
import tempfile
import time
from pathlib import Path

import speechbrain as sb
import torch
from safetensors.torch import save_file
from speechbrain.utils.checkpoints import average_checkpoints
from speechbrain.utils.run_opts import RunOptions
from torch import nn

from serenanet_modules import distributed
from serenanet_modules.brains.checkpoints import AtomicCheckpointer
from serenanet_modules.brains.ctc import CTCBrain
from serenanet_modules.brains.progress import Progress
from serenanet_modules.data.batching import BatchSampler, Utterances, make_loader
from serenanet_modules.data.files import replacing
from serenanet_modules.data.manifest import SPLITS, read_manifest
from serenanet_modules.data.phonemes import g2p
from serenanet_modules.data.preparation import Settings, prepare
from serenanet_modules.data.text import normaliser
from serenanet_modules.data.units import load_units, train_units
from serenanet_modules.errors import UserError
from serenanet_modules.evaluation import Evaluation, given_language_model
from serenanet_modules.hparams import Hparams, read_yaml
from serenanet_modules.provenance import device_name, provenance
from serenanet_modules.results import parameter_table, parameters, result_table, write_result
from serenanet_modules.threads import share_cores

logger = logging.getLogger(__name__)

NORMALISATION_UTTERANCES = 2000  # of train, for the features' mean and standard deviation
CHOICES = (
    ("precision", ("fp32", "bf16", "fp16")),
    ("scoring", ("decoder", "car", "average")),
    ("units", ("char", "bpe", "unigram", "phoneme")),
)
LEAST = {  # smallest value that makes sense
    "number_of_epochs": 1,
    "grad_accumulation_factor": 1,
    "checkpoints_to_average": 1,
    "max_batch_seconds": 1,
    "num_workers": 0,
    "early_stopping_patience": 0,
    "nonfinite_patience": 0,
    "warmup_steps": 0,
    "weight_decay": 0,
    "beam_size": 0,
    "lm_order": 2,
    "lr": 0,
}
NUMBERS = ("lm_weight", "word_score")  # or null
RUN_OPTIONS = ("device", "distributed_backend", "eval_precision", "noprogressbar", "tqdm_colored_bar")
FREE_TO_CHANGE = (  # when a run goes on in a result folder; data and units are compared by what they hold
    *("number_of_epochs", "early_stopping_patience", "checkpoints_to_average", "nonfinite_patience"),
    *("num_workers", "ckpt_interval_minutes", "output_folder", "data_folder", "prepared_folder", "preparation"),
    *("beam_size", "lm", "lm_order", "lm_weight", "word_score"),
)
WEIGHTS = "weights.safetensors"
UNITS = "units"


def main(train_file, argv=None):
    """Run the recipe whose train.py is ``train_file``; ends the process with a status.

    Parameters
    ----------
    train_file : str
        ``__file__`` of the recipe's train.py; dataset.yaml stands beside it.
    argv : list of str, optional
        Hyper-parameter file, then ``--key value`` pairs and SpeechBrain's run options.
    """
    try:
        Experiment.from_command_line(Path(train_file).parent, argv or sys.argv[1:]).run()
    except UserError as error:
        if distributed.is_main():
            print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        distributed.stop()


class Experiment:
    """Data, units, model and result folder of one run.

    Parameters
    ----------
    recipe : Path
        Folder with dataset.yaml.
    hparams : Hparams
    run_opts : RunOptions
    """

    def __init__(self, recipe, hparams, run_opts):
        self.recipe, self.hparams, self.run_opts = Path(recipe), hparams, run_opts
        self.plain = hparams.plain()
        self.folder = Path(self.plain["output_folder"])
        self.save = self.folder / "save"

    @classmethod
    def from_command_line(cls, recipe, argv):
        """Parse ``FILE [--key value …]``."""
        if not argv or argv[0].startswith("-"):
            raise UserError("give a hyper-parameter file first, such as hparams/serenanet.yaml")
        dataset = Path(recipe) / "dataset.yaml"
        keys = {k: (dataset, v) for k, v in read_yaml(dataset).items() if k != "prepare"}
        hparams = Hparams.load(argv[0], keys)
        overrides, options = _split_arguments(argv[1:], hparams)
        hparams.override(overrides)
        return cls(recipe, hparams, sb.parse_arguments([argv[0], *options])[1])

    def run(self):
        """Do all of it; what an earlier run with the same result folder finished is not done again.

        Returns
        -------
        dict
            The content of result.json on the main process, {} on the others.
        """
        self.run_opts = distributed.start(self.run_opts)
        share_cores(distributed.local_world_size())
        self.provenance = provenance()
        self._check()
        with self._sole_owner():
            prepared = distributed.main_first(self._prepare)
            splits = {name: read_manifest(prepared.manifest, name) for name in SPLITS}
            self.units = distributed.main_first(lambda: self._make_units(splits["train"]))
            self.hparams.set("n_units", self.units.size)
            distributed.main_first(lambda: self._claim(prepared))
            brain = self._brain(splits, prepared.folder)
            self._fit(brain, splits, prepared.folder)
            self._average(brain)
            evaluation = Evaluation(brain, self.units, prepared.folder, splits, self.folder)
            start = time.monotonic()
            results = evaluation.run()
            result = self._report(brain, results, evaluation.decoding, time.monotonic() - start, prepared)
            distributed.barrier()  # no process leaves the group while another still uses it
            return result

    # --- before any long work -------------------------------------------------------------------------------------

    def _check(self):
        where = self.hparams.source
        self._check_values(where)
        given_language_model(self.plain["lm"])
        device = str(self.run_opts.device or "")
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise UserError(f"--device {device}: this machine has no usable GPU; leave the option out")
        on_gpu = device.startswith("cuda") or (not device and torch.cuda.is_available())
        if self.plain["precision"] == "fp16" and not on_gpu:
            raise UserError(f"{where}: 'precision' fp16 needs a GPU; use bf16 or fp32 on a CPU")
        if not Path(self.plain["data_folder"]).is_dir():
            raise UserError(f"data_folder: there is no folder {self.plain['data_folder']}")
        asked = self.plain["n_units"]
        self.hparams.set("n_units", asked or 2)
        self.hparams.build()  # finds wrong classes and arguments now rather than after preparation
        self.hparams.set("n_units", asked)

    def _check_values(self, where):
        """What a type alone does not tell."""
        for key, choices in CHOICES:
            if self.plain[key] not in choices:
                raise UserError(f"{where}: '{key}' must be one of {', '.join(choices)}, not {self.plain[key]}")
        for key, least in LEAST.items():
            if self.plain[key] < least:
                raise UserError(f"{where}: '{key}' must be at least {least}, not {self.plain[key]}")
        if not self.plain["max_grad_norm"] > 0:  # a negative one would turn every gradient round
            raise UserError(f"{where}: 'max_grad_norm' must be more than 0; a large number switches clipping off")
        for key in NUMBERS:
            if not isinstance(self.plain[key], int | float | None):
                raise UserError(f"{where}: '{key}' must be a number or null, not {self.plain[key]!r}")
        for key, value in self.plain["preparation"].items():
            if not (isinstance(value, int | float) or (key == "jobs" and value is None)):
                raise UserError(f"{where}: 'preparation.{key}' must be a number, not {value!r}")
        if not isinstance(self.plain["n_units"], int | None):
            raise UserError(f"{where}: 'n_units' must be a whole number or null, not {self.plain['n_units']!r}")
        if self.plain["units"] == "phoneme":
            g2p(self.plain["locale"])  # refuses a locale without one

    @contextlib.contextmanager
    def _sole_owner(self):
        """Refuse a second run in the same result folder while this one lives."""
        with contextlib.ExitStack() as stack:
            distributed.main_first(lambda: self._lock(stack))
            yield

    def _lock(self, stack):
        self.save.mkdir(parents=True, exist_ok=True)
        lock = stack.enter_context(open(self.folder / ".lock", "w", encoding="utf-8"))
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"{self.folder}: another run is using this result folder; wait for it, or give this "
                "one its own --experiment NAME or --seed N"
            ) from None

    # --- data -----------------------------------------------------------------------------------------------------

    def _prepare(self):
        """Decode and sift the corpus, after a look at whether its text can give the units asked for."""
        module = self._recipe_module()
        candidates = list(module.candidates(self.plain["data_folder"], self.plain["locale"]))
        phonemic = self.plain["units"] == "phoneme"
        if not phonemic and not (self.save / UNITS / "units.json").is_file():
            self._try_units([c.text for c in candidates if c.split == "train"])
        for split in {"train", "dev"} - {c.split for c in candidates}:
            raise UserError(
                f"{self.plain['data_folder']}: the list of {split} is empty; a training needs train and dev"
            )
        options = dict(self.plain["preparation"])
        jobs = options.pop("jobs")
        settings = Settings(**options, phonemes=phonemic)
        return prepare(candidates, self.plain["prepared_folder"], settings, jobs)

    def _recipe_module(self):
        path = self.recipe / read_yaml(self.recipe / "dataset.yaml")["prepare"]
        spec = importlib.util.spec_from_file_location("recipe_prepare", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def _try_units(self, texts):
        normalise = normaliser(self.plain["locale"])
        with tempfile.TemporaryDirectory() as folder:
            self._train_units([normalise(text) for text in texts], folder)
            self._check_size(load_units(folder))

    def _make_units(self, train):
        """Train the units, or load those of an earlier run."""
        folder = self.save / UNITS
        kind = self.plain["units"]
        if not (folder / "units.json").is_file():
            self._train_units([u.phonemes if kind == "phoneme" else u.text for u in train], folder)
        units = load_units(folder)
        if units.kind != kind:
            raise UserError(f"{folder} holds {units.kind} units, not {kind}: give another --experiment")
        self._check_size(units)
        return units

    def _check_size(self, units):
        asked = self.plain["n_units"]
        if asked not in (None, units.size):
            raise UserError(
                f"{self.hparams.source}: 'n_units' is {asked} but the {units.kind} units are {units.size}; "
                "set it to null or to that"
            )

    def _train_units(self, texts, folder):
        kind = self.plain["units"]
        vocab_size = self.plain["vocab_size"] if kind in ("bpe", "unigram") else None
        try:
            train_units(kind, texts, vocab_size, folder)
        except UserError as error:
            raise UserError(f"{self.hparams.source}: {error}") from error

    def _encode(self, utterance):
        """Unit ids; phonemes that only dev has are left out, as the model cannot say them."""
        if self.units.kind != "phoneme":
            return self.units.encode(utterance.text)
        return self.units.encode(" ".join(p for p in utterance.phonemes.split() if p in self.units.pieces))

    # --- model and training ---------------------------------------------------------------------------------------

    def _claim(self, prepared):
        """Write what this run is into its folder; refuse a folder whose run was another one."""
        file, data = self.folder / "hyperparams.yaml", self.save / "data.txt"
        if file.is_file():
            changed = self.hparams.differences(file, FREE_TO_CHANGE)
            if data.is_file() and data.read_text(encoding="utf-8") != prepared.folder.name:
                changed.append("the data")
            if changed:
                raise UserError(
                    f"{self.folder} holds a run with other settings ({', '.join(changed)}); give this one its own "
                    "--experiment NAME, or delete that folder"
                )
        with replacing(file) as path:
            path.write_text(self.hparams.text, encoding="utf-8")
        with replacing(data) as path:
            path.write_text(prepared.folder.name, encoding="utf-8")

    def _brain(self, splits, root):
        """Build everything and open the result folder."""
        sb.core.create_experiment_directory(str(self.folder))
        torch.manual_seed(self.plain["seed"])
        built = self.hparams.build()
        if distributed.is_main():
            print(parameter_table(built["model"]))
        self._fit_normaliser(built["features"], splits["train"], root)
        sampler = BatchSampler(
            [u.duration for u in splits["train"]],
            self.plain["max_batch_seconds"],
            accumulation=self.plain["grad_accumulation_factor"],
            seed=self.plain["seed"],
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        recoverables = {"model": built["model"], "features": built["features"]}
        return CTCBrain(
            built["modules"],
            built["opt_class"],
            built,
            self.run_opts,
            AtomicCheckpointer(self.save, recoverables),
            progress=Progress(self.plain["number_of_epochs"], self.plain["early_stopping_patience"]),
            sampler=sampler,
            units=self.units,
        )

    def _fit_normaliser(self, features, train, root):
        """Mean and deviation of the features over a seeded sample of train, computed once per result folder."""
        file = self.save / "features.pt"

        def fit():
            if not file.is_file():
                generator = torch.Generator().manual_seed(self.plain["seed"])
                chosen = torch.randperm(len(train), generator=generator)[:NORMALISATION_UTTERANCES]
                rows = [train[i] for i in chosen]
                sampler = BatchSampler([u.duration for u in rows], 100.0, shuffle=False)
                loader = make_loader(Utterances(rows, root), sampler)
                features.fit((batch.wavs, batch.wav_lengths) for batch in loader)
                with replacing(file) as path:
                    torch.save(features.state_dict(), path)

        distributed.main_first(fit)
        features.load_state_dict(torch.load(file, weights_only=True))

    def _fit(self, brain, splits, root):
        dev = BatchSampler(
            [u.duration for u in splits["dev"]],
            self.plain["max_batch_seconds"],
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            shuffle=False,
        )
        workers = self.plain["num_workers"]
        brain.fit(
            make_loader(Utterances(splits["train"], root, self._encode), brain.train_sampler, workers),
            make_loader(Utterances(splits["dev"], root, self._encode), dev, workers),
        )

    def _average(self, brain):
        """Load the mean of the best checkpoints' weights, and write it as the model to be used."""
        best = brain.checkpointer.find_checkpoints(
            min_key="error", max_num_checkpoints=self.plain["checkpoints_to_average"]
        )
        if not best:
            raise UserError(f"{self.save} holds no checkpoint of a finished epoch to evaluate")
        model, features = brain.raw("model"), brain.raw("features")
        model.load_state_dict(average_checkpoints(best, "model"))
        features.load_state_dict(torch.load(best[0].paramfiles["features"], weights_only=True))
        if distributed.is_main():
            tensors = nn.ModuleDict({"model": model, "features": features}).state_dict()
            with replacing(self.folder / WEIGHTS) as path:
                save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)

    # --- results --------------------------------------------------------------------------------------------------

    def _report(self, brain, results, decoding, seconds, prepared):
        """Write result.json and print its table."""
        if not distributed.is_main():
            return {}
        audio = 3600 * sum(s["hours"] for name, s in prepared.summary["splits"].items() if name != "train")
        result = {
            **{key: self.plain[key] for key in ("dataset", "experiment", "seed")},
            "results": results,
            "decoding": decoding,
            "units": {"kind": self.units.kind, "size": self.units.size},
            "parameters": parameters(brain.raw("model")),
            "epochs": brain.progress.epoch,
            "steps": brain.optimizer_step,
            "seconds": {
                "training": round(brain.progress.seconds, 1),
                "training_cpu": round(brain.progress.cpu_seconds, 1),
                "evaluation": round(seconds, 1),
                "evaluated_audio": round(audio, 1),
            },
            "data": prepared.summary,
            **self.provenance,
            "device": device_name(brain.device),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_result(self.folder / "result.json", result)
        print(result_table(results))
        print(f"results: {self.folder}\nTensorBoard: tensorboard --logdir {self.folder / 'tensorboard'}")
        return result


def _split_arguments(arguments, hparams):
    """Separate ``--key value`` pairs of the file from SpeechBrain's run options.

    A key of the file is the file's, also where SpeechBrain has an option of that name.
    """
    known = set(RunOptions().as_dict())
    overrides, options = [], []
    waiting = list(arguments)
    while waiting:
        first = waiting.pop(0)
        if not first.startswith("--"):
            raise UserError(f"the command line: '{first}' does not belong to any --key")
        key, equals, value = first[2:].partition("=")
        given = [value] if equals else []
        while not equals and waiting and not waiting[0].startswith("--"):
            given.append(waiting.pop(0))
        if key in known and key not in hparams:
            if key not in RUN_OPTIONS:
                raise UserError(
                    f"the command line: '--{key}' of SpeechBrain is not supported here; {', '.join(RUN_OPTIONS)} are"
                )
            options += [f"--{key}", *given]
        elif len(given) == 1:
            overrides.append((key, given[0]))
        else:
            raise UserError(f"the command line: '--{key}' needs one value, not {len(given)}")
    return overrides, options
