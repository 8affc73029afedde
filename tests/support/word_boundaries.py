"""A task of one's own, text in and labels out: which characters of a text without spaces begin a word.

Nothing of the package knows it: this module stands for one in training/brains/, and `word_boundary_lobe` for one in
lobes/.
"""

import torch
from torch.nn import functional
from tqdm import tqdm

from serenanet_modules.data.batching import BatchSampler, make_loader
from serenanet_modules.data.units import train_units
from serenanet_modules.lobes.blocks.lengths import valid_mask
from serenanet_modules.training.brains.units import UnitsBrain
from serenanet_modules.training.sources import Text


class WordBoundaryBrain(UnitsBrain):
    """Trains a `WordBoundaries` model on text files; characters are its units."""

    reads = Text

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._counts = torch.zeros(2)  # wrong characters of dev, and all

    @classmethod
    def locale(cls, plain):
        return "sw"

    @classmethod
    def learn(cls, plain, where, texts, save, locales=()):
        return None if cls.kept(save) else train_units("char", texts, None)

    def _split(self, batch):
        """Characters (B, U), whether each begins a word (B, U), and lengths (B,)."""
        rows, space = [], self.units.pieces.index(self.units.boundary)
        for labels, length in zip(batch.labels, batch.label_lengths, strict=True):
            labels = labels[:length]
            begins = functional.pad(labels == space, (1, 0))[:-1]
            rows.append(torch.stack([labels, begins.long()])[:, labels != space])
        lengths = torch.tensor([row.shape[1] for row in rows])
        padded = torch.nn.utils.rnn.pad_sequence([row.T for row in rows], batch_first=True)
        return padded[..., 0], padded[..., 1], lengths

    def compute_forward(self, batch, stage):
        characters, begins, lengths = self._split(batch)
        return self.modules.model(characters, lengths), begins, lengths

    def compute_objectives(self, outputs, batch, stage):
        logits, begins, lengths = outputs
        losses = functional.cross_entropy(logits.transpose(1, 2), begins, reduction="none")
        return {"loss": losses[valid_mask(lengths, begins.shape[1])].mean()}

    def validate_batch(self, outputs, batch):
        if batch.plan.weight:
            logits, begins, lengths = outputs
            valid = valid_mask(lengths, begins.shape[1])
            self._counts += torch.stack([((logits.argmax(-1) != begins) & valid).sum(), valid.sum()])

    def dev_errors(self):
        wrong, total = self._counts.tolist()
        self._counts = torch.zeros(2)
        return {"boundary_error": 100 * wrong / total}

    def evaluate_splits(self, root, splits, folder):
        rows = splits["held_out"]
        sampler = BatchSampler(Text.sizes(rows), self.hparams.max_batch_labels, shuffle=False)
        self.modules.eval()
        with torch.no_grad():
            for batch in tqdm(make_loader(rows, sampler), disable=True):
                self.validate_batch(self.compute_forward(batch, None), batch)
        return {"boundaries": {"held_out": round(self.dev_errors()["boundary_error"], 4)}}

    @staticmethod
    def table(result):
        return "\n".join(f"{name} {error:.4f} % of characters" for name, error in result["boundaries"].items())
