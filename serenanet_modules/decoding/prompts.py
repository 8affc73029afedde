"""What a speech LLM is told beside the sound: its prompt, in training as in use."""

from dataclasses import dataclass
from typing import Any

from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.lobes.speech_llm import Said


@dataclass(frozen=True)
class Prompts:
    """Prompts of utterances.

    Parameters
    ----------
    tokens : Tokens
    units : Units
        Of the CTC head.
    draft : bool
        Whether a prompt holds what CTC hears, greedily (as in Radhakrishnan et al. 2023, arXiv 2310.06434).
    """

    tokens: Any
    units: Any
    draft: bool = False

    def said(self, contexts, texts, log_probs, lengths):
        """Told of utterances whose CTC log-probabilities are log_probs (B, T, V), of lengths (B,) frames.

        Parameters
        ----------
        contexts : list of str
        texts : list of list of int
            Tokens, without the end; none of them yet while the language model writes.
        log_probs, lengths : Tensor

        Returns
        -------
        Said
        """
        drafts = self._drafts(log_probs, lengths) if self.draft else [""] * len(contexts)
        around = [self.tokens.around(*told) for told in zip(contexts, drafts, strict=True)]
        return Said(*map(list, zip(*around, strict=True)), texts)

    def _drafts(self, log_probs, lengths):
        return [self.units.decode(labels) for labels in greedy(log_probs, lengths, self.units.blank_id)]
