"""Hybrid CTC/attention training (Watanabe et al. 2017)."""

from functools import cached_property

from serenanet_modules.config.keys import TUNED
from serenanet_modules.decoding.tuning import JOINT_LM_WEIGHTS, JOINT_WORD_SCORES
from serenanet_modules.errors import UserError
from serenanet_modules.runs.language_model import NeuralLMRun
from serenanet_modules.training.brains.ctc import CTCBrain
from serenanet_modules.training.label_loss import label_loss

DEV_BEAM = 2  # hypotheses in validation, whose joint score selects checkpoints; few, so that it stays cheap


class HybridBrain(CTCBrain):
    """Trains a `HybridModel`; parameters as in `UnitsBrain`.

    The loss is ``ctc_weight`` times CTC plus the rest of 1 times the attention decoder's label-smoothed cross-entropy,
    both per label.
    """

    @classmethod
    def check(cls, plain, where):
        """Refuse a missing decoder, and a language model that cannot be."""
        super().check(plain, where)
        if "attention_decoder" in plain:  # which leaves objects out
            raise UserError(f"{where}: 'attention_decoder' is null; give !include:decoders/transformer.yaml or mamba")
        if plain["neural_lm"] is not None:
            NeuralLMRun(plain["neural_lm"])

    @classmethod
    def outputs(cls, plain, where, save, learned):
        """As `RecogniserBrain`'s; refuses a language model of other units."""
        outputs = super().outputs(plain, where, save, learned)
        if plain["neural_lm"] is not None:
            NeuralLMRun(plain["neural_lm"]).check(outputs.arguments["units"])
        return outputs

    def model_inputs(self, batch):
        """The labels, which the decoder is taught by."""
        return {"labels": batch.labels}

    def compute_objectives(self, outputs, batch, stage):
        """As `CTCBrain`'s, with the attention decoder's loss, and its accuracy in percent, which is reported only."""
        losses = super().compute_objectives(outputs, batch, stage)
        h, count = self.hparams, batch.label_lengths + 1
        summed, right = label_loss(outputs.attention, batch.labels, batch.label_lengths, h.label_smoothing)
        loss = batch.mean(summed / count)
        losses["loss"] = losses["loss"] + (1 - h.ctc_weight) * loss
        return {**losses, "attention": loss, "accuracy": 100 * (right / count).mean()}

    @cached_property
    def dev_decoders(self):
        """A small joint beam search, and greedy decoding of the CTC head; without such a head the attention's."""
        if not self.modules.model.scorings:
            return {"": self.decoders.attention_greedy()}
        joint, weight = self.decoders.joint(beam_size=DEV_BEAM), self.hparams.decoding_ctc_weight
        joint = joint if weight == TUNED else joint.with_weights(ctc_weight=weight)
        return {"": joint, "ctc_": self.decoders.greedy()}

    def searches(self, tools):
        """As of `RecogniserBrain`, with those of the attention decoder: greedy, joint with CTC, and with each model."""
        yield from super().searches(tools)
        yield self.decoders.attention_greedy()
        h = self.hparams
        if not h.attention_beam_size:
            return
        yield tools.tuned_with_ctc(self.decoders.joint())
        grid = {"lm_weight": (h.lm_weight, JOINT_LM_WEIGHTS), "word_score": (h.word_score, JOINT_WORD_SCORES)}
        path = None if self.units.phonemic else tools.language_model()
        if path is not None:
            yield tools.tuned(self.decoders.joint(ngram=path), **grid)
        if h.neural_lm is not None:
            model = NeuralLMRun(h.neural_lm).model(self.units).to(self.device)
            yield tools.tuned(self.decoders.joint(label_lm=model), **grid)
