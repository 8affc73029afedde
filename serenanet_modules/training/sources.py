"""What a task reads: speech of a recipe's corpora, or text. An experiment asks both the same and knows neither.

All processes ask a source in this order: `check` of what is named, `look` at its texts, the long `prepare`, ``splits``.
"""

import random
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np

from serenanet_modules.data import corpora
from serenanet_modules.data.asked import candidates
from serenanet_modules.data.batching import BatchSampler, Utterances, make_loader, read_seconds
from serenanet_modules.data.listed import Listed
from serenanet_modules.data.manifest import SPLITS, read_manifest, role
from serenanet_modules.data.preparation import Part, prepare
from serenanet_modules.data.sentences import Sentences, fingerprint, read_sentences
from serenanet_modules.data.sifting import Settings, spoken, trainable, written
from serenanet_modules.data.text import normaliser
from serenanet_modules.errors import UserError
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.bars import Bar


def preparation_of(task, plain):
    """The `Settings` by which a task's training prepares its data.

    Parameters
    ----------
    task : type
        A `Task`.
    plain : dict
        Hyper-parameters.
    """
    rules = {name: value for name, value in plain["preparation"].items() if name != "jobs"}
    named = task.style(plain).named
    return Settings(**rules, phonemes=task.needs_phonemes(plain), needs_text=task.needs_text, **named)


class Source:
    """What both share.

    Parameters
    ----------
    task : type
        A `Task`.
    recipe : Recipe
    plain : dict
    where : Path
        The file that errors name.
    save : Path
        Folder of what the run keeps for itself.

    Attributes
    ----------
    chooses : str
        The split that chooses checkpoints.
    budget : str
        The key that bounds a micro-batch.
    items : str
        What its rows are called.
    learned : object or None
        What `Task.learn` made of the training texts, on the main process once `look` is done.
    """

    chooses = "dev"
    budget = "max_batch_seconds"
    items = "utterances"

    def __init__(self, task, recipe, plain, where, save):
        self.task, self.recipe, self.plain, self.where, self.save = task, recipe, plain, where, Path(save)
        self.learned = None

    def sampler(self, rows, **options):
        """The `BatchSampler` of this process."""
        processes = {"rank": distributed.rank(), "world_size": distributed.world_size()}
        options["max_utterances"] = self.plain.get("max_batch_utterances")
        return BatchSampler(self.sizes(rows), self.at_once(options.get("shuffle", True)), **processes, **options)

    def at_once(self, trains):
        """What ``budget`` bounds, in a batch that trains and in one that does not."""
        return self.plain[self.budget]

    def loader(self, rows, sampler, encode=None):
        """Batches of rows as a sampler plans them."""
        return make_loader(self.dataset(rows, encode), sampler, self.plain["num_workers"])


class Speech(Source):
    """Utterances of the corpora that ``data_folder`` names, in the recipe's layout or others that all recipes read."""

    def check(self):
        """Refuse a corpus that is not there."""
        corpora.entries(self.plain["data_folder"])

    def look(self):
        """Read the corpus's lists and let the task learn what its outputs stand for."""
        distributed.main_first(self._look)

    def _look(self):
        found = self.recipe.candidates(self.plain, self.task.needs_text)
        weight = self.plain.get("pseudo_weight", 1.0)
        self._candidates = [replace(c, weight=weight * c.weight) if c.labelled_by else c for c in found]
        for split in {"train", "dev"} - {role(c.split) for c in self._candidates}:
            raise UserError(
                f"{self.plain['data_folder']}: the list of {split} is empty; a training needs train and dev"
            )
        train = trainable(self._candidates, self._settings)
        say = spoken if self.task.needs_phonemes(self.plain) else written
        texts = say(train, self._settings.style)
        locales = [c.locale for c in train]
        self.learned = self.task.learn(self.plain, self.where, texts, self.save, locales)

    def prepare(self):
        """Decode and sift the corpus; returns a key of the result."""
        self._prepared = distributed.main_first(self._prepare, Part.hear)
        return self.root.name

    @property
    def _settings(self):
        return preparation_of(self.task, self.plain)

    def _prepare(self, share):
        candidates, self._candidates = self._candidates, None  # which a large corpus has many of
        jobs, pack = self.plain["preparation"]["jobs"], self.plain.get("pack", False)
        folder = self.plain["prepared_folder"]
        return prepare(candidates, folder, self._settings, jobs, pack=pack, share=share)

    @property
    def root(self):
        """Folder that the utterances' paths start from."""
        return self._prepared.folder

    @cached_property
    def splits(self):
        """Utterances by role: train, dev, test; the mean of train's weights is made 1."""
        rows = Listed(self._prepared.manifest)
        train, *others = (rows.of(name) for name in SPLITS)
        return dict(zip(SPLITS, (train.of_mean_weight_one(), *map(list, others)), strict=True))

    def about(self):
        """Entries of result.json."""
        return {"data": self._prepared.summary}

    @property
    def evaluated_seconds(self):
        """Of audio in dev and test."""
        splits = self._prepared.summary["splits"]
        return 3600 * sum(split["hours"] for name, split in splits.items() if name != "train")

    @classmethod
    def other(cls, task, plain, save, asked, folder):
        """(root, splits) of other data than the training's, prepared in ``folder``, asked for as in `measured`."""
        locale = asked.pop("locale") or task.locale(plain)
        found = candidates(**asked, locale=locale, needs_text=task.needs_text)
        settings = Settings(phonemes=task.needs_phonemes(plain), needs_text=task.needs_text)
        prepared = prepare(found, folder, settings, progress=False)
        return prepared.folder, {"train": [], "dev": [], "test": read_manifest(prepared.manifest)}

    @staticmethod
    def sizes(rows):
        """Seconds of each utterance."""
        return rows.durations if isinstance(rows, Listed) else [u.duration for u in rows]

    def at_once(self, trains):
        """Seconds, more where no gradient is kept."""
        seconds = super().at_once(trains)
        return seconds if trains else read_seconds(seconds)

    def dataset(self, rows, encode=None):
        """Waveforms and labels."""
        return Utterances(rows, self.root, encode)


class Text(Source):
    """Sentences of text files as labels: those of ``text``, or else what the recipe finds in ``data_folder``."""

    chooses = "held_out"
    budget = "max_batch_labels"
    items = "sentences"
    evaluated_seconds = 0.0

    def check(self):
        """Refuse text that is not there, and a share that leaves nothing to train on."""
        if self.plain["held_out_share"] >= 1:
            raise UserError(
                f"{self.where}: 'held_out_share' must be between 0 and 1, not {self.plain['held_out_share']}"
            )
        self.files, self.held_out = self._text_files(), _files(self.plain["held_out"])

    def _text_files(self):
        if self.plain["text"] is not None:
            return _files(self.plain["text"])
        if self.plain["data_folder"] is None:
            raise UserError("give the text: --text FILE, or --data_folder with a corpus that the recipe knows")
        return self.recipe.texts(self.plain["data_folder"])

    def look(self):
        """Let the task learn what its outputs stand for."""
        lines = (line for line in self._lines(self.files) if line)
        self.learned = distributed.main_first(lambda: self.task.learn(self.plain, self.where, lines, self.save))

    def prepare(self):
        """A key of the text and of how sentences are chosen from it."""
        settings = [self.plain[key] for key in ("held_out_share", "max_sentences", "max_labels", "seed")]
        return fingerprint([*self.files, *self.held_out], *settings)

    @property
    def root(self):
        """Folder of the encoded sentences."""
        return self.save

    @cached_property
    def splits(self):
        """`Sentences` of train and held_out, encoded once per result folder: every process asks for them."""
        distributed.main_first(self._encode_all)
        return {name: Sentences.load(self.save / f"{name}.npz") for name in ("train", "held_out")}

    def _encode_all(self):
        """train.npz and held_out.npz."""
        if (self.save / "held_out.npz").is_file():
            return
        encode = self.task.encoder(self.save)
        rng, lines = random.Random(self.plain["seed"]), [line for line in self._lines(self.files) if line]
        if self.held_out:
            held_out = list(self._lines(self.held_out))
        else:
            chosen = set(rng.sample(range(len(lines)), round(self.plain["held_out_share"] * len(lines))))
            held_out = [lines[i] for i in sorted(chosen)]
            lines = [line for i, line in enumerate(lines) if i not in chosen]
        limit = self.plain["max_sentences"]
        if limit is not None and limit < len(lines):
            lines = rng.sample(lines, limit)
        for name, rows in (("train", lines), ("held_out", held_out)):
            self._encode(name, rows, encode)

    def _lines(self, files):
        normalise = normaliser(self.task.locale(self.plain), self.task.style(self.plain))
        return (normalise(line) for line in read_sentences(files))

    def _encode(self, name, rows, encode):
        kept, words = [], 0
        for row in Bar(rows, desc=f"{name}: units"):
            labels = encode(row)
            if 0 < len(labels) <= self.plain["max_labels"]:
                kept.append(np.array(labels, dtype=np.uint16))
                words += len(row.split())
        if not kept:
            raise UserError(f"the text gives no sentence for {name}; give more of it, or another --held_out")
        Sentences.of(kept, words).save(self.save / f"{name}.npz")

    def about(self):
        """Entries of result.json."""
        return {"text": [str(file) for file in self.files]}

    @classmethod
    def other(cls, task, plain, save, asked, folder):
        """(root, splits) of another text than the training's: all its sentences, in ``held_out``."""
        source = cls(task, None, plain | {"text": None, "held_out": asked["data"]}, asked["data"], folder)
        source.held_out = _files(asked["data"])
        source._encode("held_out", source._lines(source.held_out), task.encoder(save))
        return folder, {"held_out": Sentences.load(Path(folder) / "held_out.npz")}

    @staticmethod
    def sizes(rows):
        """Labels of each sentence, its end included."""
        return (rows.lengths + 1).tolist()

    def dataset(self, rows, encode=None):
        """The sentences, whose labels are there already."""
        return rows


def _files(value):
    """Paths of the one or several text files that a setting names."""
    names = [] if value is None else value if isinstance(value, list) else [value]
    for name in names:
        if not Path(name).is_file():
            raise UserError(f"there is no text file {name}")
    return [Path(name) for name in names]
