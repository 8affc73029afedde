"""What brains make the searches of an evaluation of: words, language models, and weights that are best on dev."""

import logging
import random
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from serenanet_modules.analysis.scoring import ErrorCounts, score
from serenanet_modules.config.keys import TUNED
from serenanet_modules.data.batching import read_seconds
from serenanet_modules.data.manifest import Utterance, written_by_people
from serenanet_modules.data.phonemes import g2p
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.rows import Row
from serenanet_modules.decoding.tuning import LM_WEIGHTS, WORD_SCORES, tune, tune_search
from serenanet_modules.errors import UserError
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import write_text
from serenanet_modules.runtime.threads import available_cores

logger = logging.getLogger(__name__)

BEAM_UTTERANCES, JOINT_UTTERANCES = 500, 100  # of dev, at most
JOINT_CTC_WEIGHTS = (0.4, 0.2, 0.3, 0.5, 0.6)  # tried on dev


@dataclass(frozen=True)
class Heard:
    """What the network made of a process's share of a split.

    Attributes
    ----------
    share : list of Utterance
    owners : list of Utterance
        Of each row.
    rows : list of Row
        Of the pieces that are not silent, those of an utterance in order.
    """

    share: list[Utterance]
    owners: list[Utterance]
    rows: list[Row]

    def texts(self, decoder, hypotheses):
        """Text of each utterance, by id, from the hypotheses of all rows."""
        return self.join(decoder, [hypothesis.text for hypothesis in hypotheses])

    def join(self, decoder, texts):
        """The same from the rows' texts."""
        parts = {utterance.id: [] for utterance in self.share}
        for owner, text in zip(self.owners, texts, strict=True):
            parts[owner.id].append(text)
        return {key: decoder.join(found) for key, found in parts.items()}

    def part(self, ids):
        """Of some utterances alone."""
        kept = [(owner, row) for owner, row in zip(self.owners, self.rows, strict=True) if owner.id in ids]
        owners, rows = ([pair[k] for pair in kept] for k in (0, 1))
        return Heard([utterance for utterance in self.share if utterance.id in ids], owners, rows)


class Searches:
    """Makes the CTC beam searches that the hyper-parameters ask for, and tunes any search.

    Parameters
    ----------
    decoders : Decoders
        Its ``settings["decoding"]`` takes what dev chooses: ``lm_weight`` and ``word_score`` of the CTC beam search
        with a language model, ``lm_tool`` that estimated it, and the weights of other searches by their names.
    hparams : namespace
    train : list of Utterance
        For the lexicon and the language model.
    folder : Path
        Result folder.
    heard : Heard
        Of dev.
    dev : list of Utterance
        All of it, of which `heard` is this process's share.
    """

    def __init__(self, decoders, hparams, train, folder, heard, dev):
        self.decoders, self.hparams, self.train, self.folder = decoders, hparams, train, folder
        self.heard, self.dev = heard, dev
        self.chosen = decoders.settings["decoding"]

    def beams(self):
        """Yield the CTC beam searches: by itself, and with the n-gram model."""
        if not self.hparams.beam_size or not self.decoders.model.scorings:
            return
        phonemic = self.decoders.units.phonemic
        decoders = replace(self.decoders, lexicon=self._lexicon()) if phonemic else self.decoders
        yield decoders.beam()
        path = self.language_model()
        if path is not None:
            yield self._tuned_beam(decoders.beam(path), self._part(BEAM_UTTERANCES))

    # --- words and language models --------------------------------------------------------------------------------

    def _lexicon(self):
        """The training words; on the main process also save/lexicon.tsv, ``word<TAB>phones`` for every spelling."""
        units, words = self.decoders.units, sorted({word for u in self.train for word in u.text.split()})
        letters = getattr(self.hparams, "letter_to_sound", None)  # which recipes may have
        lexicon = Lexicon.from_words(words, g2p(self.hparams.locale, letters), units)
        if distributed.is_main():
            rows = [f"{word}\t{units.decode(s)}\n" for word, spellings in lexicon.spellings.items() for s in spellings]
            write_text(self.folder / "save" / "lexicon.tsv", "".join(rows))
        return lexicon

    def language_model(self):
        """Path of the n-gram model's ARPA file, or None."""
        lm = self.hparams.lm
        if lm != "auto":
            return given_language_model(lm)
        path = self.folder / "save" / "lm.arpa"
        texts = [u.text for u in written_by_people(self.train)]
        if "lm_tool" not in self.chosen:
            order = self.hparams.lm_order
            self.chosen["lm_tool"] = distributed.main_first(lambda: ngram.estimate(texts, order, path))
        return path

    # --- weights --------------------------------------------------------------------------------------------------

    def _part(self, most):
        """What was heard in the utterances to tune on, the same ones whatever the number of processes."""
        ids = sorted(u.id for u in self.dev)
        return self.heard.part(set(random.Random(self.hparams.seed).sample(ids, min(most, len(ids)))))

    @cached_property
    def _few(self):
        return self._part(JOINT_UTTERANCES)

    def _tuned_beam(self, decoder, part):
        h = self.hparams
        if TUNED in (h.lm_weight, h.word_score):
            tuning = tune(
                decoder,
                [row.log_probs for row in part.rows],
                lambda texts: self._error(decoder, part, texts),
                LM_WEIGHTS if h.lm_weight == TUNED else (h.lm_weight,),
                WORD_SCORES if h.word_score == TUNED else (h.word_score,),
                jobs=search_threads(),
                title=_title(decoder),
            )
            chosen, error = {"lm_weight": tuning.lm_weight, "word_score": tuning.word_score}, 100 * tuning.score
            logger.info("lm_weight %g, word_score %g: dev WER %.2f", *chosen.values(), error)
        else:
            chosen = {"lm_weight": h.lm_weight, "word_score": h.word_score}
        self.chosen |= chosen
        return decoder.with_weights(**chosen)

    def tuned_with_ctc(self, search):
        """The search with CTC's weight, which the hyper-parameters give or dev chooses; 0 of a model without CTC."""
        given = (self.hparams.decoding_ctc_weight, JOINT_CTC_WEIGHTS)
        return self.tuned(search, ctc_weight=given if self.decoders.model.scorings else (0.0, ()))

    def tuned(self, search, **weights):
        """The search with weights, (given or auto, tried) each."""
        chosen = tune_search(
            search,
            self._few.rows,
            {name: tried if given == TUNED else (given,) for name, (given, tried) in weights.items()},
            lambda texts: self._error(search, self._few, texts),
            read_seconds(self.hparams.max_batch_seconds),
            _title(search),
        )
        search = search.with_weights(**chosen)
        self.chosen[search.name] = {name: getattr(search, name) for name in dict.fromkeys(("ctc_weight", *weights))}
        return search

    @staticmethod
    def _error(decoder, part, texts):
        """Word error rate, of phones where no words are written, of this and the other processes' texts, 0…1."""
        words = decoder.writes_words
        references = {u.id: u.text if words else u.phonemes for u in part.share}
        counts = score(references, part.join(decoder, texts), "word" if words else "phone").total
        return sum(distributed.gather_objects([counts]), ErrorCounts()).rate


def _title(decoder):
    """Of the progress bar, which the main process shows."""
    return f"tuning {decoder.name}" if distributed.is_main() else None


def search_threads():
    """Threads for beam searches: this process's share of the cores."""
    return max(1, available_cores() // distributed.local_world_size())


def given_language_model(lm):
    """Path of the ARPA file that the hyper-parameter ``lm`` names; None where it is null or auto."""
    if lm in (None, "auto"):
        return None
    if not Path(lm).is_file():
        raise UserError(f"lm: there is no file {lm}; give an ARPA file, auto or null")
    return Path(lm)
