"""Self-supervised pre-training: masked prediction of clusters, no transcript needed."""

import random
from functools import partial

import torch
from speechbrain.core import Stage

from serenanet_modules.analysis.clusters import agreement, usage, write_clusters
from serenanet_modules.data.alignment import cepstra, spelling
from serenanet_modules.data.batching import BatchSampler, Utterances, make_loader, read_seconds
from serenanet_modules.data.manifest import by_set
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.acoustic import Conditions
from serenanet_modules.lobes.heads.clusters import middle
from serenanet_modules.runs.results import pretraining_table
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.bars import Bar
from serenanet_modules.training.brains.speech import HearsSpeech
from serenanet_modules.training.loop import RecipeBrain

MEASURED_UTTERANCES = 1000  # of each set, at most


class PESSLBrain(HearsSpeech, RecipeBrain):
    """Trains a `PretrainingModel`; parameters as in `RecipeBrain`.

    Dev is scored with masks that belong to its utterances: the same in each epoch, batch and process.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._counts = torch.zeros(2, dtype=torch.long)  # correct and hidden frames of dev in this process

    @classmethod
    def check(cls, plain, where):
        """Refuse a model without PESSL."""
        super().check(plain, where)
        if "pessl" in plain:  # which leaves objects out
            raise UserError(
                f"{where}: 'pessl' is null, but pre-training needs it; set it to !include:pretraining/pessl.yaml"
            )

    @classmethod
    def learn(cls, plain, where, texts, save, locales=()):
        """Refuse targets that need transcripts where there are none."""
        if plain["targets"] == "phoneme_seeded" and not any(texts):
            raise UserError(f"{where}: 'targets' phoneme_seeded needs transcripts, and no training utterance has one")

    def compute_forward(self, batch, stage):
        """Batch -> `AcousticOutput`; training adds speed perturbation and, where it is on, SpecAugment."""
        training = stage == Stage.TRAIN
        masker = self.masker if training else partial(self.masker, ids=[u.id for u in batch.utterances])
        conditions = Conditions(augment=self.hparams.spec_augment if training else None, masker=masker)
        return self.modules.model(*self.inputs(batch, stage), conditions)

    def scalars(self, outputs):
        """What the parts tell."""
        return outputs.extras.scalars

    def compute_objectives(self, outputs, batch, stage):
        """Named losses, each a mean over the batch's utterances; ``accuracy`` in percent is reported, not minimised."""
        losses = {"pessl": batch.mean(outputs.prediction.loss)}
        total = losses["pessl"]
        for name, value in outputs.extras.regularisers.items():
            losses[name] = value
            total = total + getattr(self.hparams, name) * value
        hidden = outputs.prediction.hidden.sum().clamp(min=1)
        return {"loss": total, **losses, "accuracy": 100 * outputs.prediction.correct.sum() / hidden}

    def validate_batch(self, outputs, batch):
        """Count a dev batch's hidden frames."""
        if batch.plan.weight:
            prediction = outputs.prediction
            self._counts += torch.stack([prediction.correct.sum(), prediction.hidden.sum()]).cpu()

    def dev_errors(self):
        """Masked frames of dev, in percent, whose cluster was not the likeliest."""
        correct, hidden = distributed.sum_(self._counts).tolist()
        self._counts = torch.zeros_like(self._counts)
        return {"masked_error": 100 * (1 - correct / max(1, hidden))}

    # --- measures of the trained model ------------------------------------------------------------------------------

    def evaluate_splits(self, root, splits, folder):
        """Masked accuracy, use of the clusters and their agreement with phones; plots of them."""
        plain = vars(self.hparams)
        aligner = self.targets(splits["train"], root).aligner()
        sets = [item for rows in splits.values() for item in by_set(rows).items()]
        measured = {name: _sample(rows, plain["seed"]) for name, rows in sets}
        spell = spelling()
        tables = {name: self._measure(rows, name, root, aligner, spell) for name, rows in measured.items()}
        phones = [] if aligner is None else aligner.phones
        if distributed.is_main():
            self._write(folder, tables, phones)
        return {
            "pretraining": {name: _summary(table) for name, table in tables.items()},
            "seconds": {"evaluated_audio": round(sum(u.duration for rows in measured.values() for u in rows), 1)},
        }

    @staticmethod
    def table(result):
        """The measures of each set."""
        return pretraining_table(result["pretraining"])

    def _measure(self, rows, name, root, aligner, spell):
        """Sums over all processes' utterances of a split, see `_summary`."""
        sampler = BatchSampler(
            [u.duration for u in rows],
            read_seconds(self.hparams.max_batch_seconds),
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            shuffle=False,
        )
        loader = make_loader(Utterances(rows, root), sampler, self.hparams.num_workers)
        clusters = self.modules.model.acoustic.pessl.n_clusters
        sums = {
            "scores": torch.zeros(4, dtype=torch.float64),  # utterances, their loss, correct and hidden frames
            "usage": torch.zeros(clusters, dtype=torch.long),
            "phones": torch.zeros(clusters, 0 if aligner is None else len(aligner.phones), dtype=torch.long),
        }
        self.modules.eval()
        with torch.no_grad(), self.evaluation_ctx:
            for batch in Bar(loader, desc=f"{name}: clusters", disable=not distributed.is_main()):
                if batch.plan.weight:
                    self._add(sums, batch.to(self.device), aligner, spell)
        return {name: distributed.sum_(tensor) for name, tensor in sums.items()}

    def _add(self, sums, batch, aligner, spell):
        """Count a batch."""
        acoustic = self.modules.model.acoustic
        x, lengths = acoustic.features(batch.wavs, batch.wav_lengths)
        masking = self.masker(x, lengths, [u.id for u in batch.utterances])
        output = acoustic(batch.wavs, batch.wav_lengths, Conditions(masker=lambda *_: masking))
        prediction, frames = output.prediction, output.lengths
        told = prediction.hidden > 0  # utterances long enough to hide something
        sums["scores"] += torch.stack(
            [told.sum(), prediction.loss[told].sum(), prediction.correct.sum(), prediction.hidden.sum()]
        ).cpu()
        places = middle(lengths, acoustic.frontend.output_stride, x.shape[1]).cpu()
        for i, utterance in enumerate(batch.utterances):
            labels = masking.targets[i, : frames[i]].cpu()
            sums["usage"] += torch.bincount(labels, minlength=len(sums["usage"]))
            if aligner is None or not utterance.text:
                continue
            path = aligner.align(cepstra(x[i, : lengths[i]].float().cpu()), spell(utterance))
            if path is not None:
                pair = (labels, path[places[i, : frames[i]]])
                sums["phones"].index_put_(pair, torch.tensor(1), accumulate=True)

    @staticmethod
    def _write(folder, tables, phones):
        """clusters_<split>.csv, and the plots."""
        from serenanet_modules.analysis.cluster_plots import plot_phones, plot_usage  # brings matplotlib

        for name, table in tables.items():
            write_clusters(f"{folder}/clusters_{name}.csv", table["usage"], table["phones"], phones)
        plot_usage({name: table["usage"].numpy() for name, table in tables.items()}, f"{folder}/cluster_usage.png")
        together = sum(table["phones"] for table in tables.values())
        if together.numel():
            plot_phones(together.numpy(), phones, f"{folder}/cluster_phones.png")


def _sample(rows, seed):
    """At most `MEASURED_UTTERANCES`."""
    return random.Random(seed).sample(rows, min(MEASURED_UTTERANCES, len(rows)))


def _summary(table):
    """Measures of a split from its sums."""
    utterances, loss, correct, hidden = table["scores"].tolist()
    measures = {
        "masked_accuracy": round(100 * correct / max(1, hidden), 2),  # percent
        "masked_loss": round(loss / max(1, utterances), 4),  # nats
        "masked_frames": int(hidden),
        "usage": usage(table["usage"].numpy()),
    }
    return measures | ({"phones": agreement(table["phones"].numpy())} if table["phones"].any() else {})
