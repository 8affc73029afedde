"""CTC training: SerenaNet's losses, any CTC model without the parts that it lacks."""

from functools import cached_property

import torch
from speechbrain.core import Stage
from torch.nn import functional

from serenanet_modules.analysis.scoring import score
from serenanet_modules.lobes.acoustic import Conditions
from serenanet_modules.lobes.blocks.lengths import valid_mask
from serenanet_modules.runtime import distributed
from serenanet_modules.training.brains.recogniser import RecogniserBrain


class CTCBrain(RecogniserBrain):
    """Trains a `CTCModel`; parameters as in `UnitsBrain`."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._decoded = []  # (head, id, reference, hypothesis) of this process's dev utterances

    def compute_forward(self, batch, stage):
        """Batch -> `CTCOutput`; training adds speed perturbation, SpecAugment and PESSL's masks."""
        conditions = Conditions()
        if stage == Stage.TRAIN:
            least = frames_needed(batch.labels, batch.label_lengths)
            conditions = Conditions(least, self.hparams.spec_augment, self.masker)
        return self.modules.model(*self.inputs(batch, stage), conditions, **self.model_inputs(batch))

    def views(self, batch):
        """Each utterance twice, where what is written of both is to be alike."""
        return batch.twice() if self.hparams.consistency_weight else batch

    def model_inputs(self, batch):
        """What the model is given beside samples, lengths and conditions, by name."""
        return {}

    def scalars(self, outputs):
        """What the parts tell, and how sure CAR is of its labels: the mean probability of a frame's likeliest."""
        if outputs.car is None:
            return outputs.extras.scalars
        valid = valid_mask(outputs.lengths, outputs.car.shape[1])
        return {**outputs.extras.scalars, "car_probability": outputs.car.detach().amax(-1)[valid].exp().mean()}

    def compute_objectives(self, outputs, batch, stage):
        """Named losses, each a mean over the batch's utterances; ``loss`` is their weighted sum."""
        h, losses, total = self.hparams, {}, 0.0
        feasible = frames_needed(batch.labels, batch.label_lengths) <= outputs.lengths
        if self.modules.model.scorings:
            if stage == Stage.TRAIN and batch.plan.weight:
                left_out = [u.id for u, ok in zip(batch.utterances, feasible.tolist(), strict=True) if not ok]
                self.progress.infeasible += left_out
            losses["ctc"] = self._ctc(outputs.decoder, outputs, batch, feasible)
            total = h.ctc_weight * losses["ctc"]
        if stage == Stage.TRAIN and h.consistency_weight and self.modules.model.scorings:
            per_utterance = disagreement(outputs.decoder, outputs.lengths) / batch.label_lengths.clamp(min=1)
            losses["consistency"] = batch.mean(per_utterance)
            total = total + h.consistency_weight * losses["consistency"]
        if outputs.prediction is not None:
            losses["pessl"] = batch.mean(outputs.prediction.loss)
            total = total + h.pessl_weight * losses["pessl"]
        if outputs.car is not None:
            losses["car_kl"] = divergence(outputs.decoder.detach(), outputs.car, outputs.lengths, batch.weights)
            total = total + h.car_weight * losses["car_kl"]
            if h.car_ctc_weight:
                losses["car_ctc"] = self._ctc(outputs.car, outputs, batch, feasible)
                total = total + h.car_ctc_weight * losses["car_ctc"]
        for name, value in outputs.extras.regularisers.items():
            losses[name] = value
            total = total + getattr(h, name) * value
        return {"loss": total, **losses}

    def _ctc(self, log_probs, outputs, batch, feasible):
        """Weighted mean over utterances of -log p(labels) per label; infeasible utterances count 0."""
        # without labels its loss is finite: the gradient of an infinite one is not a number, even times 0
        label_lengths = torch.where(feasible, batch.label_lengths, 0)
        per_utterance = ctc_per_utterance(log_probs, outputs.lengths, batch.labels, label_lengths, self.units.blank_id)
        per_utterance = torch.where(feasible, per_utterance, 0.0)
        finite = torch.isfinite(per_utterance).tolist()
        self.suspect([u.id for u, ok in zip(batch.utterances, finite, strict=True) if not ok])
        return batch.mean(per_utterance)

    @cached_property
    def dev_decoders(self):
        """Decoders of dev, by the prefix of their error rates' names; the first ones select checkpoints.

        Of a model with CAR the sources that do not select are read too, for the history.
        """
        others = [source for source in self.modules.model.scorings if source != self.decoders.scoring]
        return {"": self.decoders.greedy(), **{f"{source}_": self.decoders.greedy(source) for source in others}}

    def shown(self, dev):
        """Without the sources that do not select checkpoints."""
        prefixes = tuple(f"{source}_" for source in self.modules.model.scorings)
        return {name: value for name, value in dev.items() if not name.startswith(prefixes)}

    def validate_batch(self, outputs, batch):
        """Decode a dev batch."""
        for head, decoder in self.dev_decoders.items():
            for utterance, found in zip(batch.utterances, decoder.decode(outputs, outputs.lengths), strict=True):
                reference = utterance.phonemes if self.units.phonemic else utterance.text
                self._decoded.append((head, utterance.id, reference, found.text))

    def dev_errors(self):
        """Error rates in percent over the dev sets of all processes; the first selects checkpoints.

        That is the character error rate: it falls while hardly a whole word is right yet, it is the finer one on a
        small dev set, and not every language writes spaces between words.
        """
        decoded = distributed.gather_objects(self._decoded)
        self._decoded = []
        errors = {}
        for head in dict.fromkeys(head for head, *_ in decoded):
            rows = [row for own, *row in decoded if own == head]
            references = {key: reference for key, reference, _ in rows}
            hypotheses = {key: hypothesis for key, _, hypothesis in rows}
            levels = {"PER": "phone"} if self.units.phonemic else {"CER": "char", "WER": "word"}
            for name, level in levels.items():
                errors[head + name] = 100 * score(references, hypotheses, level).total.rate
        return errors


def ctc_per_utterance(log_probs, lengths, labels, label_lengths, blank_id):
    """-log p(labels | x) / labels per utterance (B,), from log_probs (B, T, V); always in float32.

    On the CPU where the same is wanted each time: a GPU sums the gradient in any order.
    """
    if torch.are_deterministic_algorithms_enabled() and log_probs.is_cuda:
        log_probs, lengths, labels, label_lengths = (t.cpu() for t in (log_probs, lengths, labels, label_lengths))
        return ctc_per_utterance(log_probs, lengths, labels, label_lengths, blank_id).cuda()
    with torch.autocast(log_probs.device.type, enabled=False):
        loss = functional.ctc_loss(
            log_probs.float().transpose(0, 1),
            labels,
            lengths,
            label_lengths,
            blank=blank_id,
            reduction="none",
            zero_infinity=False,
        )
    return loss / label_lengths.clamp(min=1)


def frames_needed(labels, label_lengths):
    """Least frames a CTC path needs, (B,): one per label and one blank between equal neighbours.

    Examples
    --------
    >>> frames_needed(torch.tensor([[1, 1, 2], [3, 0, 0]]), torch.tensor([3, 1])).tolist()
    [4, 1]
    """
    repeats = (labels[:, 1:] == labels[:, :-1]) & valid_mask(label_lengths - 1, labels.shape[1] - 1)
    return label_lengths + repeats.sum(1)


def disagreement(log_probs, lengths):
    """How far each view of an utterance is from the other one (CR-CTC, Yao et al. 2025).

    Parameters
    ----------
    log_probs : Tensor
        (2 B, T, V), of B utterances and of the same once more.
    lengths : Tensor
        (2 B,) frames.

    Returns
    -------
    Tensor
        (2 B,) KL(other ‖ own) summed over frames, in nats; its gradient goes into the own view alone.
    """
    other = log_probs.detach().roll(len(log_probs) // 2, 0)
    kl = (other.exp() * (other - log_probs)).sum(-1)
    return (kl * valid_mask(lengths, kl.shape[1])).sum(1)


def divergence(reference, log_probs, lengths, weights):
    """KL(reference ‖ log_probs), both (B, T, V) log-probabilities, mean over valid frames.

    An utterance of weight 2 (``weights`` is (B,)) counts as two of the batch would.
    """
    valid = valid_mask(lengths, log_probs.shape[1])
    kl = (reference.exp() * (reference - log_probs)).sum(-1)
    frames = weights.unsqueeze(1).expand_as(kl)
    return (kl * frames).masked_select(valid).mean() * (weights.mean() / frames.masked_select(valid).mean())
