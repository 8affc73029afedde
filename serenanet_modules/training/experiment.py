"""One experiment: prepare, build, fit, average, evaluate. A recipe's train.py calls `main`.

What is special about a kind of model (its units, losses, evaluation and report) is its Brain's, which the
hyper-parameter ``brain`` names.
"""

import inspect
import json
import logging
import os
import signal
import sys
import time
from pathlib import Path

import speechbrain as sb
import torch
from safetensors.torch import save_file
from speechbrain.utils.checkpoints import average_checkpoints
from torch import nn

from serenanet_modules.config.settings import check_machine, check_values, help_text, read_command_line
from serenanet_modules.data import corpora
from serenanet_modules.data.batching import BatchSampler, Utterances, loader_of, make_loader
from serenanet_modules.data.manifest import SPLITS, read_manifest, role
from serenanet_modules.data.preparation import Settings, prepare
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.errors import Fault, UserError
from serenanet_modules.runs.folder import claim, sole_owner
from serenanet_modules.runs.model_card import write_card
from serenanet_modules.runs.pretraining import PretrainedRun
from serenanet_modules.runs.results import parameter_table, parameters, write_result
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.faults import in_a_sentence
from serenanet_modules.runtime.files import replacing
from serenanet_modules.runtime.lifeline import ending_together
from serenanet_modules.runtime.provenance import device_name, provenance
from serenanet_modules.runtime.threads import share_cores
from serenanet_modules.training.checkpoints import AtomicCheckpointer
from serenanet_modules.training.loop import RecipeBrain
from serenanet_modules.training.masking import Masker
from serenanet_modules.training.progress import Progress
from serenanet_modules.training.targets import Targets

logger = logging.getLogger(__name__)

STATISTICS_UTTERANCES = 2000  # of train, for what an acoustic model fits to them
WEIGHTS = "weights.safetensors"
PRETRAINED = "pretrained.json"


def main(train_file, argv=None):
    """Run the recipe whose train.py is ``train_file``; ends the process with a status.

    Parameters
    ----------
    train_file : str
        ``__file__`` of the recipe's train.py; dataset.yaml stands beside it.
    argv : list of str, optional
        Hyper-parameter files, then ``--key value`` pairs and SpeechBrain's run options.
    """
    argv = sys.argv[1:] if argv is None else argv
    if not argv or {"-h", "--help"}.intersection(argv):
        print(help_text(Recipe(Path(train_file).parent), os.path.relpath(train_file)))
        sys.exit(0 if argv else 2)
    conclude(lambda: Experiment.from_command_line(Path(train_file).parent, argv))


def conclude(experiment):
    """Run what ``experiment()`` makes; ends the process with a status, and one sentence instead of a `UserError`."""
    try:
        experiment().run()
    except UserError as error:
        if distributed.is_main() or isinstance(error, Fault):
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
    recipe : Recipe
    hparams : Hparams
    run_opts : RunOptions
    """

    def __init__(self, recipe, hparams, run_opts):
        self.recipe, self.hparams, self.run_opts = recipe, hparams, run_opts
        self.plain = hparams.plain()
        self.folder = Path(self.plain["output_folder"])
        self.save = self.folder / "save"

    @classmethod
    def from_command_line(cls, recipe, argv):
        """Parse ``FILE [FILE …] [--key value …]``."""
        recipe = Recipe(recipe)
        hparams, _, options = read_command_line(recipe, argv)
        return cls(recipe, hparams, sb.parse_arguments([str(hparams.source), *options])[1])

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
        probe = self._check()
        with ending_together(), in_a_sentence(self.folder), sole_owner(self.folder):
            brain, prepared, splits = self._ready(probe["model"])
            self._fit(brain, splits, prepared.folder)
            self._average(brain)
            start = time.monotonic()
            measures = brain.evaluate_splits(prepared.folder, splits)
            result = self._report(brain, measures, time.monotonic() - start, prepared)
            distributed.barrier()  # no process leaves the group while another still uses it
            return result

    def _ready(self, model):
        """The Brain, the prepared data and its splits; ``model`` has the shapes of the one to train."""
        self._open(model)
        prepared = distributed.main_first(self._prepare)
        splits = {name: read_manifest(prepared.manifest, name) for name in SPLITS}
        arguments = self._outputs(splits["train"])
        name, recogniser = prepared.folder.name, self.kind.needs_text
        distributed.main_first(lambda: claim(self.folder, self.hparams, name, recogniser))
        return self._brain(splits, prepared.folder, arguments), prepared, splits

    # --- before any long work -------------------------------------------------------------------------------------

    def _check(self):
        """Refuse what cannot be; returns the objects that the file makes."""
        where = self.hparams.source
        check_values(self.plain, where)
        check_machine(self.plain, str(self.run_opts.device or ""), where)
        corpora.entries(self.plain["data_folder"], where)
        asked = self.plain["n_units"]
        self.hparams.set("n_units", asked or 2)
        built = self.hparams.build()  # finds wrong classes and arguments now rather than after preparation
        self.hparams.set("n_units", asked)
        self.kind = built["brain"]
        if not (inspect.isclass(self.kind) and issubclass(self.kind, RecipeBrain)):
            raise UserError(f"{where}: 'brain' must be !name: and a class of serenanet_modules.training.brains")
        self.kind.check(self.plain, where)
        if self.plain["iteration"] > 1 and (built["pessl"] is None or self.plain["pretrained"] is None):
            raise UserError(
                f"{where}: 'iteration' {self.plain['iteration']} needs 'pessl', and --pretrained RESULT_DIR of the one "
                "before"
            )
        return built

    def _open(self, model):
        """Find where the run starts: at a checkpoint of its own, else at a pre-training run, else anew."""
        self.checkpointer, self.pretrained = AtomicCheckpointer(self.save), None
        if self.plain["pretrained"] is not None and self.checkpointer.find_checkpoint() is None:
            self.pretrained = PretrainedRun(self.plain["pretrained"])
            self.pretrained.check(self.hparams, model, self.plain["iteration"])

    # --- data -----------------------------------------------------------------------------------------------------

    def _prepare(self):
        """Decode and sift the corpus, after a look at whether its text can give the units asked for."""
        candidates = self.recipe.candidates(self.plain, self.kind.needs_text)
        train = [c for c in candidates if c.split == "train"]
        self.kind.try_texts(self.plain, self.hparams.source, train, self.save)
        for split in {"train", "dev"} - {role(c.split) for c in candidates}:
            raise UserError(
                f"{self.plain['data_folder']}: the list of {split} is empty; a training needs train and dev"
            )
        options = dict(self.plain["preparation"])
        jobs = options.pop("jobs")
        settings = Settings(**options, phonemes=self.kind.needs_phonemes(self.plain), needs_text=self.kind.needs_text)
        return prepare(candidates, self.plain["prepared_folder"], settings, jobs)

    def _outputs(self, train):
        """Let the Brain say what the outputs stand for; returns its arguments."""
        arguments, sizes = distributed.main_first(
            lambda: self.kind.outputs(self.plain, self.hparams.source, train, self.save)
        )
        for key, value in sizes.items():
            self.hparams.set(key, value)
        return arguments

    # --- model and training ---------------------------------------------------------------------------------------

    def _brain(self, splits, root, arguments):
        """Build everything and open the result folder."""
        sb.core.create_experiment_directory(str(self.folder))
        torch.manual_seed(self.plain["seed"])
        built = self.hparams.build()
        if distributed.is_main():
            print(parameter_table(built["model"]))
        self._fit_statistics(built["model"].acoustic, splits["train"], root)
        self._take_weights(built["model"])
        sampler = BatchSampler(
            [u.duration for u in splits["train"]],
            self.plain["max_batch_seconds"],
            accumulation=self.plain["grad_accumulation_factor"],
            seed=self.plain["seed"],
            rank=distributed.rank(),
            world_size=distributed.world_size(),
        )
        self.checkpointer.add_recoverable("model", built["model"])
        brain = self.kind(
            built["modules"],
            built["opt_class"],
            built,
            self.run_opts,
            self.checkpointer,
            progress=Progress(self.plain["number_of_epochs"], self.plain["early_stopping_patience"]),
            sampler=sampler,
            **arguments,
        )
        if built["pessl"] is not None:
            acoustic = brain.modules.model.acoustic
            targets = Targets(self.plain, splits["train"], root, self.save, acoustic.features, brain.device)
            brain.masker = Masker(targets.clusters(self.pretrained), acoustic, self.plain["seed"])
        return brain

    def _fit_statistics(self, acoustic, train, root):
        """What the acoustic model wants to know of the training's sound, such as the features' mean; once per result
        folder.

        It is that of the pre-training run where there is one (see `PretrainedRun`), else that of a seeded sample of
        train.
        """
        file = self.save / "statistics.pt"

        def fit():
            if self.pretrained is not None:
                acoustic.set_statistics(self.pretrained.statistics(acoustic))
            else:
                generator = torch.Generator().manual_seed(self.plain["seed"])
                chosen = torch.randperm(len(train), generator=generator)[:STATISTICS_UTTERANCES]
                batches = loader_of([train[i] for i in chosen], root)
                acoustic.fit_statistics((batch.wavs, batch.wav_lengths) for batch in batches)
            with replacing(file) as path:
                torch.save(acoustic.statistics, path)

        if acoustic.statistics:
            distributed.main_first(lambda: None if file.is_file() else fit())
            acoustic.set_statistics(torch.load(file, weights_only=True))

    def _take_weights(self, model):
        """Start from the pre-trained weights, unless they only teach; say what was taken."""
        if self.pretrained is None:
            return
        teaches = self.pretrained.teaches(self.plain["iteration"])
        taken = None if teaches else self.pretrained.load_into(model)
        if distributed.is_main():
            print(taken or f"targets from the encoder in {self.pretrained.folder}; the weights start anew")
            about = {**self.pretrained.summary, "gave": "targets" if teaches else "weights"}
            with replacing(self.save / PRETRAINED) as path:
                path.write_text(json.dumps(about, indent=1), encoding="utf-8")

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
            make_loader(Utterances(splits["train"], root, brain.encode), brain.train_sampler, workers),
            make_loader(Utterances(splits["dev"], root, brain.encode), dev, workers),
        )

    def _average(self, brain):
        """Load the mean of the best checkpoints' weights, and write it as the model to be used."""
        best = brain.checkpointer.find_checkpoints(
            min_key="error", max_num_checkpoints=self.plain["checkpoints_to_average"]
        )
        if not best:
            raise UserError(f"{self.save} holds no checkpoint of a finished epoch to evaluate")
        model = brain.modules["model"]
        model.load_state_dict(average_checkpoints(best, "model", _saved))
        kept = _saved(best[0].paramfiles["model"])  # a mean of equal statistics need not be equal
        model.load_state_dict({name: kept[name] for name, _ in model.named_buffers() if name in kept}, strict=False)
        if distributed.is_main():
            tensors = nn.ModuleDict({"model": model}).state_dict()
            with replacing(self.folder / WEIGHTS) as path:
                save_file({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, path)

    # --- results --------------------------------------------------------------------------------------------------

    def _report(self, brain, measures, seconds, prepared):
        """Write result.json and print its table."""
        if not distributed.is_main():
            return {}
        audio = 3600 * sum(s["hours"] for name, s in prepared.summary["splits"].items() if name != "train")
        more = {"evaluated_audio": round(audio, 1), **measures.pop("seconds", {})}
        about = {
            **{key: self.plain[key] for key in ("dataset", "experiment", "seed")},
            **measures,
            "pretrained": self._read_pretrained(),
            "data": prepared.summary,
        }
        result = self._write_result(brain, about, {"evaluation": round(seconds, 1), **more})
        if "results" in result:
            write_card(self.folder)
        return result

    def _write_result(self, brain, about, seconds):
        """Write and print ``about`` this run, what any training tells, and the ``seconds`` of other work."""
        result = {
            **about,
            "parameters": parameters(brain.modules.model),
            "epochs": brain.progress.epoch,
            "history": brain.progress.history,
            "steps": brain.optimizer_step,
            "seconds": {
                "training": round(brain.progress.seconds, 1),
                "training_cpu": round(brain.progress.cpu_seconds, 1),
                **seconds,
            },
            **self.provenance,
            "device": device_name(brain.device),
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_result(self.folder / "result.json", result)
        print(brain.table(result))
        print(f"results: {self.folder}\nTensorBoard: tensorboard --logdir {self.folder / 'tensorboard'}")
        return result

    def _read_pretrained(self):
        """What this run started from, None for one that did not."""
        path = self.save / PRETRAINED
        return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _saved(path, map_location="cpu"):
    return torch.load(path, map_location, weights_only=True)
