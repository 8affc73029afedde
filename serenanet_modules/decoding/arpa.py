"""N-gram models in ARPA format: read, checked, asked.

An n-gram is a number, 0 that of none; its children are the n-grams of one word more, sorted by that word and one behind
the other. So a model is a few arrays, which the compiled search reads as they are.
"""

import math
import re
from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from serenanet_modules.decoding.kneser_ney import BOS, EOS, UNK
from serenanet_modules.errors import UserError

MOST_ORDER = 10
LN10 = math.log(10.0)
NO_PROBABILITY = -100.0  # log10, of an unknown word where a model has no <unk>
LARGEST = 1e6  # of what is a logarithm
LONGEST_WORD = 1000  # letters, each of which is a level of the tree that a search walks down
ROUNDING = 1e-3  # by which tools write a probability above 1


class NGram:
    """An ARPA model, speaking words and natural logarithms.

    A state is a number: the longest n-gram in the model that the words before end in.

    Parameters
    ----------
    path : path
        The ARPA file, UTF-8; of order 1 to 10. An n-gram whose beginning the model lacks gets it, as likely as the
        shorter n-grams say.

    Attributes
    ----------
    words : dict of str to int
        Number of each word, that of ``<unk>`` 0.
    begin, word, logprob, backoff, shorter, state : numpy.ndarray
        Of each n-gram: the first child, the last word, ln p of it, what unseen children pay, the n-gram without its
        first word, and the state after it. ``begin`` has an end more.
    first, end : int
        The state at the beginning of a sentence; the word that ends it, or -1.

    Raises
    ------
    UserError
        If there is no such file, or it is no ARPA model.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        if not self.path.is_file():
            raise UserError(f"{path}: no such language model; make one with `serenanet lm`.")
        try:
            with self.path.open(encoding="utf-8") as lines:
                self.words, sections = _read(lines)
            self._build(sections)
        except (_BadArpa, UnicodeDecodeError) as error:
            reason = "it is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else error
            raise UserError(f"{path}: cannot be read as an ARPA model ({reason}).") from None

    @classmethod
    def of_lines(cls, lines):
        """The model whose ARPA file has these lines."""
        model = cls.__new__(cls)
        model.words, sections = _read(iter("\n".join(lines).splitlines()))
        model._build(sections)
        return model

    @classmethod
    def empty(cls):
        """A model to which all words are one, which is certain and never ends."""
        model = cls.__new__(cls)
        model.words, sections = {UNK: 0}, [(np.zeros((1, 1), np.int64), np.zeros((1, 2)))]
        model._build(sections)
        return model

    def with_unknown(self, logprob):
        """The same n-grams, but for ln p(<unk>)."""
        return self._changed(logprob=np.concatenate([self.logprob[:1], [logprob], self.logprob[2:]]))

    def scaled(self, weight):
        """The same n-grams, whose logarithms are weighted."""
        return self._changed(logprob=weight * self.logprob, backoff=weight * self.backoff)

    def _changed(self, **arrays):
        other = copy(self)
        for name in ("_logprob", "_backoff"):
            other.__dict__.pop(name, None)
        other.__dict__.update(arrays)
        return other

    def __contains__(self, word: str) -> bool:
        return self.words.get(word, 0) > 0

    def start(self) -> int:
        """The state at the beginning of a sentence."""
        return self.first

    def score(self, state: int, word: str) -> tuple[int, float]:
        """The state after `word`, and ln p(word | state)."""
        return self.step(state, self.words.get(word, 0))

    def step(self, state: int, word: int) -> tuple[int, float]:
        """As `score`, of a word's number."""
        logprob = 0.0
        while (found := self._children.get((state, word))) is None:
            logprob += self._backoff[state]
            state = self._shorter[state]
        return self._state[found], logprob + self._logprob[found]

    def finish(self, state: int) -> float:
        """Ln p(</s> | state); 0 where the model has no end of sentence."""
        return 0.0 if self.end < 0 else self.step(state, self.end)[1]

    @property
    def unigrams(self) -> np.ndarray:
        """Ln p of each word without any context, by its number."""
        return self.logprob[1 : 1 + len(self.words)]

    def unigram(self, word: str) -> float:
        """Ln p(word) without any context."""
        return self.step(0, self.words.get(word, 0))[1]

    @cached_property
    def _children(self):
        """Number of an n-gram by that of its beginning and its last word."""
        parents = np.repeat(np.arange(len(self.word)), np.diff(self.begin))
        return dict(
            zip(zip(parents.tolist(), self.word[1:].tolist(), strict=True), range(1, len(self.word)), strict=True)
        )

    # plain lists, which are several times as fast to index
    _logprob = cached_property(lambda self: self.logprob.tolist())
    _backoff = cached_property(lambda self: self.backoff.tolist())
    _shorter = cached_property(lambda self: self.shorter.tolist())
    _state = cached_property(lambda self: self.state.tolist())

    def _build(self, sections):
        sections = _with_beginnings(sections)
        size, first, keys, values = len(self.words), 1, [np.zeros(1, np.int64)], [np.zeros((1, 2))]
        for rows, numbers in sections:
            parents = np.zeros(len(rows), np.int64)
            for word in rows.T[:-1]:
                parents = 1 + np.searchsorted(np.concatenate(keys)[1:], parents * size + word)
            key = parents * size + rows[:, -1]
            order = np.argsort(key, kind="stable")
            keys.append(key[order])
            values.append(numbers[order])
            if (np.diff(keys[-1]) == 0).any():
                raise _BadArpa(f"a {rows.shape[1]}-gram is listed twice")
        keys = np.concatenate(keys)
        lengths = [len(rows) for rows, _ in sections]
        self.word = (keys % size).astype(np.int32)
        parents = keys[1:] // size
        self.begin = 1 + np.searchsorted(parents, np.arange(len(keys) + 1))
        self.logprob, self.backoff = np.ascontiguousarray(np.concatenate(values).T) * LN10
        self.shorter = np.zeros(len(keys), np.int32)
        first = 1 + lengths[0]
        for length in lengths[1:]:
            self.shorter[first : first + length] = self._shorten(keys, size, slice(first, first + length))
            first += length
        self.state = np.arange(len(keys), dtype=np.int32)
        self.state[first - lengths[-1] :] = self.shorter[first - lengths[-1] :]
        self._fill()
        self.order = len(sections)
        self.first = int(self.state[1 + self.words[BOS]]) if BOS in self.words else 0
        self.end = self.words.get(EOS, -1)

    def _shorten(self, keys, size, part):
        """The longest n-gram in the model that each of some ends in, but for itself."""
        states, words = self.shorter[keys[part] // size].astype(np.int64), keys[part] % size
        found = np.zeros(len(states), np.int64)
        open_ = np.arange(len(states))
        while len(open_):
            wanted = states[open_] * size + words[open_]
            place = np.minimum(1 + np.searchsorted(keys[1:], wanted), len(keys) - 1)
            hit = keys[place] == wanted
            found[open_[hit]] = place[hit]
            open_ = open_[~hit]
            states[open_] = self.shorter[states[open_]]
        return found

    def _fill(self):
        """The probabilities of n-grams that stand for a beginning that the file lacks."""
        parents = np.repeat(np.arange(len(self.word)), np.diff(self.begin))
        for missing in np.flatnonzero(np.isnan(self.logprob)).tolist():
            parent, word = int(parents[missing - 1]), int(self.word[missing])
            logprob, state = self.backoff[parent], int(self.shorter[parent])
            while True:
                row = self.word[self.begin[state] : self.begin[state + 1]]
                at = int(np.searchsorted(row, word))
                if at < len(row) and row[at] == word:
                    break
                logprob, state = logprob + self.backoff[state], int(self.shorter[state])
            self.logprob[missing] = logprob + self.logprob[self.begin[state] + at]


class _BadArpa(ValueError):
    """What is wrong with a file."""


def _read(lines):
    """The words of an ARPA file, and for each order the n-grams (n, order) and their (log10 p, backoff) (n, 2)."""
    numbered = ((number, line.strip()) for number, line in enumerate(lines, 1) if line.strip())
    counts = _counts(numbered)
    words, sections = {UNK: 0}, []
    for order, count in enumerate(counts, 1):
        sections.append(_section(numbered, order, count, words, order == len(counts)))
        if order == 1 and UNK not in sections[0][2]:
            rows, values, _ = sections[0]
            sections[0] = np.append(rows, [[0]], axis=0), np.append(values, [[NO_PROBABILITY, 0.0]], axis=0), ()
    return words, [(rows, values) for rows, values, _ in sections]


def _counts(numbered):
    """How many n-grams of each order a file says it has; what it says before is left out."""
    if not any(line == "\\data\\" for _, line in numbered):
        raise _BadArpa("there is no line \\data\\")
    counts = []
    for number, line in numbered:
        if line == "\\1-grams:" and counts:
            return counts
        found = re.fullmatch(r"ngram\s+(\d{1,2})\s*=\s*(\d{1,12})", line, re.ASCII)
        if not found or int(found[1]) != len(counts) + 1 or len(counts) == MOST_ORDER:
            raise _BadArpa(f"line {number} is not 'ngram {len(counts) + 1}=COUNT' of an order up to {MOST_ORDER}")
        counts.append(int(found[2]))
    raise _BadArpa("there is no line \\1-grams:")


def _section(numbered, order, count, words, last):
    """One order's n-grams, up to the line that begins the next."""
    rows, values, seen = [], [], set()
    following = "\\end\\" if last else f"\\{order + 1}-grams:"
    for number, line in numbered:
        if line == following:
            break
        fields = line.split()
        if not order + 1 <= len(fields) <= order + 2 or len(rows) == count:
            raise _BadArpa(f"line {number} is neither one of {count} {order}-grams nor {following}")
        values.append(_values(number, fields[0], fields[order + 1 :]))
        if order == 1:
            if fields[1] in seen:
                raise _BadArpa(f"line {number}: the word {fields[1][:40]} is listed twice")
            if len(fields[1]) > LONGEST_WORD:
                raise _BadArpa(f"line {number}: a word of {len(fields[1])} letters; at most {LONGEST_WORD} are allowed")
            seen.add(fields[1])
            words.setdefault(fields[1], len(words))
        try:
            rows.append([words[word] for word in fields[1 : order + 1]])
        except KeyError as error:
            raise _BadArpa(f"line {number}: {error.args[0][:40]!r} is not among the 1-grams") from None
    else:
        raise _BadArpa(f"it ends before the line {following}")
    if len(rows) != count:
        raise _BadArpa(f"its header says {count} {order}-grams, and it has {len(rows)}")
    return np.array(rows, np.int64).reshape(-1, order), np.array(values).reshape(-1, 2), seen


def _values(number, probability, backoff):
    """Log10 p and the backoff of a line."""
    try:
        values = float(probability), float(backoff[0]) if backoff else 0.0
    except ValueError:
        raise _BadArpa(f"line {number}: its probability or backoff is no number") from None
    if not (-LARGEST <= values[0] <= ROUNDING and abs(values[1]) <= LARGEST):  # NaN is not either
        raise _BadArpa(f"line {number}: log10 p must be between -{LARGEST:g} and 0, a backoff up to {LARGEST:g}")
    return values


def _with_beginnings(sections):
    """The same, and every n-gram's beginning among those one word shorter; added ones have no probability yet."""
    complete, needed = [], None
    for rows, values in reversed(sections):
        if needed is not None:
            both = np.unique(np.concatenate([rows, needed]), axis=0)
            if len(both) > len(rows):
                kinds = [("", np.int64)] * rows.shape[1]
                have, want = (np.ascontiguousarray(part).view(kinds).ravel() for part in (rows, both))
                added = both[~np.isin(want, have)]
                rows = np.concatenate([rows, added])
                values = np.concatenate([values, np.tile([np.nan, 0.0], (len(added), 1))])
        complete.append((rows, values))
        needed = np.unique(rows[:, :-1], axis=0)
    return complete[::-1]


@dataclass(frozen=True)
class Perplexity:
    """Perplexity over the known words and sentence ends of a text.

    ``words`` counts the text's words, ``oov`` those of them that the model does not know: these
    are left out of ``value``, but stand in the context of what follows.
    """

    value: float
    words: int
    oov: int
    sentences: int


def perplexity(arpa: str | Path, texts: Iterable[str]) -> Perplexity:
    """Perplexity of the ARPA model on `texts`; UserError where there is no word in them."""
    model = NGram(arpa)
    total, words, oov, count = 0.0, 0, 0, 0
    for sentence in filter(None, map(str.split, texts)):
        state = model.start()
        for word in sentence:
            state, logprob = model.score(state, word)
            known = word in model
            total += logprob if known else 0.0
            oov += not known
        total += model.finish(state)
        words += len(sentence)
        count += 1
    if not count:
        raise UserError("The text whose perplexity is asked for has no words; give at least one sentence.")
    return Perplexity(math.exp(-total / (words - oov + count)), words, oov, count)
