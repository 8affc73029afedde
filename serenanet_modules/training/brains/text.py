"""What models that write text share: units, labels, and an evaluation by error rates."""

import tempfile
from functools import cached_property
from pathlib import Path

from serenanet_modules.data.phonemes import g2p
from serenanet_modules.data.text import normaliser
from serenanet_modules.data.units import load_units, train_units
from serenanet_modules.decoding.decoders import Decoders
from serenanet_modules.errors import UserError
from serenanet_modules.runs.results import result_table
from serenanet_modules.training.evaluation import Evaluation
from serenanet_modules.training.loop import RecipeBrain
from serenanet_modules.training.searches import given_language_model

UNITS = "units"


class TextBrain(RecipeBrain):
    """A `RecipeBrain` whose network's outputs are units of text.

    Parameters
    ----------
    units : Units
        The tokenizer; decides what dev is scored on (words, or phones for phoneme units).
    **kwargs
        As in `RecipeBrain`.
    """

    needs_text = True

    def __init__(self, *args, units, **kwargs):
        super().__init__(*args, **kwargs)
        self.units = units

    # --- before the network is there --------------------------------------------------------------------------------

    @classmethod
    def check(cls, plain, where):
        """Refuse units and language models that cannot be had."""
        given_language_model(plain["lm"])
        if plain["units"] == "phoneme":
            g2p(plain["locale"])  # refuses a locale without one

    @classmethod
    def needs_phonemes(cls, plain):
        """Whether the units are phonemes."""
        return plain["units"] == "phoneme"

    @classmethod
    def try_texts(cls, plain, where, candidates, save):
        """Refuse settings that the texts cannot give units for, before the audio is decoded."""
        if cls.needs_phonemes(plain) or (Path(save) / UNITS / "units.json").is_file():
            return
        rules = {locale: normaliser(locale) for locale in {c.locale for c in candidates}}
        with tempfile.TemporaryDirectory() as folder:
            _train([rules[c.locale](c.text) for c in candidates], plain, where, folder)
            _check_size(load_units(folder), plain, where)

    @classmethod
    def outputs(cls, plain, where, train, save):
        """Units of the training texts, or those of an earlier run, and the number of them."""
        folder, kind = Path(save) / UNITS, plain["units"]
        if not (folder / "units.json").is_file():
            _train([u.phonemes if kind == "phoneme" else u.text for u in train], plain, where, folder)
        units = load_units(folder)
        if units.kind != kind:
            raise UserError(f"{folder} holds {units.kind} units, not {kind}: give another --experiment")
        _check_size(units, plain, where)
        return {"units": units}, {"n_units": units.size}

    # --- training and evaluation ------------------------------------------------------------------------------------

    def encode(self, utterance):
        """Unit ids; phonemes that only dev has are left out, as the model cannot say them."""
        if self.units.kind != "phoneme":
            return self.units.encode(utterance.text)
        return self.units.encode(" ".join(p for p in utterance.phonemes.split() if p in self.units.pieces))

    @cached_property
    def decoders(self):
        """`Decoders` of the network; evaluation chooses their weights."""
        return Decoders(self.modules.model, self.units, {**vars(self.hparams), "decoding": {}})

    def evaluate_splits(self, root, splits):
        """Decode and score dev and test."""
        evaluation = Evaluation(self, root, splits, self.hparams.output_folder)
        results = evaluation.run()
        units = {"kind": self.units.kind, "size": self.units.size}
        return {
            "scoring": evaluation.scoring,
            "results": results,
            "decoding": evaluation.decoding,
            "units": units,
            "chunks": evaluation.chunks,
            "seconds": {"network": round(evaluation.seconds, 3)},
        }

    @staticmethod
    def table(result):
        """Error rates with their intervals."""
        return result_table(result["results"])


def _train(texts, plain, where, folder):
    vocab_size = plain["vocab_size"] if plain["units"] in ("bpe", "unigram") else None
    try:
        train_units(plain["units"], texts, vocab_size, folder)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _check_size(units, plain, where):
    if plain["n_units"] not in (None, units.size):
        raise UserError(
            f"{where}: 'n_units' is {plain['n_units']} but the {units.kind} units are {units.size}; "
            "set it to null or to that"
        )
