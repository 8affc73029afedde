"""One experiment on text alone: a language model over the units of a trained recogniser."""

import itertools
import random
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import speechbrain as sb
import torch
from tqdm import tqdm

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.settings import check_machine, check_values, split_arguments
from serenanet_modules.data.batching import BatchSampler, make_loader
from serenanet_modules.data.sentences import Sentences, fingerprint, read_sentences
from serenanet_modules.data.text import normaliser
from serenanet_modules.data.units import load_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.folder import claim
from serenanet_modules.runs.results import parameter_table
from serenanet_modules.runtime import distributed
from serenanet_modules.training.checkpoints import AtomicCheckpointer
from serenanet_modules.training.experiment import Experiment, conclude
from serenanet_modules.training.progress import Progress

CORPUS = "librispeech-lm-norm.txt"  # LibriSpeech's, also .gz


def main(argv=None):
    """Train a language model; ends the process with a status.

    Parameters
    ----------
    argv : list of str, optional
        Hyper-parameter file, then ``--key value`` pairs and SpeechBrain's run options; ``--text`` takes several files.
    """
    conclude(lambda: TextExperiment.from_command_line(argv or sys.argv[1:]))


class TextExperiment(Experiment):
    """Text, units, model and result folder of one run; parameters as in `Experiment`, without a recipe."""

    @classmethod
    def from_command_line(cls, argv):
        """Parse ``FILE [FILE …] [--key value …]``."""
        files = [*itertools.takewhile(lambda word: not word.startswith("-"), argv)]
        if not files:
            raise UserError("give a hyper-parameter file first, such as hparams/transformer_lm.yaml")
        hparams = Hparams.load(files)
        overrides, options = split_arguments(argv[len(files) :], hparams)
        hparams.override(overrides)
        return cls(None, hparams, sb.parse_arguments([files[-1], *options])[1])

    # --- before any long work -------------------------------------------------------------------------------------

    def _check(self):
        plain, where = self.plain, self.hparams.source
        check_values(plain, where)
        check_machine(plain, str(self.run_opts.device or ""), where)
        if not 0 < plain["held_out_share"] < 1:
            raise UserError(f"{where}: 'held_out_share' must be between 0 and 1, not {plain['held_out_share']}")
        for key in ("max_labels", "max_batch_labels"):
            if plain[key] < 1:
                raise UserError(f"{where}: '{key}' must be at least 1, not {plain[key]}")
        acoustic = Path(plain["acoustic"])
        if not (acoustic / "save/units/units.json").is_file():
            raise UserError(f"acoustic: {acoustic} is not the result folder of a recogniser: save/units is missing")
        self.units = load_units(acoustic / "save" / "units")
        if self.units.kind == "phoneme":
            raise UserError(f"acoustic: {acoustic} has phoneme units; a language model of text needs others")
        self.locale = Document.of_run(acoustic).plain()["locale"]
        self.files, self.held_out = self._text_files(), _files(plain["held_out"])
        self.hparams.set("n_units", self.units.size)
        self.kind = self.hparams.build()["brain"]
        return {"model": None}

    def _text_files(self):
        if self.plain["text"] is not None:
            return _files(self.plain["text"])
        folder = self.plain["data_folder"]
        if folder is None:
            raise UserError("give the text: --text FILE, or --data_folder with LibriSpeech's language model corpus")
        found = [path for name in (CORPUS, f"{CORPUS}.gz") if (path := Path(folder) / name).is_file()]
        if not found:
            raise UserError(f"data_folder: {folder} has neither {CORPUS} nor {CORPUS}.gz; or give --text FILE")
        return found[:1]

    # --- data -----------------------------------------------------------------------------------------------------

    def _ready(self, model):
        """The Brain, what is known of the data, and the sentences of train and held_out."""
        self.checkpointer, self.pretrained = AtomicCheckpointer(self.save), None
        settings = [self.plain[key] for key in ("held_out_share", "max_sentences", "max_labels", "seed")]
        key = fingerprint([*self.files, *self.held_out], *settings, *self.units.pieces)
        distributed.main_first(self._encode_all)
        distributed.main_first(lambda: claim(self.folder, self.hparams, key))
        splits = {name: Sentences.load(self.save / f"{name}.npz") for name in ("train", "held_out")}
        return self._brain(splits["train"]), _Text(self.save, [str(f) for f in self.files]), splits

    def _encode_all(self):
        """train.npz and held_out.npz, once per result folder."""
        if (self.save / "held_out.npz").is_file():
            return
        shutil.copytree(Path(self.plain["acoustic"]) / "save" / "units", self.save / "units", dirs_exist_ok=True)
        rng, share = random.Random(self.plain["seed"]), self.plain["held_out_share"]
        lines = [normalised for line in read_sentences(self.files) if (normalised := normaliser(self.locale)(line))]
        if self.held_out:
            held_out = [normaliser(self.locale)(line) for line in read_sentences(self.held_out)]
        else:
            chosen = set(rng.sample(range(len(lines)), round(share * len(lines))))
            held_out = [lines[i] for i in sorted(chosen)]
            lines = [line for i, line in enumerate(lines) if i not in chosen]
        limit = self.plain["max_sentences"]
        if limit is not None and limit < len(lines):
            lines = rng.sample(lines, limit)
        for name, rows in (("train", lines), ("held_out", held_out)):
            self._encode(name, rows)

    def _encode(self, name, rows):
        kept, words = [], 0
        for row in tqdm(rows, desc=f"{name}: units"):
            labels = self.units.encode(row)
            if 0 < len(labels) <= self.plain["max_labels"]:
                kept.append(np.array(labels, dtype=np.uint16))
                words += len(row.split())
        if not kept:
            raise UserError(f"the text gives no sentence for {name}; give more of it, or another --held_out")
        Sentences.of(kept, words).save(self.save / f"{name}.npz")

    def _brain(self, train):
        sb.core.create_experiment_directory(str(self.folder))
        torch.manual_seed(self.plain["seed"])
        built = self.hparams.build()
        if distributed.is_main():
            print(parameter_table(built["model"]))
        self.checkpointer.add_recoverable("model", built["model"])
        return self.kind(
            built["modules"],
            built["opt_class"],
            built,
            self.run_opts,
            self.checkpointer,
            progress=Progress(self.plain["number_of_epochs"], self.plain["early_stopping_patience"]),
            sampler=self._sampler(train, self.plain["grad_accumulation_factor"]),
            mean_length=float(train.lengths.mean() + 1),
        )

    def _sampler(self, sentences, accumulation=1, **options):
        return BatchSampler(
            (sentences.lengths + 1).tolist(),
            self.plain["max_batch_labels"],
            accumulation=accumulation,
            seed=self.plain["seed"],
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            **options,
        )

    def _fit(self, brain, splits, root):
        workers = self.plain["num_workers"]
        brain.fit(
            make_loader(splits["train"], brain.train_sampler, workers),
            make_loader(splits["held_out"], self._sampler(splits["held_out"], shuffle=False), workers),
        )

    # --- results --------------------------------------------------------------------------------------------------

    def _report(self, brain, measures, seconds, prepared):
        """Write result.json and print its table."""
        if not distributed.is_main():
            return {}
        about = {
            **{key: self.plain[key] for key in ("experiment", "seed", "acoustic")},
            **measures,
            "units": {"kind": self.units.kind, "size": self.units.size},
            "text": prepared.files,
        }
        return self._write_result(brain, about, {"evaluation": round(seconds, 1)})


class _Text(NamedTuple):
    """Where the sentences are, and what they were made of."""

    folder: Path
    files: list[str]


def _files(value):
    """Paths of the one or several text files that a setting names."""
    names = [] if value is None else value if isinstance(value, list) else [value]
    for name in names:
        if not Path(name).is_file():
            raise UserError(f"there is no text file {name}")
    return [Path(name) for name in names]
