"""All decoders of a recogniser, made in one place: for validation, evaluation, and every use of the finished model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from serenanet_modules.data.text.written import unmarked
from serenanet_modules.data.tokens import one_context
from serenanet_modules.decoding.attention import AttentionBeam, AttentionGreedy
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import Greedy
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.prompted import Prompted


@dataclass(frozen=True)
class Decoders:
    """Makes the decoders that a model can have.

    Parameters
    ----------
    model : CTCModel
        Says by its ``scorings`` which log-probabilities there are, and by ``attention`` whether there is one.
    units : Units
    settings : mapping
        Hyper-parameters: ``scoring``, ``beam_size``, and of a model with a label decoder ``attention_beam_size`` and
        ``length_normalisation``; ``decoding``: the weights that dev chose, as result.json holds them; of a model with a
        language model ``context``, ``draft`` and ``decoding_ctc_weight`` too; of a Whisper perhaps ``prefix``, the
        labels that introduce a text.
    lexicon : Lexicon, optional
        Words of which texts are made, for phoneme units.
    tokens : Tokens, optional
        Of a model with a language model.
    hotwords : dict of str to float, optional
        Words that the CTC beam search expects, and what each scores more; or that a prompt names.
    jobs : int
        Threads of the CTC beam search.
    """

    model: Any
    units: Any
    settings: Mapping
    lexicon: Lexicon | None = None
    tokens: Any = None
    hotwords: Mapping[str, float] | None = None
    jobs: int = 1

    @property
    def scoring(self):
        """decoder, car or average: what is searched; a model without a refinement has one source only."""
        return self.settings["scoring"] if self.settings["scoring"] in self.model.scorings else "decoder"

    @property
    def attention(self):
        """The label decoder, behind the prefix that is asked for."""
        prefix = self.settings.get("prefix")
        return self.model.attention if prefix is None else self.model.attention.behind(prefix)

    def greedy(self, scoring=None):
        """The best label of every frame."""
        return Greedy(self.units, scoring or self.scoring)

    def beam(self, lm=None):
        """CTC beam search: of words where there is a lexicon, else of prefixes; ``lm``: n-grams, or their path."""
        tuned = {} if lm is None else self._weights(self.settings["decoding"], "lm_weight", "word_score")
        size = self.settings["beam_size"] or BeamDecoder.beam_size
        options = {"lexicon": self.lexicon, "beam_size": size, "scoring": self.scoring}
        return BeamDecoder(self.units, lm, **options, **tuned, hotwords=self.hotwords, jobs=self.jobs)

    def attention_greedy(self):
        """The label decoder's best label after each other."""
        return AttentionGreedy(self.attention, self.units, alone=not self.model.scorings)

    def alone(self):
        """Of a label decoder without CTC: greedy, or a beam where ``attention_beam_size`` is more than 1."""
        return self.joint() if self.settings["attention_beam_size"] > 1 else self.attention_greedy()

    def joint(self, ngram=None, label_lm=None, beam_size=None):
        """Beam search of the label decoder with CTC, and with n-grams (a path) or a neural `LabelLM`.

        Its weights are those that dev chose for it and, where it chose none, for the search without a language model.
        """
        search = AttentionBeam(
            self.attention,
            self.units,
            beam_size or self.settings["attention_beam_size"] or AttentionBeam.beam_size,
            length_normalisation=self.settings["length_normalisation"],
            ngram=ngram,
            label_lm=label_lm,
            scoring=self.scoring,
            alone=not self.model.scorings,
            **({} if self.model.scorings else {"ctc_weight": 0.0}),
        )
        for name in dict.fromkeys((AttentionBeam.NAME, search.name)):
            chosen = self.settings["decoding"].get(name, {})
            search = search.with_weights(**self._weights(chosen, "ctc_weight", "lm_weight", "word_score"))
        return search

    def prompted(self, beam_size=None):
        """What the language model of a speech LLM writes, its answers weighed by CTC as dev or the settings say.

        Hotwords stand in its prompt, where their weights count for nothing.
        """
        beam_size = beam_size or self.settings["attention_beam_size"] or 1
        chosen = {}
        if beam_size > 1 and self.model.scorings:
            given = self.settings.get("decoding_ctc_weight")
            chosen = {"ctc_weight": given} if isinstance(given, float | int) else {}
            chosen |= self._weights(self.settings["decoding"].get(Prompted.NAME, {}), "ctc_weight")
        context, draft = one_context(self.settings["context"], *unmarked(self.hotwords or ())), self.settings["draft"]
        return Prompted(self.model, self.units, self.tokens, context, beam_size, draft, **chosen)

    @staticmethod
    def _weights(chosen, *names):
        return {name: chosen[name] for name in names if name in chosen}
