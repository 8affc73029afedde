"""Decoding with a label decoder: greedily, or by a beam search joint with CTC (Watanabe et al. 2017).

The beam search goes label by label over all hypotheses of all utterances at once. The score of a label sequence y is

    (1 - ctc_weight) ln p_attention(y) + ctc_weight ln p_CTC(y) + lm_weight ln p_LM(y) + word_score words(y)

and that of a prefix the same with CTC's prefix probability, so that no hypothesis becomes likelier as it grows (but for
a positive word score). Hence a search is over when the best running hypothesis is no better than the finished ones. A
hypothesis that loops, and has far more labels than CTC heard, is not gone on with, and marked where it is the best.
"""

from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, ClassVar

import torch

from serenanet_modules.decoding.arpa import NGram
from serenanet_modules.decoding.cpp.prefixes import prefix_scorer
from serenanet_modules.decoding.ctc_prefix import IMPOSSIBLE
from serenanet_modules.decoding.decoder import SPARE, Decoder, Hypothesis, different
from serenanet_modules.decoding.guard import heard, loops
from serenanet_modules.decoding.label_lm import BORDER, NeuralLM, WordNGram
from serenanet_modules.decoding.label_search import Unsaid, attention_greedy
from serenanet_modules.decoding.loops import LEAST, without_loop
from serenanet_modules.decoding.rows import decode_in_batches
from serenanet_modules.decoding.words import usual_weights
from serenanet_modules.errors import UserError

LOOK = 8  # labels after which loops are looked for
QUIET_LENGTHS, QUIET_MARGIN = 3, 10.0  # end detection of normalised scores: lengths in a row, nats


@dataclass(frozen=True)
class AttentionGreedy(Decoder):
    """`attention_greedy` as a `Decoder`; what loops is decoded again.

    Parameters
    ----------
    decoder : AttentionDecoder
        In evaluation mode.
    units : Units
    alone : bool
        Whether there is no CTC, so that the decoder itself says where labels lie and whether anything is said.
    """

    decoder: Any
    units: Any
    alone: bool = False
    name: ClassVar[str] = "attention/greedy"

    def decode(self, outputs, lengths):
        """As of `Decoder`."""
        memory = outputs.hidden.float()
        found = attention_greedy(self.decoder, memory, lengths, Unsaid(self.units))
        return heard(self.decoder, self.units, memory, lengths, found, self.alone)

    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None):
        """As of `Decoder`."""
        return decode_in_batches(self.decode, rows, "decoder", _device(self.decoder), batch_seconds, title)


@dataclass
class AttentionBeam(Decoder):
    """Beam search over label sequences.

    Parameters
    ----------
    decoder : AttentionDecoder
        In evaluation mode.
    units : Units
    beam_size : int
        Running hypotheses of an utterance.
    ctc_weight : float
        0…1; 0 leaves CTC out, 1 attention. Weak models want more of it.
    ngram : NGram or path, optional
        A word n-gram model (ARPA).
    label_lm : LabelLM, optional
        A neural model of the same units; one of the two.
    lm_weight, word_score : float, optional
        Weights of the language model and of each word; of n-grams by default `words.usual_weights`.
    length_normalisation : bool
        Whether finished hypotheses compare by their score per label, the end included: a weak model leaves out words
        without it.
    scoring : str
        Which log-probabilities are CTC's.
    alone : bool
        As of `AttentionGreedy`; then what loops is decoded again, greedily.

    Raises
    ------
    UserError
        For options that cannot be.
    """

    NAME: ClassVar[str] = "attention/beam"

    decoder: Any
    units: Any
    beam_size: int = 10
    ctc_weight: float = 0.4
    ngram: Any = None
    label_lm: Any = None
    lm_weight: float | None = None
    word_score: float | None = None
    length_normalisation: bool = False
    scoring: str = "decoder"
    alone: bool = False
    _lm: Any = field(init=False, default=None, repr=False)

    def __post_init__(self):
        if not self.beam_size > 0:
            raise UserError(f"Attention beam search: beam_size {self.beam_size} must be positive.")
        if not 0 <= self.ctc_weight <= 1:
            raise UserError(f"Attention beam search: ctc_weight {self.ctc_weight} must be between 0 and 1.")
        if self.ngram is not None and self.label_lm is not None:
            raise UserError("Attention beam search: takes one language model; leave out the n-grams or the neural one.")
        if self.ngram is not None and not isinstance(self.ngram, NGram):
            self.ngram = NGram(self.ngram)
        self.usual = {"lm_weight": 0.5, "word_score": 0.0} if self.ngram is None else usual_weights(self.ngram, True)
        for name, weight in self.usual.items():
            setattr(self, name, weight if getattr(self, name) is None else getattr(self, name))
        weights = (self.lm_weight, self.word_score)
        if self.label_lm is not None:
            self._lm = NeuralLM(self.units, self.label_lm, *weights)
        elif self.ngram is not None or self.word_score:
            self._lm = WordNGram(self.units, self.ngram, *weights)

    @property
    def name(self):
        """As of `Decoder`."""
        return self.NAME + ("+neural-lm" if self.label_lm is not None else "+lm" if self.ngram is not None else "")

    def with_weights(self, **weights):
        """The same search with other weights; the models are shared."""
        return replace(self, **weights)

    def decode(self, outputs, lengths):
        """As of `Decoder`."""
        memory = outputs.hidden.float()
        found = self.nbest(memory, outputs.log_probs(self.scoring), lengths, 1)
        best = [hypotheses[0] for hypotheses in found]
        if not self.alone:
            return best
        return heard(self.decoder, self.units, memory, lengths, [found.labels for found in best], alone=True)

    def listed(self, outputs, lengths, n):
        """As of `Decoder`; a model that writes without CTC has no such list."""
        if self.alone:
            return super().listed(outputs, lengths, n)
        found = self.nbest(outputs.hidden, outputs.log_probs(self.scoring), lengths, SPARE * n)
        return [different(hypotheses, n) for hypotheses in found]

    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None):
        """As of `Decoder`."""
        return decode_in_batches(self.decode, rows, self.scoring, _device(self.decoder), batch_seconds, title)

    @torch.no_grad()
    def nbest(self, memory, log_probs, lengths, n):
        """Up to ``n`` different hypotheses of each utterance, best first.

        Parameters
        ----------
        memory : Tensor
            Encoder output (B, T, d_model).
        log_probs : Tensor
            Of the CTC head, (B, T, V).
        lengths : Tensor
            (B,) int64 frames; also the most labels of an utterance.
        n : int

        Returns
        -------
        list of list of Hypothesis
        """
        search = _Search(self, memory, log_probs, lengths, n)
        found = zip(search.run(), search.plenty, strict=True)
        return [[self._hypothesis(*one, most) for one in own] for own, most in found]

    def _hypothesis(self, score, labels, most):
        looped = len(labels) > most and loops(labels, self.units)
        labels = without_loop(labels) if looped else labels
        return Hypothesis(labels, self.units.decode(labels), score=score, looped=looped)


def _device(decoder):
    return next(decoder.parameters()).device


def _plenty(log_probs, lengths):
    """Labels of each utterance beyond which none can be meant: `LEAST`, and twice those of CTC's best path."""
    best = log_probs.argmax(-1)
    inside = torch.arange(best.shape[1], device=best.device) < lengths.to(best.device).unsqueeze(1)
    changed = torch.cat([torch.ones_like(best[:, :1]), best.diff(dim=1)], 1) != 0
    return (LEAST + 2 * ((best != BORDER) & changed & inside).sum(1)).tolist()


class _Search:
    """One search: B utterances still searched × K running hypotheses, those of an utterance side by side."""

    def __init__(self, options, memory, log_probs, lengths, n):
        self.o, self.n, beam = options, n, options.beam_size
        batch, device = len(memory), memory.device
        self.found = [[] for _ in range(batch)]  # of every utterance: its n best (score, labels)
        self.utterances = torch.arange(batch, device=device)  # which ones are still searched (B,)
        lengths = lengths.to(device)
        self.plenty = [inf] * batch if options.alone else _plenty(log_probs, lengths)
        self.limits, self.unsaid = options.decoder.most_labels(lengths), Unsaid(options.units)
        self.decoder = options.decoder.init_state(memory.float(), lengths, beam)
        self.ctc = prefix_scorer(log_probs, lengths) if options.ctc_weight else None
        self.prefixes = self.ctc.start(beam) if self.ctc else None
        self.lm = options._lm.start(batch * beam) if options._lm else None
        self.sums = torch.zeros(2, batch, beam, dtype=torch.float64, device=device)  # attention, language model
        self.alive = torch.arange(beam, device=device).expand(batch, beam) == 0  # the others would be its copies
        self.labels = torch.zeros(batch, beam, 0, dtype=torch.long, device=device)
        self.last = torch.full((batch * beam,), BORDER, device=device)
        self.worst = torch.full((batch,), -inf, dtype=torch.float64, device=device)  # of the n best finished
        self.best = self.worst.clone()
        self.quiet = torch.zeros(batch, dtype=torch.long, device=device)  # lengths without a good ending

    def run(self):
        """Search to the end; the n best of each utterance."""
        for length in range(int(self.limits.max()) + 1):
            extended, parts = self._scores()
            ending = extended[..., BORDER].clone()
            extended[..., BORDER] = -inf
            self._finish(ending, length)
            extended[self.limits <= length] = -inf
            running = self._choose(extended, parts)
            if length % LOOK == LOOK - 1:
                running.masked_fill_(self._looping(), -inf)
            self._drop_done(running, length)
            if not len(self.utterances):
                break
        return self.found

    def _scores(self):
        """Scores (B, K, V) of every extension, and the summed (2, B, K, V) attention and language model's."""
        batch, beam = self.alive.shape
        logits, self.decoder = self.o.decoder.step(self.last, self.decoder)
        logits = self.unsaid(logits, first=not self.labels.shape[-1])
        steps = [logits.double().log_softmax(-1).view(batch, beam, -1)]
        if self.lm is not None:
            scores, self.lm = self.o._lm.step(self.last, self.lm)
            steps.append(scores.double().view(batch, beam, -1))
        parts = [total.unsqueeze(-1) + step for total, step in zip(self.sums, steps, strict=False)]
        extended = (1 - self.o.ctc_weight) * parts[0]
        if self.ctc:
            extended = extended + self.o.ctc_weight * self.ctc.extend(self.prefixes)
        if self.lm is not None:
            extended = extended + parts[1]
        dead = ~self.alive.unsqueeze(-1) | (extended < IMPOSSIBLE)
        return extended.masked_fill(dead, -inf), parts

    def _finish(self, ending, length):
        """Keep hypotheses that end here, with scores ``ending`` (B, K), where they are among the n best."""
        ending = ending / (length + 1) if self.o.length_normalisation else ending
        top = ending.amax(-1)
        for row, column in (ending > self.worst.unsqueeze(-1)).nonzero().tolist():
            pool = self.found[self.utterances[row]]
            pool.append((ending[row, column].item(), self.labels[row, column].tolist()))
            pool.sort(key=lambda pair: pair[0], reverse=True)
            del pool[self.n :]
        pools = [self.found[at] for at in self.utterances.tolist()]
        scores = [[pool[-1][0] if len(pool) == self.n else -inf, pool[0][0] if pool else -inf] for pool in pools]
        self.worst, self.best = torch.tensor(scores, dtype=torch.float64, device=top.device).unbind(1)
        self.quiet = torch.where(top < self.best - QUIET_MARGIN, self.quiet + 1, 0)

    def _choose(self, extended, parts):
        """Go on with the K best extensions; returns their scores (B, K)."""
        batch, beam, size = extended.shape
        scores, flat = extended.view(batch, -1).topk(beam, dim=-1)
        parents, labels = flat // size, flat % size
        self.alive = scores > -inf
        hypotheses = (parents + beam * torch.arange(batch, device=parents.device).unsqueeze(1)).view(-1)
        self.decoder = self.o.decoder.reorder(self.decoder, hypotheses)
        if self.ctc:
            self.prefixes = self.ctc.advance(self.prefixes, parents, labels)
        if self.lm is not None:
            self.lm = self.o._lm.reorder(self.lm, hypotheses)
        for total, part in zip(self.sums, parts, strict=False):
            total.copy_(part.view(batch, -1).gather(1, flat))
        before = self.labels.gather(1, parents.unsqueeze(-1).expand(-1, -1, self.labels.shape[-1]))
        self.labels = torch.cat([before, labels.unsqueeze(-1)], -1)
        self.last = labels.view(-1)
        return scores

    def _looping(self):
        """Which running hypotheses (B, K) loop; they run no longer."""
        length, looping = self.labels.shape[-1], torch.zeros_like(self.alive)
        for row, at in enumerate(self.utterances.tolist()):
            if length > self.plenty[at]:
                own = [loops(labels, self.o.units) for labels in self.labels[row].tolist()]
                looping[row] = torch.tensor(own, device=looping.device)
        self.alive &= ~looping
        return looping

    def _drop_done(self, running, length):
        """Drop utterances none of whose running hypotheses, of scores (B, K), can come to be among the n best."""
        reach, own = running.amax(-1), running.amax(-1)
        if self.o.word_score > 0:
            reach = reach + self.o.word_score * (self.limits - length)  # a word a label from here to the limit
        if self.o.length_normalisation:
            reach = torch.where(reach < 0, reach / (self.limits + 1), reach / (length + 2))
            own = own / (length + 2)
        done = reach <= self.worst
        done |= (self.quiet >= QUIET_LENGTHS) & (own <= self.worst)  # good endings are behind, and it got no better
        if not done.any():
            return
        kept, beam = (~done).nonzero().squeeze(1), self.alive.shape[1]
        hypotheses = (kept.unsqueeze(1) * beam + torch.arange(beam, device=kept.device)).view(-1)
        self.decoder = self.o.decoder.reorder(self.decoder, hypotheses, kept)
        if self.ctc:
            self.ctc.keep(kept)
            self.prefixes = type(self.prefixes)(*(part[kept] for part in self.prefixes))
        if self.lm is not None:
            self.lm = self.o._lm.reorder(self.lm, hypotheses)
        for name in ("utterances", "limits", "alive", "labels", "worst", "best", "quiet"):
            setattr(self, name, getattr(self, name)[kept])
        self.sums, self.last = self.sums[:, kept], self.last[hypotheses]
