"""Decode dev and test with every decoder a model has, score, and write what a reader needs to believe it."""

import csv
import logging
import random
import time
from pathlib import Path

import torch
from tqdm import tqdm

from serenanet_modules.analysis.bootstrap import with_interval
from serenanet_modules.analysis.scoring import LEVELS, ErrorCounts, score, write_alignments
from serenanet_modules.data.batching import BatchSampler, Utterances, make_loader
from serenanet_modules.data.manifest import by_set
from serenanet_modules.data.phonemes import g2p
from serenanet_modules.decoding import ngram
from serenanet_modules.decoding.beam import BeamDecoder
from serenanet_modules.decoding.greedy import greedy
from serenanet_modules.decoding.lexicon import Lexicon
from serenanet_modules.decoding.tuning import tune
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.encoders.hmamba import chunk_statistics
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import replacing
from serenanet_modules.runtime.threads import available_cores
from serenanet_modules.training.examples import write_examples

logger = logging.getLogger(__name__)

TUNING_UTTERANCES = 500  # of dev, at most
LM_WEIGHTS, WORD_SCORES = (0.25, 0.5, 0.75, 1.0, 1.5), (0.0, 1.5, 3.0, 4.5)  # tried on dev
TRIALS = len(LM_WEIGHTS) * len(WORD_SCORES)
WORTH_PROCESSES = 400  # beam searches that take longer than starting processes


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
        ``train`` for the lexicon and the language model; ``dev`` and ``test`` are decoded, and scored by named set.
    folder : Path
        Result folder.

    Attributes
    ----------
    scoring : str
        decoder, car or average: what the beam search reads.
    decoding : dict
        ``lm_weight`` and ``word_score`` of the beam search with a language model, and ``lm_tool`` that estimated it,
        once `run` has chosen them.
    seconds : float
        Spent on features, network and greedy decoding, by the slowest process.
    chunks : dict of str to dict
        ``boundary_rate``, chunks per frame, and ``compression``, frames per chunk, of each split, of an encoder that
        cuts chunks.
    """

    def __init__(self, brain, units, root, splits, folder):
        self.brain, self.units, self.root, self.folder = brain, units, root, Path(folder)
        self.hparams, self.train = brain.hparams, splits["train"]
        self.dev, self.test = splits["dev"], splits["test"]
        self.phonemic = units.kind == "phoneme"
        # a model without CAR has the decoder's log-probabilities only
        self.scoring = self.hparams.scoring if len(brain.modules.model.scorings) > 1 else "decoder"
        self.decoding = {}
        self.seconds, self.chunks = 0.0, {}

    def run(self):
        """Evaluate all splits; the main process writes the files.

        Returns
        -------
        dict
            split -> decoder -> measure -> rate, counts and interval.
        """
        results, beams = {}, None
        # all dev sets at once and first: they tune the language model
        for sets in (by_set(self.dev), *({name: rows} for name, rows in by_set(self.test).items())):
            rows = sum(sets.values(), [])
            title = ", ".join(sets)
            decoded, posteriors = self._network(rows, title)
            beams = self._beams(posteriors, rows) if beams is None else beams
            decoded |= self._beam(posteriors, beams)
            decoded |= self._others(title)
            gathered = {
                decoder: dict(distributed.gather_objects(list(texts.items()))) for decoder, texts in decoded.items()
            }
            if distributed.is_main():
                results |= {name: self._score(name, inside, gathered) for name, inside in sets.items()}
        self._examples()
        return results

    # --- decoding -------------------------------------------------------------------------------------------------

    def _network(self, rows, name):
        """Run the network over this process's share of a split.

        Returns
        -------
        dict, list
            ``source/greedy`` -> utterance id -> text (phones for phoneme units), and (utterance, log-probabilities
            (T, units) of the source that the beam search reads) pairs.
        """
        sampler = BatchSampler(
            [u.duration for u in rows],
            self.hparams.max_batch_seconds,
            rank=distributed.rank(),
            world_size=distributed.world_size(),
            shuffle=False,
        )
        loader = make_loader(Utterances(rows, self.root), sampler, self.hparams.num_workers)
        self.brain.modules.eval()
        model = self.brain.modules.model
        decoded, posteriors, seconds = {f"{scoring}/greedy": {} for scoring in model.scorings}, [], 0.0
        rates = torch.zeros(2, dtype=torch.long)  # frames and chunks, of an encoder that cuts chunks
        with torch.no_grad(), self.brain.evaluation_ctx:
            for batch in tqdm(loader, desc=f"{name}: network", disable=not distributed.is_main()):
                if not batch.plan.weight:
                    continue
                start = time.monotonic()
                batch.to(self.brain.device)
                output = model(*self.brain.modules.features(batch.wavs, batch.wav_lengths))
                ids = [u.id for u in batch.utterances]
                for scoring in model.scorings:
                    texts = map(self.units.decode, greedy(output.log_probs(scoring), output.lengths))
                    decoded[f"{scoring}/greedy"].update(zip(ids, texts, strict=True))
                seconds += time.monotonic() - start  # texts are there, so the device has nothing left to do
                rates += torch.tensor(getattr(model.encoder, "rates", (0, 0)))
                chosen = output.log_probs(self.hparams.scoring).cpu()
                frames = output.lengths.tolist()
                posteriors += [(u, chosen[i, : frames[i]].clone()) for i, u in enumerate(batch.utterances)]
                self._remember(batch.utterances, output)
        self.seconds += max(distributed.gather_objects([seconds]))
        frames, chunks = distributed.sum_(rates).tolist()
        if chunks:
            self.chunks[name] = {key: round(value, 4) for key, value in chunk_statistics(frames, chunks).items()}
        return decoded, posteriors

    def _examples(self):
        """examples.npz, for plots."""
        if distributed.is_main():
            model, features = self.brain.modules.model, self.brain.modules.features
            file = self.folder / "examples.npz"
            write_examples(file, model, features, self.dev, self.root, self.units, self.brain.device)

    def _remember(self, utterances, output):
        """Keep of a batch what `_others` needs."""

    def _others(self, title):
        """Texts of the split that `_network` has just read, by further decoders of a subclass."""
        return {}

    def _beams(self, posteriors, dev):
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
            tuned = self._tuned(BeamDecoder(self.units, lm=path, **options), posteriors, dev)
            self.decoding |= {"lm_weight": tuned.lm_weight, "word_score": tuned.word_score}
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
        if "lm_tool" not in self.decoding:
            order = self.hparams.lm_order
            self.decoding["lm_tool"] = distributed.main_first(lambda: ngram.estimate(texts, order, path))
        return path

    def _tuned(self, decoder, posteriors, dev):
        """The decoder with the weights given, or those best on a sample of dev."""
        h = self.hparams
        if h.lm_weight is not None and h.word_score is not None:
            return decoder.with_weights(h.lm_weight, h.word_score)
        rows = random.Random(h.seed).sample(dev, min(TUNING_UTTERANCES, len(dev)))
        sample = {u.id for u in rows}  # the same whatever the number of processes
        subset = [(u, log_probs) for u, log_probs in posteriors if u.id in sample]
        grid = {
            "lm_weights": LM_WEIGHTS if h.lm_weight is None else (h.lm_weight,),
            "word_scores": WORD_SCORES if h.word_score is None else (h.word_score,),
        }
        references = [u.text for u, _ in subset]

        def dev_wer(texts):
            counts = score(references, texts).total
            return sum(distributed.gather_objects([counts]), ErrorCounts()).rate

        chosen = tune(
            decoder,
            [log_probs for _, log_probs in subset],
            dev_wer,
            **grid,
            n_jobs=self._jobs(len(subset) * TRIALS),
            progress=distributed.is_main(),
        )
        logger.info("lm_weight %g, word_score %g: dev WER %.2f", *chosen_weights(chosen))
        return decoder.with_weights(chosen.lm_weight, chosen.word_score)

    def _beam(self, posteriors, beams):
        decoded = {}
        for name, decoder in beams.items():
            hypotheses = decoder.decode_many(
                [log_probs for _, log_probs in posteriors],
                n_jobs=self._jobs(len(posteriors)),
                progress=distributed.is_main(),
            )
            decoded[f"{self.scoring}/{name}"] = {u.id: h.text for (u, _), h in zip(posteriors, hypotheses, strict=True)}
        return decoded

    def _jobs(self, count):
        """Processes for ``count`` utterances: this process's share of the cores, where starting them pays."""
        cores = available_cores() // distributed.local_world_size()
        return max(1, cores) if count >= WORTH_PROCESSES else 1

    # --- scoring --------------------------------------------------------------------------------------------------

    def _score(self, split, rows, decoded):
        """Score every decoder of a split and write its files."""
        results = {}
        decoded = {decoder: {u.id: texts[u.id] for u in rows} for decoder, texts in decoded.items()}
        for decoder, texts in decoded.items():
            phones = self.phonemic and "/lexicon-beam" not in decoder
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
        return with_interval(result)

    def _write_texts(self, split, rows, decoded):
        """decoded_<split>.csv: reference, its phonemes where they are the units, and every decoder's text."""
        with (
            replacing(self.folder / f"decoded_{split}.csv") as path,
            open(path, "w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.writer(file)
            phonemes = ["phonemes"] if self.phonemic else []
            writer.writerow(["id", "duration", "reference", *phonemes, *decoded])
            for u in rows:
                spoken = [u.phonemes] if self.phonemic else []
                writer.writerow([u.id, u.duration, u.text, *spoken, *(texts[u.id] for texts in decoded.values())])


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
