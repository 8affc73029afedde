"""A result folder that was opened for use: network, units, decoding settings, and what its user asks of them."""

import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from serenanet_modules.config.keys import DECODING, KEYS, TUNED
from serenanet_modules.data.text import ANY, Style
from serenanet_modules.data.tokens import FILE as TOKENIZER_FILE
from serenanet_modules.data.tokens import Tokens
from serenanet_modules.data.units import Units
from serenanet_modules.decoding.attention import AttentionBeam
from serenanet_modules.decoding.decoders import Decoders
from serenanet_modules.decoding.prompted import Prompted
from serenanet_modules.decoding.spoken import AUTO
from serenanet_modules.errors import UserError
from serenanet_modules.runs.choice import decoder_for
from serenanet_modules.runs.wishes import Wishes
from serenanet_modules.runtime.files import sha256

TOKENIZER = f"save/{TOKENIZER_FILE}"
CHOSEN = {"lm_weight": "lm_weight", "word_score": "word_score", "decoding_ctc_weight": "ctc_weight"}  # their keys


@dataclass(frozen=True)
class OpenRun:
    """What is needed of a finished run to use it.

    Attributes
    ----------
    folder : Path
    modules : ModuleDict
        ``model`` with its weights, in evaluation mode.
    units : Units
    settings : dict
        Hyper-parameters: `opening.SETTINGS` and those that the model names as its ``settings``; ``decoding``: the
        weights that dev chose; ``confidence``: a `Calibration` by the name of each decoder that dev gave one;
        ``piece_seconds``: how long the audio may be that the model reads at once, which is what 99 % of its training
        utterances were; of a Whisper that was told how to write ``language``, ``task`` and ``prefix``.
    files : tuple of Path
        Of the weights.
    parameters : int
        How many numbers the model has, before it is given fewer bits.
    wishes : Wishes
        What its user asks.
    kept : dict
        What took a while to find: language models by their paths, and weights.
    """

    folder: Path
    modules: nn.ModuleDict
    units: Units
    settings: dict
    files: tuple
    parameters: int = 0
    wishes: Wishes = Wishes()
    kept: dict = field(default_factory=dict)

    @property
    def phonemic(self):
        """Whether the model's units are phonemes."""
        return self.units.phonemic

    @property
    def style(self):
        """The `Style` in which the model writes."""
        return Style.of(self.settings)

    @property
    def spelling(self):
        """The locale whose rules the model writes by, its `style` and the letters of its units."""
        return self.locale, self.style, frozenset("".join(self.units.spelling))

    @property
    def locale(self):
        """The locale whose text rules hold; `ANY` where the language is to be heard."""
        return ANY if self.hears_language else self.settings["locale"]

    @cached_property
    def sha256(self):
        """Of the weights."""
        return sha256(*self.files)

    @property
    def preparation(self):
        """`Settings` of data that the model is measured on."""
        from serenanet_modules.data.sifting import Settings  # which only a measurement needs

        return Settings(phonemes=self.phonemic, **self.style.named)

    def calibration(self, decoder):
        """The `Calibration` of words that a decoder hears, None where dev gave none."""
        return self.settings["confidence"].get(decoder.name)

    @property
    def decoders(self):
        """`Decoders` of the model, without a lexicon."""
        asked = {"hotwords": dict(self.wishes.hotwords), "jobs": self.wishes.jobs}
        return Decoders(self.modules["model"], self.units, self.settings, tokens=self.tokens, **asked)

    @cached_property
    def tokens(self):
        """`Tokens` of the model's language model, None where it has none."""
        llm = self.modules["model"].llm
        return None if llm is None else tokens_of(llm, self.folder / TOKENIZER)

    def asked(self, language=None, task=None, beam_size=None, locale=None):
        """The same run for another language, task or beam; what is None stays.

        Parameters
        ----------
        language, task : str, optional
            As of `WhisperUnits.prefix`, or "auto": the language is to be heard. A Whisper that was not trained here
            hears it by default. A language alone, by its locale, for a model with `LanguageTokens` and a label decoder.
        beam_size : int, optional
            Of the search of an attention decoder or a language model; without CTC, and of the latter, 1 is greedy.
        locale : str, optional
            Of the data; says the language where ``language`` does not.

        Raises
        ------
        UserError
            Where the model has nothing of the kind.
        """
        model, settings = self.modules["model"], dict(self.settings)
        if beam_size is not None:
            if model.writer is None:
                raise UserError(
                    f"--beam-size: {self.folder} has no attention decoder, and is no speech LLM; leave it out"
                )
            settings["attention_beam_size"] = beam_size
        told = language or (locale and re.split("[-_]", locale.lower())[0])
        if self.units.kind == "whisper" and (language or task or not self.units.normalised):
            settings |= self._spoken(told, task or settings.get("task"))
            settings["locale"] = locale or settings["language"]
        elif language and not task and self.units.languages == "token" and model.attention is not None:
            settings |= {"language": language, "locale": locale or language}
            return replace(self, settings=settings, units=self.units.speaking(language))
        elif language or task:
            told = (
                "was trained for one language" if self.units.languages == "shared" else "finds the language by itself"
            )
            raise UserError(f"--language, --task: {self.folder} {told}; leave them out")
        return replace(self, settings=settings)

    def _spoken(self, language, task):
        """Settings of a Whisper that is to write so; the language may be to be heard."""
        told = None if language in (None, AUTO) else self.units.language(language)
        if told is None and self.units.several:
            self.units.prefix(next(iter(self.units.spoken)), task)  # refuses a task that there is not
            return {"language": AUTO, "task": task, "prefix": None}
        return {"language": told or "en", "task": task, "prefix": tuple(self.units.prefix(told, task))}

    @property
    def hears_language(self):
        """Whether nobody said which language is spoken, and the model is to hear it."""
        return self.settings.get("language") == AUTO

    def overridden(self, values):
        """The same run with other hyper-parameters of decoding.

        Parameters
        ----------
        values : dict
            Keys of the folder's settings that decode, such as ``scoring`` and ``beam_size``, and those that dev chose:
            ``lm_weight``, ``word_score`` and ``decoding_ctc_weight``, of which auto leaves what it chose.

        Raises
        ------
        UserError
            For any other key, a value that it cannot have, and an output that the model lacks.
        """
        settings, where = dict(self.settings), f"{self.folder}: overrides"
        known = [name for name, key in KEYS.items() if key.effect == DECODING and (name in settings or name in CHOSEN)]
        for name, value in values.items():
            if name not in known:
                raise UserError(f"{where}: there is no '{name}' to override here; there are {', '.join(known)}")
            KEYS[name].check(value, where)
            if name not in CHOSEN:
                settings[name] = value
            elif value != TUNED:
                settings["decoding"] = _replaced(settings["decoding"], CHOSEN[name], value)
        scorings = self.modules["model"].scorings
        if scorings and settings["scoring"] not in scorings:
            raise UserError(f"{where}: the model's 'scoring' may be {', '.join(scorings)}, not {settings['scoring']}")
        given = {name: values[name] for name in ("lm_weight", "word_score") if values.get(name, TUNED) != TUNED}
        return replace(self, settings=settings, wishes=replace(self.wishes, **given))

    def decoder(self, lm=None):
        """The decoder of this recogniser.

        Greedy; with phoneme units a search over the training words, where the folder holds their spellings; with
        hotwords, n-best lists or a language model a beam search. A model with a label decoder always searches, jointly
        with CTC where it has that, and its phones stay phones; with hotwords it searches CTC alone. A speech LLM
        writes.

        Parameters
        ----------
        lm : path or "auto", optional
            A word n-gram model (ARPA), or for a model with a label decoder the result folder of a neural one; "auto" is
            the n-gram model that lies in the folder.

        Returns
        -------
        Decoder

        Raises
        ------
        UserError
            For a language model that cannot be used, and hotwords of a model without CTC.
        """
        return decoder_for(self, lm)


def tokens_of(llm, file):
    """The `Tokens` of a `CausalLM` whose tokenizer lies in a file."""
    return Tokens(file, llm.prompt, llm.end, llm.network.config.vocab_size)


def _replaced(decoding, name, value):
    """What dev chose with another value, of all ways of decoding."""
    ways = {AttentionBeam.NAME: {}, Prompted.NAME: {}} | {k: v for k, v in decoding.items() if isinstance(v, dict)}
    return {**decoding, name: value, **{way: {**found, name: value} for way, found in ways.items()}}
