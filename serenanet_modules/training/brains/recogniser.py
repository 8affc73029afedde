"""What recognisers share: units of the transcripts, labels, and an evaluation by error rates."""

from functools import cached_property

from serenanet_modules.data.languages import train_language_units
from serenanet_modules.data.phonemes import g2p
from serenanet_modules.data.text.characters import parts_words
from serenanet_modules.decoding.decoders import Decoders
from serenanet_modules.errors import UserError
from serenanet_modules.runs.folder import for_use
from serenanet_modules.runs.model_card import write_card
from serenanet_modules.runs.results import confidence_table, confidences_of, in_words, result_table
from serenanet_modules.training.brains.speech import HearsSpeech
from serenanet_modules.training.brains.units import UNITS, UnitsBrain
from serenanet_modules.training.evaluation import Evaluation
from serenanet_modules.training.searches import given_language_model
from serenanet_modules.training.whisper_source import settled, units_of


class RecogniserBrain(HearsSpeech, UnitsBrain):
    """Trains a network that writes the units of what it hears.

    The units decide what dev is scored on: words, or phones for phoneme units. Parameters as in `UnitsBrain`.
    """

    recognises = True
    needs_text = True

    # --- before the network is there --------------------------------------------------------------------------------

    @classmethod
    def check(cls, plain, where):
        """Refuse units and language models that cannot be had."""
        super().check(plain, where)
        given_language_model(plain["lm"])
        if plain["units"] == "phoneme" and plain["language_units"] != "shared":
            raise UserError(
                f"{where}: 'language_units' is {plain['language_units']}, but languages always share phonemes; set it "
                "to shared"
            )
        if plain["units"] == "phoneme" and cls.style(plain).written:
            raise UserError(
                f"{where}: phonemes have no capitals and no punctuation; leave text_case and punctuation out"
            )
        if plain["units"] == "phoneme":
            g2p(plain["locale"], plain.get("letter_to_sound"))  # refuses a locale without one

    @classmethod
    def needs_phonemes(cls, plain):
        """Whether the units are phonemes."""
        return plain["units"] == "phoneme"

    @classmethod
    def learn(cls, plain, where, texts, save, locales=()):
        """Units of the training transcripts, or of the Whisper that the run starts from."""
        if cls.kept(save):
            return None
        return units_of(plain, where) if plain["units"] == "whisper" else _train(texts, locales, plain, where)

    @classmethod
    def settle(cls, hparams, save):
        """With the sizes of a Whisper whose units are used."""
        return super().settle(hparams, save) | settled(hparams, save.parent)

    @classmethod
    def outputs(cls, plain, where, save, learned):
        """As `UnitsBrain`'s; refuses kept units of another kind, and another number of them than is insisted on."""
        outputs = super().outputs(plain, where, save, learned)
        units = outputs.arguments["units"]
        if (units.kind, units.languages) != (plain["units"], plain["language_units"]):
            held, asked = f"{units.languages} {units.kind}", f"{plain['language_units']} {plain['units']}"
            raise UserError(f"{save / UNITS} holds {held} units, not {asked}: give another --experiment")
        if plain["n_units"] not in (None, units.size):
            raise UserError(
                f"{where}: 'n_units' is {plain['n_units']} but the {units.kind} units are {units.size}; "
                "set it to null or to that"
            )
        return outputs

    @classmethod
    def unit_parts(cls, model):
        """Those that the model names."""
        return model.unit_parts

    # --- training and evaluation ------------------------------------------------------------------------------------

    def encode(self, utterance):
        """Unit ids; phonemes that only dev has are left out, as the model cannot say them."""
        if not self.units.phonemic:
            return self.units.encode(utterance.text, utterance.locale)
        return self.units.encode(" ".join(p for p in utterance.phonemes.split() if p in self.units.pieces))

    @property
    def made_with(self):
        """What `Decoders` are given besides."""
        return {}

    @cached_property
    def decoders(self):
        """`Decoders` of the network; evaluation chooses their weights."""
        return Decoders(self.modules.model, self.units, {**vars(self.hparams), "decoding": {}}, **self.made_with)

    def searches(self, tools):
        """Yield what an evaluation decodes by beside greedy CTC, in the order of result.json.

        Parameters
        ----------
        tools : training.searches.Searches
        """
        yield from tools.beams()

    def evaluate_splits(self, root, splits, folder):
        """Decode and score dev and test."""
        evaluation = Evaluation(self, root, splits, folder)
        results = evaluation.run()
        units = {"kind": self.units.kind, "size": self.units.size}
        return {
            "scoring": evaluation.scoring,
            "results": results,
            "decoding": evaluation.decoding,
            "confidence": evaluation.confidences.results,
            "units": units,
            "spaced": parts_words(u.text for u in splits["test"] or splits["dev"]),
            "chunks": evaluation.chunks,
            "written": evaluation.written,
            "seconds": {"network": round(evaluation.seconds, 3), **self.seconds},
        }

    @staticmethod
    def table(result):
        """Error rates with their intervals, and how far confidences can be trusted."""
        confidence = result["confidence"]
        notes = [
            f"{decoder}: confidences are not calibrated: {e['note']}"
            for decoder, e in confidence.items()
            if "note" in e
        ]
        return "\n".join([result_table(result["results"]), "", confidence_table(confidences_of(confidence)), *notes])

    @staticmethod
    def in_words(result):
        """How much of test is wrong."""
        return in_words(result)

    @classmethod
    def published(cls, hparams):
        """With what SpeechBrain's EncoderASR reads."""
        return for_use(hparams)

    @classmethod
    def finish(cls, folder):
        """Write the model card."""
        write_card(folder)


def _train(texts, locales, plain, where):
    vocab_size = plain["vocab_size"] if plain["units"] in ("bpe", "unigram") else None
    try:
        units = train_language_units(plain["language_units"], plain["units"], texts, locales, vocab_size)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error
    return units
