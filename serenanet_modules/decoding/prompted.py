"""Decoding with a speech LLM: its language model writes token after token, greedily or by a beam search."""

from dataclasses import dataclass, replace
from math import ceil
from typing import Any, ClassVar, NamedTuple

import torch
from torch.nn import functional

from serenanet_modules.decoding.decoder import Decoder, Hypothesis, different
from serenanet_modules.decoding.loops import loop, without_loop
from serenanet_modules.decoding.prompts import Prompts
from serenanet_modules.decoding.rows import decode_in_batches

PER_SECOND, MORE = 12, 10  # tokens that an answer has at most, for a second of sound and beside it
IMPOSSIBLE = -1e4  # nats, of a text that CTC has no path for


def most_tokens(seconds):
    """Tokens that an answer has at most.

    >>> most_tokens(1.5)
    28
    """
    return ceil(PER_SECOND * seconds) + MORE


class Answer(NamedTuple):
    """What a language model wrote: its tokens without the end, their log-probability, and whether it went round."""

    tokens: list
    score: float
    looped: bool = False

    @property
    def rank(self):
        """By which answers compare: those without a loop first, then by the log-probability of a token."""
        return not self.looped, self.score / (len(self.tokens) + 1)


@dataclass
class Prompted(Decoder):
    """Greedy or beam search of a `SpeechLLM`.

    Parameters
    ----------
    model : SpeechLLM
        In evaluation mode.
    units : Units
        Of its CTC head.
    tokens : Tokens
    context : str
        Names and words that may be said, for the prompt.
    beam_size : int
        Answers that are followed at once; with 1 the likeliest token is taken each time.
    draft : bool
        Whether the prompt holds what CTC hears.
    ctc_weight : float
        Of CTC's log-probability, when the finished answers of a beam search are compared; the language model's has the
        rest of 1.
    """

    NAME: ClassVar[str] = "llm/beam"

    model: Any
    units: Any
    tokens: Any
    context: str = ""
    beam_size: int = 1
    draft: bool = False
    ctc_weight: float = 0.0

    @property
    def name(self):
        """As of `Decoder`."""
        return "llm/greedy" if self.beam_size == 1 else self.NAME

    def with_weights(self, **weights):
        """The same search with another ``ctc_weight``."""
        return replace(self, **weights)

    def decode(self, outputs, lengths):
        """As of `Decoder`."""
        return [self._hypothesis(answers[0]) for answers in self._ranked(outputs, lengths)]

    def listed(self, outputs, lengths, n):
        """As of `Decoder`; as many answers are followed at once."""
        ranked = replace(self, beam_size=max(self.beam_size, n))._ranked(outputs, lengths)
        return [different(map(self._hypothesis, answers), n) for answers in ranked]

    def _ranked(self, outputs, lengths):
        """The answers of each utterance, best first."""
        log_probs = outputs.log_probs("decoder")
        return [
            sorted(answers, key=lambda answer: self._rank(answer, log_probs[i, :frames]), reverse=True)
            for i, (answers, frames) in enumerate(
                zip(self.nbest(outputs.hidden, log_probs, lengths), lengths.tolist(), strict=True)
            )
        ]

    def decode_rows(self, rows, batch_seconds=120.0, jobs=1, title=None):
        """As of `Decoder`."""
        device = next(self.model.parameters()).device
        return decode_in_batches(self.decode, rows, "decoder", device, batch_seconds, title)

    def nbest(self, hidden, log_probs, lengths):
        """Finished answers of each utterance.

        Parameters
        ----------
        hidden, log_probs : Tensor
            Of the acoustic model, (B, T, d_model) and (B, T, V).
        lengths : Tensor
            (B,) int64 frames.

        Returns
        -------
        list of list of Answer
        """
        seconds = [frames * self.model.acoustic.frame_seconds for frames in lengths.tolist()]
        limits = [most_tokens(length) for length in seconds]
        prompts, each = Prompts(self.tokens, self.units, self.draft), len(hidden)
        said = prompts.said([self.context] * each, [[]] * each, log_probs, lengths)
        with torch.no_grad():
            heard = self.model.embeddings(hidden.float(), log_probs, lengths)  # whatever the network's precision
            return self._searched(*self.model.sequences(heard, said), limits)

    def _searched(self, x, valid, limits):
        """As `_Search.run`; one after the other where a batch's longest leaves others no room for their answers."""
        if x.shape[1] + max(limits) <= self.model.llm.longest:
            return _Search(self, x, valid, limits).run()
        counts = valid.sum(1).tolist()
        return [
            _Search(self, x[i : i + 1, -n:], valid[i : i + 1, -n:], [limit]).run()[0]
            for i, (n, limit) in enumerate(zip(counts, limits, strict=True))
        ]

    def _rank(self, answer, log_probs):
        """As `Answer.rank`, with CTC's log-probability of the text where that counts."""
        if not self.ctc_weight:
            return answer.rank
        labels = self.units.encode(self._text(answer))
        both = (1 - self.ctc_weight) * answer.score + self.ctc_weight * ctc_score(log_probs, labels)
        return answer._replace(score=both).rank

    def _text(self, answer):
        return self.tokens.decode(without_loop(answer.tokens) if answer.looped else answer.tokens)

    def _hypothesis(self, answer):
        text = self._text(answer)
        return Hypothesis(self.units.encode(text), text, text.split(), answer.score, answer.looped)


def ctc_score(log_probs, labels, blank_id=0):
    """Log-probability that CTC gives labels, of log_probs (T, V); `IMPOSSIBLE` where frames are too few for them."""
    if not len(log_probs):
        return IMPOSSIBLE if labels else 0.0
    sizes = torch.tensor([len(log_probs)]), torch.tensor([len(labels)])
    given = log_probs.float().cpu().unsqueeze(1), torch.tensor([labels], dtype=torch.int64)
    return max(IMPOSSIBLE, -float(functional.ctc_loss(*given, *sizes, blank=blank_id, reduction="sum")))


class _Search:
    """One search: the answers that are followed of all utterances, each a row of the language model's batch."""

    def __init__(self, options, x, valid, limits):
        self.llm, self.beam = options.model.llm, options.beam_size
        self.limits = [min(limit, self.llm.longest - x.shape[1]) for limit in limits]
        self.end = frozenset(options.tokens.end)
        self.cache, self.x, self.valid = self.llm.start(), x, valid
        self.running = [[Answer([], 0.0)] for _ in limits]  # by utterance; their rows are in this order
        self.finished = [[] for _ in limits]

    def run(self):
        """Search to the end; the finished answers of each utterance."""
        while any(self.running):
            log_probs = self.llm(self.x, self.valid, 1, self.cache)[:, -1].log_softmax(-1)
            self._go_on(*log_probs.topk(min(2 * self.beam, log_probs.shape[1]), dim=-1))
        return self.finished

    def _go_on(self, scores, tokens):
        """Extend all answers by their likeliest tokens (rows, 2 beam)."""
        scores, tokens, row, parents = scores.tolist(), tokens.tolist(), 0, []
        for at, running in enumerate(self.running):
            rows = range(row, row + len(running))
            row += len(running)
            extended = sorted(
                (
                    (answer.score + score, r, answer.tokens, token)
                    for r, answer in zip(rows, running, strict=True)
                    for score, token in zip(scores[r], tokens[r], strict=True)
                ),
                key=lambda found: -found[0],
            )
            self.running[at], own = self._followed(at, extended)
            parents += own
        if any(self.running):
            self._pick(parents)

    def _followed(self, at, extended):
        """The answers of an utterance to follow, and the rows that they come from; keeps those that end here."""
        running, parents, finished = [], [], self.finished[at]
        for rank, (score, row, before, token) in enumerate(extended):
            if token in self.end:
                if rank < self.beam:
                    finished.append(Answer(before, score))
            elif len(running) < self.beam:
                answer = Answer([*before, token], score)
                answer = answer._replace(looped=bool(loop(answer.tokens)))
                if answer.looped or len(answer.tokens) >= self.limits[at]:
                    finished.append(answer)
                else:
                    running.append(answer)
                    parents.append(row)
            if len(running) == self.beam or len(finished) >= self.beam:
                break
        return ([], []) if len(finished) >= self.beam else (running, parents)

    def _pick(self, parents):
        """Let the batch's rows be the running answers'."""
        last = [answer.tokens[-1] for running in self.running for answer in running]
        if parents != list(range(len(self.valid))):
            rows = torch.tensor(parents, device=self.valid.device)
            self.cache.reorder_cache(rows)
            self.valid = self.valid[rows]
        self.valid = functional.pad(self.valid, (0, 1), value=True)
        self.x = self.llm.embed(torch.tensor(last, device=self.valid.device).unsqueeze(1))
