"""Training of a language model of a recogniser's units, on text alone."""

import math
from functools import cached_property
from pathlib import Path

import torch

from serenanet_modules.config.foreign import Document
from serenanet_modules.data.batching import BatchSampler, make_loader
from serenanet_modules.data.text import Style
from serenanet_modules.data.units import load_units
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.decoders.attention_decoder import with_border
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.training.brains.units import UnitsBrain
from serenanet_modules.training.label_loss import label_loss
from serenanet_modules.training.sources import Text


class LanguageModelBrain(UnitsBrain):
    """Trains a `LabelLM`; parameters as in `UnitsBrain`.

    The loss is per label of the whole training, so that each label of a long or a short sentence weighs the same.
    """

    reads = Text

    @classmethod
    def check(cls, plain, where):
        """Refuse an acoustic model without units of text."""
        super().check(plain, where)
        folder = Path(plain["acoustic"])
        if not cls.kept(folder / "save"):
            raise UserError(f"acoustic: {folder} is not the result folder of a recogniser: save/units is missing")
        if load_units(folder / "save/units").phonemic:
            raise UserError(f"acoustic: {folder} has phoneme units; a language model of text needs others")

    @classmethod
    def locale(cls, plain):
        """The recogniser's."""
        return Document.of_run(plain["acoustic"]).plain()["locale"]

    @classmethod
    def style(cls, plain):
        """The recogniser's."""
        return Style.of(Document.of_run(plain["acoustic"]).plain())

    @classmethod
    def learn(cls, plain, where, texts, save, locales=()):
        """The recogniser's units."""
        return load_units(Path(plain["acoustic"]) / "save/units")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._sums = torch.zeros(2, dtype=torch.float64)  # of this process's held-out sentences: nats, labels

    @cached_property
    def mean_length(self):
        """Labels of a training sentence, the end included."""
        return float(self.train_sampler.durations.mean())

    def compute_forward(self, batch, stage):
        """Batch -> logits (B, U + 1, V)."""
        return self.modules.model(with_border(batch.labels))

    def compute_objectives(self, outputs, batch, stage):
        """``loss``, nats per label."""
        summed, _ = label_loss(outputs, batch.labels, batch.label_lengths)
        return {"loss": summed.mean() / self.mean_length}

    def validate_batch(self, outputs, batch):
        """Add up a held-out batch."""
        if batch.plan.weight:
            summed, _ = label_loss(outputs, batch.labels, batch.label_lengths)
            self._sums += torch.stack([summed.sum(), (batch.label_lengths + 1).sum()]).cpu()

    def dev_errors(self):
        """Perplexity per unit, sentence ends included, of the held-out sentences of all processes."""
        nats, labels = distributed.sum_(self._sums).tolist()
        self._sums = torch.zeros_like(self._sums)
        return {"perplexity": math.exp(min(nats / max(1, labels), 700))}

    def evaluate_splits(self, root, splits, folder):
        """Perplexity of the held-out sentences, ends counted as one unit and one word each."""
        return {
            "perplexity": {"held_out": self._measure(splits["held_out"])},
            "units": {"kind": self.units.kind, "size": self.units.size},
        }

    @classmethod
    def about(cls, plain, save):
        """Whose units it predicts."""
        return {"acoustic": plain["acoustic"]}

    def _measure(self, sentences):
        sampler = BatchSampler(
            (sentences.lengths + 1).tolist(),
            self.hparams.max_batch_labels,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            shuffle=False,
        )
        self.modules.eval()
        with torch.no_grad(), self.evaluation_ctx:
            for batch in Bar(make_loader(sentences, sampler), desc="perplexity", disable=not distributed.is_main()):
                self.validate_batch(self.modules.model(with_border(batch.to(self.device).labels)), batch)
        nats, labels = distributed.sum_(self._sums).tolist()
        self._sums = torch.zeros_like(self._sums)
        return {
            "per_unit": round(math.exp(nats / labels), 3),
            "per_word": round(math.exp(nats / (sentences.words + len(sentences))), 3),
            "sentences": len(sentences),
            "words": sentences.words,
            "units": int(labels) - len(sentences),
        }

    @staticmethod
    def table(result):
        """The perplexities, for people."""
        rows = [f"{'set':<10}{'sentences':>10}{'words':>10}{'ppl per unit':>14}{'ppl per word':>14}"]
        for name, p in result["perplexity"].items():
            rows.append(f"{name:<10}{p['sentences']:>10}{p['words']:>10}{p['per_unit']:>14.2f}{p['per_word']:>14.2f}")
        return "\n".join(rows)
