"""Decode dev and test with every decoder a model has, score, and write what a reader needs to believe it."""

import csv
import json
import logging
import time
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

from serenanet_modules import distributed
from serenanet_modules.analysis.bootstrap import interval
from serenanet_modules.analysis.scoring import ErrorCounts, score, write_alignments
from serenanet_modules.data.batching import BatchSampler, Utterances, make_loader
from serenanet_modules.data.files import replacing
from serenanet_modules.data.phonemes import g2p
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.tuning import tune
from serenanet_modules.errors import UserError

logger = logging.getLogger(__name__)

TUNING_UTTERANCES = 500  # of dev, at most
LEVELS = {"WER": "word", "CER": "char", "PER": "phone"}


class Evaluation:
    """Decodes and scores splits with a trained `CTCBrain`.

    Parameters
    ----------
    brain : CTCBrain
        With the weights to be evaluated.
    units : Units
    root : Path
        Folder of the manifest.
    splits : dict of str to list of Utterance
        ``train`` for the lexicon and the language model; the others are decoded.
    folder : Path
        Result folder.

    Attributes
    ----------
    decoding : dict of str to float
        ``lm_weight`` and ``word_score`` of the beam search with a language model, once `run` has chosen them.
    """

    def __init__(self, brain, units, root, splits, folder):
        self.brain, self.units, self.root, self.folder = brain, units, root, Path(folder)
        self.hparams, self.train = brain.hparams, splits["train"]
        self.splits = {name: rows for name, rows in splits.items() if name != "train" and rows}
        self.phonemic = units.kind == "phoneme"
        self.decoding = {}

    def run(self):
        """Evaluate all splits; the main process writes the files.

        Returns
        -------
        dict
            split -> decoder -> measure -> rate, counts and interval.
        """
        posteriors = {name: self._posteriors(rows, name) for name, rows in self.splits.items()}
        beams = self._beams(posteriors.get("dev", []))
        results = {}
        for name, rows in self.splits.items():
            decoded = self._greedy(posteriors[name]) | self._beam(posteriors[name], beams, name)
            gathered = {
                decoder: dict(distributed.gather_objects(list(texts.items()))) for decoder, texts in decoded.items()
            }
            if distributed.is_main():
                results[name] = self._score(name, rows, gathered)
        return results

    # --- decoding -------------------------------------------------------------------------------------------------

    def _posteriors(self, rows, name):
        """This process's share of a split: (utterance, log-probabilities by source) pairs."""
        sampler = BatchSampler(
            [u.duration for u in rows],
            self.hparams.max_batch_seconds,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            shuffle=False,
        )
        loader = make_loader(Utterances(rows, self.root), sampler, self.hparams.num_workers)
        self.brain.modules.eval()
        model = self.brain.raw("model")
        found = []
        with torch.no_grad(), self.brain.evaluation_ctx:
            for batch in tqdm(loader, desc=f"{name}: network", disable=not distributed.is_main()):
                if not batch.plan.weight:
                    continue
                batch.to(self.brain.device)
                features, lengths = self.brain.modules.features(batch.wavs, batch.wav_lengths)
                output = model(features, lengths)
                for i, utterance in enumerate(batch.utterances):
                    kept = {s: output.log_probs(s)[i, : output.lengths[i]].cpu() for s in model.scorings}
                    found.append((utterance, kept))
        return found

    def _greedy(self, posteriors):
        """``source/greedy`` -> utterance id -> text (phones for phoneme units)."""
        decoded = {}
        for scoring in self.brain.raw("model").scorings:
            texts = {}
            for utterance, sources in posteriors:
                log_probs = sources[scoring].unsqueeze(0)
                units = greedy(log_probs, torch.tensor([log_probs.shape[1]]))[0]
                texts[utterance.id] = self.units.decode(units)
            decoded[f"{scoring}/greedy"] = texts
        return decoded

    def _beams(self, dev):
        """Beam decoders by name, the language model's weights tuned on dev."""
        h = self.hparams
        if not h.beam_size:
            return {}
        options = {"beam_size": h.beam_size}
        name = "prefix-beam"
        if self.phonemic:
            name, options["lexicon"] = "lexicon-beam", self._lexicon()
        beams = {name: BeamDecoder(self.units, **options)}
        path = self._language_model()
        if path is not None:
            tuned = self._tuned(BeamDecoder(self.units, lm=path, **options), dev)
            self.decoding = {"lm_weight": tuned.lm_weight, "word_score": tuned.word_score}
            beams[f"{name}+lm"] = tuned
        return beams

    def _lexicon(self):
        words = sorted({word for u in self.train for word in u.text.split()})
        lexicon = Lexicon.from_words(words, g2p(self.hparams.locale), self.units)
        if distributed.is_main():
            with replacing(self.folder / "save" / "lexicon.tsv") as path:
                path.write_text("".join(f"{line}\n" for line in self._spelled(lexicon)), encoding="utf-8")
        return lexicon

    def _spelled(self, lexicon):
        """``word<TAB>phones`` for every spelling."""
        for word, spellings in lexicon.spellings.items():
            for spelling in spellings:
                yield f"{word}\t{self.units.decode(spelling)}"

    def _language_model(self):
        """Path of the ARPA file, or None."""
        lm = self.hparams.lm
        if lm != "auto":
            return given_language_model(lm)
        path = self.folder / "save" / "lm.arpa"
        texts = [u.text for u in self.train]
        return distributed.main_first(lambda: ngram.estimate(texts, self.hparams.lm_order, path) and path)

    def _tuned(self, decoder, dev):
        h = self.hparams
        if h.lm_weight is not None and h.word_score is not None:
            return decoder.with_weights(h.lm_weight, h.word_score)
        subset = dev[: max(1, TUNING_UTTERANCES // distributed.world_size())]
        grid = {
            "lm_weights": (0.25, 0.5, 0.75, 1.0, 1.5) if h.lm_weight is None else (h.lm_weight,),
            "word_scores": (0.0, 1.5, 3.0, 4.5) if h.word_score is None else (h.word_score,),
        }
        references = [u.text for u, _ in subset]

        def dev_wer(texts):
            counts = score(references, texts).total
            return sum(distributed.gather_objects([counts]), ErrorCounts()).rate

        chosen = tune(
            decoder,
            [self._chosen(sources) for _, sources in subset],
            dev_wer,
            **grid,
            progress=distributed.is_main(),
        )
        logger.info("lm_weight %g, word_score %g: dev WER %.2f", *chosen_weights(chosen))
        return decoder.with_weights(chosen.lm_weight, chosen.word_score)

    def _chosen(self, sources):
        """The log-probabilities that the beam search reads; a model without CAR has the decoder's only."""
        return sources.get(self.hparams.scoring, sources["decoder"])

    def _beam(self, posteriors, beams, name):
        decoded = {}
        for beam_name, decoder in beams.items():
            hypotheses = decoder.decode_many(
                [self._chosen(sources) for _, sources in posteriors],
                progress=distributed.is_main(),
            )
            decoded[f"{self.hparams.scoring}/{beam_name}"] = {
                u.id: h.text for (u, _), h in zip(posteriors, hypotheses, strict=True)
            }
        return decoded

    # --- scoring --------------------------------------------------------------------------------------------------

    def _score(self, split, rows, decoded):
        """Score every decoder of a split and write its files."""
        results = {}
        for decoder, texts in decoded.items():
            phones = self.phonemic and decoder.endswith("/greedy")
            references = {u.id: u.phonemes if phones else u.text for u in rows}
            measures = ("PER",) if phones else ("WER", "CER")
            results[decoder] = {m: self._measure(split, decoder, m, references, texts) for m in measures}
        self._write_texts(split, rows, decoded)
        return results

    def _measure(self, split, decoder, measure, references, texts):
        result = score(references, texts, LEVELS[measure])
        if measure != "CER":
            file = f"{measure.lower()}_{split}_{decoder.replace('/', '_')}.txt"
            write_alignments(self.folder / file, result)
        low, high = interval(result.per_utterance.values())
        return {
            "percent": round(100 * result.total.rate, 3),
            "interval_95": [round(100 * low, 3), round(100 * high, 3)],
            **asdict(result.total),
        }

    def _write_texts(self, split, rows, decoded):
        """decoded_<split>.csv: reference and every decoder's text per utterance."""
        with (
            replacing(self.folder / f"decoded_{split}.csv") as path,
            open(path, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            writer.writerow(["id", "duration", "reference", *decoded])
            for u in rows:
                writer.writerow([u.id, u.duration, u.text, *(texts[u.id] for texts in decoded.values())])


def given_language_model(lm):
    """Path of the ARPA file that the hyper-parameter ``lm`` names; None where it is null or auto."""
    if lm in (None, "auto"):
        return None
    if not Path(lm).is_file():
        raise UserError(f"lm: there is no file {lm}; give an ARPA file, auto or null")
    return Path(lm)


def chosen_weights(tuning):
    """(lm_weight, word_score, score in percent) of a `Tuning`."""
    return tuning.lm_weight, tuning.word_score, 100 * tuning.score


def timed(function):
    """(result, seconds) of a call."""
    start = time.monotonic()
    return function(), time.monotonic() - start


def write_result(path, result):
    """result.json, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
