"""Evaluation of models with an attention decoder: its own decoders beside those of the CTC head."""

import random
from dataclasses import replace

import torch
from torch.nn.utils.rnn import pad_sequence
from tqdm import tqdm

from serenanet_modules.analysis.scoring import score
from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.decoding.attention import AttentionBeam, attention_greedy
from serenanet_modules.decoding.tuning import tune_in_turn
from serenanet_modules.runs.language_model import NeuralLMRun
from serenanet_modules.runtime import distributed
from serenanet_modules.training.evaluation import Evaluation

TUNING_UTTERANCES = 100  # of dev, at most
CTC_WEIGHTS = (0.4, 0.2, 0.3, 0.5, 0.6)  # tried on dev, as are these in turn:
LM_WEIGHTS, WORD_SCORES = (0.1, 0.2, 0.4, 0.6, 0.9), (0.0, 1.0, 2.0, 3.0)


class HybridEvaluation(Evaluation):
    """Adds ``attention/greedy``, ``attention/beam`` (joint with CTC) and the latter with language models.

    Parameters are those of `Evaluation`. ``decoding`` also holds the weights that dev chose, by decoder.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self._encoded = []  # (utterance, encoder output (T, d_model), CTC log-probabilities (T, V)) of a split
        self._searches = None

    def _remember(self, utterances, output):
        frames, log_probs = output.lengths.tolist(), output.log_probs(self.hparams.scoring)
        for i, utterance in enumerate(utterances):
            parts = (part[i, : frames[i]].float().cpu().clone() for part in (output.hidden, log_probs))
            self._encoded.append((utterance, *parts))

    def _others(self, title):
        """Texts of a split by the attention decoder, by decoder and utterance."""
        encoded, self._encoded = self._encoded, []
        decoder, decode = self.brain.modules.model.attention, self.units.decode
        ways = {"attention/greedy": lambda m, _, n: [decode(units) for units in attention_greedy(decoder, m, n)]}
        if self.hparams.attention_beam_size:
            if self._searches is None:
                self._searches = self._make_searches(encoded)
            ways |= {way: _texts_of(search) for way, search in self._searches.items()}
        return {way: self._decode(encoded, decode, f"{title}: {way}") for way, decode in ways.items()}

    def _make_searches(self, dev):
        """Beam searches by name, with the weights given, or those best on dev."""
        h = self.hparams
        search = AttentionBeam(
            self.brain.modules.model.attention,
            self.units,
            h.attention_beam_size,
            length_normalisation=h.length_normalisation,
        )
        search = self._weighted("attention/beam", search, dev, ctc_weight=(h.decoding_ctc_weight, CTC_WEIGHTS))
        searches = {"attention/beam": search}
        grid = {"lm_weight": (h.lm_weight, LM_WEIGHTS), "word_score": (h.word_score, WORD_SCORES)}
        path = None if self.phonemic else self._language_model()
        if path is not None:
            way = "attention/beam+lm"
            searches[way] = self._weighted(way, replace(search, ngram=path), dev, **grid)
        if h.neural_lm is not None:
            way, model = "attention/beam+neural-lm", NeuralLMRun(h.neural_lm).model(self.units)
            searches[way] = self._weighted(way, replace(search, label_lm=model.to(self.brain.device)), dev, **grid)
        return searches

    def _weighted(self, way, search, dev, **weights):
        """The search with weights, (given or None, tried on a sample of dev) each."""
        grid = {name: tried if given is None else (given,) for name, (given, tried) in weights.items()}
        everyone = sorted(self.dev, key=lambda u: u.id)
        sample = random.Random(self.hparams.seed).sample(everyone, min(TUNING_UTTERANCES, len(everyone)))
        ids = {u.id for u in sample}  # the same whatever the number of processes
        subset = [row for row in dev if row[0].id in ids]

        def error(tried):
            return self._error(sample, self._decode(subset, _texts_of(replace(search, **tried)), way, quiet=True))

        trials = 1 + sum(len(values) - 1 for values in grid.values())
        with tqdm(total=trials, desc=f"tuning {way}", disable=trials == 1 or not distributed.is_main()) as bar:
            chosen, _ = tune_in_turn(grid, error, bar.update)
        search = replace(search, **chosen)
        used = ("ctc_weight",) if way == "attention/beam" else ("ctc_weight", *grid)
        self.decoding[way] = {name: getattr(search, name) for name in used}
        return search

    def _error(self, rows, texts):
        """WER (PER for phoneme units) of this and the other processes' texts, 0…1."""
        texts = dict(distributed.gather_objects(list(texts.items())))
        references = {u.id: u.phonemes if self.phonemic else u.text for u in rows}
        return score(references, texts, "phone" if self.phonemic else "word").total.rate

    def _decode(self, encoded, decode, title, quiet=False):
        """Texts by utterance; batches are of utterances of about equal length."""
        texts, device = {}, self.brain.device
        sampler = BatchSampler([u.duration for u, *_ in encoded], self.hparams.max_batch_seconds, shuffle=False)
        for plan in tqdm(sampler, desc=title, disable=quiet or not distributed.is_main()):
            chosen = [encoded[i] for i in plan.indices]
            lengths = torch.tensor([len(row[1]) for row in chosen], device=device)
            memory, log_probs = (pad_sequence([row[k] for row in chosen], batch_first=True) for k in (1, 2))
            found = decode(memory.to(device), log_probs.to(device), lengths)
            texts |= {row[0].id: text for row, text in zip(chosen, found, strict=True)}
        return texts


def _texts_of(search):
    return lambda memory, log_probs, lengths: [h.text for h in search(memory, log_probs, lengths)]
