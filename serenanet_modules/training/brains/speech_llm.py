"""Training of a speech LLM: an adapter, and adapters of the language model where asked, learn to let it write."""

import logging
from functools import cached_property, partial
from math import ceil
from pathlib import Path

import torch
from speechbrain.core import Stage
from torch.nn import functional

from serenanet_modules.data.tokens import FILE as TOKENIZER
from serenanet_modules.data.tokens import one_context
from serenanet_modules.decoding.prompted import MORE, PER_SECOND, most_tokens
from serenanet_modules.decoding.prompts import Prompts
from serenanet_modules.errors import UserError
from serenanet_modules.runs.recogniser import tokens_of
from serenanet_modules.training.brains.ctc import CTCBrain
from serenanet_modules.training.public_source import keep_tokenizer

logger = logging.getLogger(__name__)

NOTHING = -100  # the target where nothing is asked for


class SpeechLLMBrain(CTCBrain):
    """Trains a `SpeechLLM`; parameters as in `UnitsBrain`.

    The loss is ``ctc_weight`` times CTC plus the rest of 1 times the cross-entropy of the text's tokens and its end,
    both per label; prompt and sound are no targets.
    """

    @classmethod
    def check(cls, plain, where):
        """Refuse units that are no letters or each language's own, and CTC where there is no head."""
        super().check(plain, where)
        if plain["units"] == "phoneme":
            raise UserError(f"{where}: 'units' is phoneme, but a language model writes words; give char or bpe")
        if plain["language_units"] == "own":
            raise UserError(
                f"{where}: 'language_units' is own, but a language model does not say which language it writes; give "
                "shared or token"
            )
        if not plain["ctc_head"] and plain["ctc_weight"]:
            raise UserError(f"{where}: 'ctc_weight' is {plain['ctc_weight']}, but there is no CTC head; set it to 0")
        if not plain["ctc_head"] and plain["draft"]:
            raise UserError(f"{where}: there is no CTC head, whose text would be a draft; set 'draft' to false")
        least = plain["preparation"]["frames_per_character"]
        if not plain["ctc_head"] and least:
            raise UserError(
                f"{where}: 'preparation.frames_per_character' is {least}, which leaves out what CTC cannot learn, but "
                "there is no CTC head; set it to 0"
            )

    @classmethod
    def settle(cls, hparams, save):
        """As of `HearsSpeech`; the adapter's output is of the language model's size."""
        found = super().settle(hparams, save)
        return {**found, "adapter": {"d_model": found["llm"]["config"]["hidden_size"]}}

    @classmethod
    def begin(cls, built, source, start, plain, save):
        """As of `HearsSpeech`; the tokenizer comes into the folder."""
        super().begin(built, source, start, plain, save)
        keep_tokenizer(built["model"].llm, Path(save))

    @cached_property
    def tokens(self):
        """The language model's `Tokens`."""
        return tokens_of(self.modules.model.llm, Path(self.hparams.output_folder) / "save" / TOKENIZER)

    def ready(self, root, splits, start):
        """As of `HearsSpeech`; texts that no answer is long enough for are told of."""
        super().ready(root, splits, start)
        if share := share_too_long(self.tokens, splits["train"]):
            logger.warning(
                "%.1f %% of the training texts have more tokens than an answer may have, which is cut off there: %d "
                "for each second of sound, and %d; take a language model whose tokenizer knows the language",
                *(100 * share, PER_SECOND, MORE),
            )

    @property
    def made_with(self):
        """As of `RecogniserBrain`, with the tokens."""
        return {"tokens": self.tokens}

    def compute_forward(self, batch, stage):
        """As `CTCBrain`'s; the texts and prompts are told to the language model."""
        self._contexts = self.contexts(batch.utterances, stage)
        self._texts = [self.tokens.encode(utterance.text) for utterance in batch.utterances]
        return super().compute_forward(batch, stage)

    def contexts(self, utterances, stage):
        """The context of each utterance: that of the hyper-parameters, and in training words that are drawn."""
        most = self.hparams.context_words if stage == Stage.TRAIN else 0
        drawn = drawn_contexts([utterance.text.split() for utterance in utterances], most)
        return [one_context(self.hparams.context, context) for context in drawn]

    def model_inputs(self, batch):
        """What the language model is told."""
        prompts = Prompts(self.tokens, self.units, self.hparams.draft)
        return {"said": partial(prompts.said, self._contexts, self._texts)}

    def compute_objectives(self, outputs, batch, stage):
        """As `CTCBrain`'s, with the loss of the tokens, and their accuracy in percent, which is reported only."""
        losses = super().compute_objectives(outputs, batch, stage)
        summed, right, count = token_loss(outputs.tokens, self._texts, self.tokens.end[0])
        loss = batch.mean(summed / count)
        losses["loss"] = losses["loss"] + (1 - self.hparams.ctc_weight) * loss
        return {**losses, "tokens": loss, "accuracy": 100 * (right / count).mean()}

    @cached_property
    def dev_decoders(self):
        """What the language model writes, and greedy decoding of the CTC head, where there is one."""
        ctc = {"ctc_": self.decoders.greedy()} if self.modules.model.scorings else {}
        return {"": self.decoders.prompted(beam_size=1), **ctc}

    def searches(self, tools):
        """As of `RecogniserBrain`, with what the language model writes: greedily, and by a beam search."""
        yield from super().searches(tools)
        yield self.decoders.prompted(beam_size=1)
        if self.hparams.attention_beam_size > 1:
            yield tools.tuned_with_ctc(self.decoders.prompted())


def share_too_long(tokens, utterances, most=1000):
    """Share of utterances, or of ``most`` of them, whose texts have more tokens than `most_tokens`."""
    chosen = [utterances[i] for i in range(0, len(utterances), ceil(len(utterances) / most))] if utterances else []
    return sum(len(tokens.encode(u.text)) > most_tokens(u.duration) for u in chosen) / max(1, len(chosen))


def drawn_contexts(texts, most):
    """For half of the utterances some words of them and of their batch mates, so that a context is of use.

    Parameters
    ----------
    texts : list of list of str
        The words of each utterance.
    most : int
        Words in a context; 0 for none. Half of them may be the utterance's own.

    Returns
    -------
    list of str
        In the order of the alphabet, which says nothing of what was said.
    """
    if not most:
        return [""] * len(texts)
    mates, contexts = sorted({word for said in texts for word in said}), []
    for said in texts:
        own = [said[i] for i in torch.randperm(len(said))[: most // 2].tolist()]
        others = [mates[i] for i in torch.randperm(len(mates))[: most - len(own)].tolist()]
        contexts.append(", ".join(sorted({*own, *others})) if torch.rand(()) < 0.5 else "")
    return contexts


def token_loss(logits, texts, end):
    """Cross-entropy of texts and their ends, summed, how many tokens are the likeliest, and how many there are.

    Parameters
    ----------
    logits : Tensor
        (B, U + 1, V) float32; those of each text stand at the end.
    texts : list of list of int
    end : int

    Returns
    -------
    (Tensor, Tensor, Tensor)
        (B,) each.
    """
    targets = torch.full(logits.shape[:2], NOTHING, dtype=torch.int64)
    for row, text in zip(targets, texts, strict=True):
        row[-len(text) - 1 :] = torch.tensor([*text, end])
    targets = targets.to(logits.device)
    losses = functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=NOTHING, reduction="none")
    right = (logits.argmax(-1) == targets).sum(1)
    return losses.sum(1), right, (targets != NOTHING).sum(1)
