"""One experiment: prepare, build, fit, choose weights, evaluate. A recipe's train.py calls `main`.

What is special about a task (its data, units, losses, evaluation and report) is its Brain's, which the hyper-parameter
``brain`` names.
"""

import inspect
import logging
import math
import os
import sys
import time
from pathlib import Path

import serenanet_modules.runtime.light  # noqa: F401  before anything else imports SpeechBrain

# isort: split
import speechbrain as sb
import torch
from torch import nn

from serenanet_modules.config.settings import check_machine, check_parts, check_values, help_text, read_command_line
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.errors import Fault, UserError
from serenanet_modules.runs.folder import claim, sole_owner
from serenanet_modules.runs.results import parameter_table, parameters, weights_told
from serenanet_modules.runs.whole import WEIGHTS, renew, seal
from serenanet_modules.runtime import bars, distributed
from serenanet_modules.runtime.ending import REFUSED, status_of
from serenanet_modules.runtime.faults import in_a_sentence
from serenanet_modules.runtime.files import write_json, write_tensors
from serenanet_modules.runtime.lifeline import ending_together
from serenanet_modules.runtime.provenance import device_name, environment, provenance
from serenanet_modules.runtime.reproducible import refuse_repdl, reproducible
from serenanet_modules.runtime.threads import share_cores
from serenanet_modules.training.averaging import choose
from serenanet_modules.training.checkpoints import AtomicCheckpointer
from serenanet_modules.training.groups import Frozen, Weights, groups, parts_to_freeze, rate_factors
from serenanet_modules.training.loop import RecipeBrain
from serenanet_modules.training.low_rank import LowRank, check_low_rank
from serenanet_modules.training.progress import Progress
from serenanet_modules.training.screen import next_steps, own_words_only
from serenanet_modules.training.writers import check as check_writers

logger = logging.getLogger(__name__)


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
    folder = Path(train_file).parent

    def work():
        if not argv or {"-h", "--help"}.intersection(argv):
            print(help_text(Recipe(folder), os.path.relpath(train_file)))
            return 0 if argv else REFUSED
        experiment = Experiment.from_command_line(folder, argv)
        if result := experiment.run():
            print(next_steps(experiment.folder, experiment.task.recognises, experiment.task.in_words(result)))
        return 0

    try:
        sys.exit(status_of(work, lambda error: distributed.is_main() or isinstance(error, Fault)))
    finally:
        distributed.stop()


class Experiment:
    """Data, model and result folder of one run.

    Parameters
    ----------
    recipe : Recipe
    hparams : Hparams
    run_opts : RunOptions
    """

    def __init__(self, recipe, hparams, run_opts):
        self.recipe, self.hparams, self.run_opts = recipe, hparams, run_opts
        self.began = time.monotonic()
        self.plain = hparams.plain()
        self.folder = Path(self.plain["output_folder"])
        self.save = self.folder / "save"

    @classmethod
    def from_command_line(cls, recipe, argv):
        """Parse ``FILE [FILE …] [--key value …]``."""
        recipe = Recipe(recipe)
        hparams, _, options = read_command_line(recipe, argv)
        check_values(hparams.plain(), hparams.source)
        return cls(recipe, hparams, sb.parse_arguments([str(hparams.source), *options])[1])

    def run(self):
        """Do all of it; what an earlier run with the same result folder finished is not done again.

        Returns
        -------
        dict
            The content of result.json on the main process, {} on the others.
        """
        if self.run_opts.noprogressbar:
            bars.turn_off()
        self.run_opts = distributed.start(distributed.with_options(self.run_opts, noprogressbar=not bars.shown()))
        share_cores(distributed.local_world_size())
        with reproducible(self.plain.get("reproducible", False)):
            return self._run()

    def _run(self):
        self.provenance = provenance()
        self._check()
        with ending_together(), in_a_sentence(self.folder), sole_owner(self.folder):
            brain, source = self._ready()
            dev = self._fit(brain, source)
            self.weights_from = self._choose_weights(brain, dev)
            start = time.monotonic()
            measures = brain.evaluate_splits(source.root, source.splits, self.folder)
            result = self._report(brain, measures, time.monotonic() - start, source)
            distributed.barrier()  # no process leaves the group while another still uses it
            return result

    def _check(self):
        """Refuse settings that cannot be, before anything is read."""
        where = self.hparams.source
        check_values(self.plain, where)
        check_parts(self.hparams, where)
        check_machine(self.plain, str(self.run_opts.device or ""), where)
        check_writers(self.plain, where)
        self.task = self.hparams.only(("brain",)).build()["brain"]
        if not (inspect.isclass(self.task) and issubclass(self.task, RecipeBrain)):
            raise UserError(f"{where}: 'brain' must be !name: and a class of serenanet_modules.training.brains")
        self.task.check(self.plain, where)
        for key, arguments in distributed.main_first(lambda: self.task.settle(self.hparams, self.save)).items():
            self.hparams.fill(key, arguments)
        self.plain = self.hparams.plain()
        self.source = self.task.reads(self.task, self.recipe, self.plain, where, self.save)
        self.source.check()

    # --- what training needs --------------------------------------------------------------------------------------

    def _ready(self):
        """The Brain and its prepared source."""
        source, self.checkpointer = self.source, AtomicCheckpointer(self.save)
        source.look()
        outputs = distributed.main_first(self._outputs)
        built = self._build(outputs)
        start = self.task.start(self.plain, self.hparams, built, outputs, self.checkpointer.has_sound)
        key = source.prepare()
        distributed.main_first(lambda: self._claim(key, outputs))
        return self._brain(built, source, start, outputs), source

    def _outputs(self):
        return self.task.outputs(self.plain, self.hparams.source, self.save, self.source.learned)

    def _build(self, outputs):
        """All objects of the file, which refuses wrong classes and arguments before the long work."""
        for name, value in outputs.sizes.items():
            self.hparams.set(name, value)
        torch.manual_seed(self.plain["seed"])
        built = self.hparams.build()
        model, levels = built["model"], self.task.levels(built["model"])
        if self.plain.get("reproducible") == "repdl":
            refuse_repdl(model)
        self.frozen = Frozen(parts_to_freeze(model, self.plain["freeze"], levels), self.plain["unfreeze_after"])
        groups(nn.ModuleDict(built["modules"]), rate_factors(model, self.plain, levels))
        check_low_rank(model, self.plain.get("lora"))
        return built

    def _claim(self, key, outputs):
        """Make the result folder this run's, before anything that follows from its settings is written there."""
        claim(self.folder, self.task.published(self.hparams), key)
        self.task.keep(outputs, self.save)

    def _brain(self, built, source, start, outputs):
        """Give the network what it begins with, and open the result folder."""
        with own_words_only():
            sb.core.create_experiment_directory(str(self.folder), save_env_desc=False)  # which asks pip and git
        if distributed.is_main():
            (self.folder / "env.log").write_text(environment(), encoding="utf-8")
        self.task.begin(built, source, start, self.plain, self.save)
        model = built["model"]
        self.low_rank = LowRank(model, self.plain.get("lora"), self.frozen, self.plain["seed"])
        if distributed.is_main():
            print(parameter_table(model, self.frozen.later))
        factors = rate_factors(model, self.plain, self.task.levels(model), self.task.loaded(model, self.save))
        self.weights = Weights(model, self.frozen, self.task.elsewhere(model))
        self.weights.keep(self.save / "frozen.safetensors")
        self.weights.add_to(self.checkpointer, "model")
        train, accumulation = source.splits["train"], self.plain["grad_accumulation_factor"]
        brain = self.task(
            built["modules"],
            built["opt_class"],
            built,
            self.run_opts,
            self.checkpointer,
            progress=Progress(self.plain["number_of_epochs"], self.plain["early_stopping_patience"]),
            sampler=source.sampler(
                train,
                accumulation=accumulation,
                seed=self.plain["seed"],
                validate_every=self.plain.get("validate_every"),
            ),
            frozen=self.frozen,
            factors=factors,
            until=self.began + 3600 * (self.plain.get("max_hours") or math.inf),
            **outputs.arguments,
        )
        brain.ready(source.root, source.splits, start)
        if brain.lowered.about():
            logger.info("%s", brain.lowered)
        return brain

    def _fit(self, brain, source):
        """Train; returns the loader of dev."""
        train, dev = source.splits["train"], source.splits[source.chooses]
        dev = source.loader(dev, source.sampler(dev, shuffle=False), brain.encode)
        brain.fit(source.loader(train, brain.train_sampler, brain.encode), dev)
        return dev

    def _choose_weights(self, brain, dev):
        """Load the weights that are the training's result, and write them as the model to be used; see `choose`."""
        best = brain.checkpointer.find_checkpoints(
            min_key="error", max_num_checkpoints=self.plain["checkpoints_to_average"]
        )
        if not best and brain.out_of_time:  # inside the first epoch
            best = brain.checkpointer.list_checkpoints()[:1]
        if not best:
            raise UserError(f"{self.save} holds no checkpoint of a finished epoch to evaluate")
        found = choose(best, self.weights, brain.selects, lambda: brain.error_on(dev))
        if distributed.is_main():
            logger.info("weights: %s", weights_told(found))
        self.low_rank.merge()
        self._mix(brain.modules.model)
        if distributed.is_main():
            elsewhere, tensors = self.task.elsewhere(brain.modules.model), brain.modules.model.state_dict()
            held = {f"model.{name}": tensor for name, tensor in tensors.items() if name not in elsewhere}
            write_tensors(self.folder / WEIGHTS, held)
            renew(self.folder, WEIGHTS)
        return found

    @torch.no_grad()
    def _mix(self, model):
        """Bring the weights back towards those that were loaded, as far as ``pretrained_share`` says.

        So a model that learns something new keeps more of what it could before: Wortsman et al., "Robust fine-tuning
        of zero-shot models", CVPR 2022.
        """
        share, own = self.plain.get("pretrained_share", 0.0), model.state_dict()
        for name, tensor in (self.task.loaded_tensors(self.plain, self.save) if share else {}).items():
            if own[name].is_floating_point():
                own[name].lerp_(tensor.to(own[name]), share)

    # --- results --------------------------------------------------------------------------------------------------

    def _report(self, brain, measures, seconds, source):
        """Write result.json and what else ends a run, and print the table."""
        if not distributed.is_main():
            return {}
        more = measures.pop("seconds", {})
        result = {
            **{key: self.plain[key] for key in ("dataset", "experiment", "seed")},
            **measures,
            **self.task.about(self.plain, self.save),
            **source.about(),
            "parameters": parameters(brain.modules.model),
            "trained_parameters": brain.trained_parameters,
            "epochs": brain.progress.epoch,
            "weights": self.weights_from,
            "history": brain.progress.history,
            "steps": brain.optimizer_step,
            "ended_by": "max_hours" if brain.out_of_time else brain.progress.ended_by,
            "processes": distributed.world_size(),
            "sharding": brain.sharing.name,
            "compiled": self.plain.get("compile", False),
            "seconds": {
                "training": round(brain.progress.seconds, 1),
                "training_cpu": round(brain.progress.cpu_seconds, 1),
                "evaluation": round(seconds, 1),
                "evaluated_audio": round(source.evaluated_seconds, 1),
                **more,
            },
            **self.provenance,
            "device": device_name(brain.device),
            "reproducible": self.plain.get("reproducible", False),
            "precision": {
                "training": self.plain["precision"],
                "evaluation": self.plain["eval_precision"],
                **brain.lowered.about(),
            },
            "finished": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        write_json(self.folder / "result.json", result)
        self.task.finish(self.folder)
        seal(self.folder)
        print(brain.table(result))
        self._by_language()
        return result

    def _by_language(self):
        """Print and write error rates by language, of a recipe of many."""
        if self.recipe.languages is None or not self.task.recognises:
            return
        from serenanet_modules.analysis.languages import write  # brings matplotlib, which a training does without

        if told := write(self.folder, self.recipe.languages, self.folder):
            print(told)
