"""Interpolated modified Kneser-Ney n-gram estimation, for machines without KenLM's or IRST's tools.

Follows Chen and Goodman, "An empirical study of smoothing techniques for language modeling"
(1998): three discounts per order, and below the highest order the number of different words seen
to the left of an n-gram in place of its count. As usual, an n-gram that opens a sentence keeps its
count (nothing can stand to its left), ``<s>`` is a context but never predicted, and the unigrams
are interpolated with a uniform distribution, from which ``<unk>`` gets its probability.

An interpolated model is a back-off model whose back-off weights are the interpolation weights, so
the result is an ordinary ARPA file. Text is cut into n-grams with sorts over integer keys: a
million words of order 3 take seconds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

UNK, BOS, EOS = "<unk>", "<s>", "</s>"
SPECIAL = (UNK, BOS, EOS)
_BOS = SPECIAL.index(BOS)
# Used for an order whose counts of counts cannot give discounts, as lmplz --discount_fallback does.
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)


@dataclass
class _Level:
    """The n different n-grams of one order k, numbered by (prefix, word)."""

    prefix: np.ndarray  # (n,) number of the first k-1 words in the level below
    suffix: np.ndarray  # (n,) number of the last k-1 words in the level below
    word: np.ndarray  # (n,) number of the last word
    opens: np.ndarray  # (n,) True where the first word is <s>
    count: np.ndarray  # (n,) occurrences in the text


@dataclass
class Ngrams:
    """One order of a finished model; rows are n-grams.

    ``logprob`` and ``backoff`` are base-10 logarithms; ``backoff`` is None at the highest order.
    """

    prefix: np.ndarray
    word: np.ndarray
    logprob: np.ndarray
    backoff: np.ndarray | None


def estimate(sentences: Sequence[Sequence[str]], order: int) -> tuple[list[str], list[Ngrams]]:
    """Estimate a model of `order` from non-empty `sentences`.

    Returns
    -------
    words : list of str
        The vocabulary: ``<unk>``, ``<s>``, ``</s>``, then the text's words in code point order.
    model : list of Ngrams
        Unigrams first; fewer than `order` where no sentence is long enough.

    Examples
    --------
    >>> words, (unigrams, bigrams) = estimate([["a", "b"], ["a"]], order=2)
    >>> words
    ['<unk>', '<s>', '</s>', 'a', 'b']
    >>> float((10 ** unigrams.logprob)[[0, 2, 3, 4]].sum().round(6))  # <s> is never predicted
    1.0
    """
    words = [*SPECIAL, *sorted({word for sentence in sentences for word in sentence})]
    levels = _count(sentences, words, order)
    # Below the unigrams: one empty context, and all words but <s> equally likely.
    probability, contexts = np.full(len(words), 1.0 / (len(words) - 1)), 1
    model = []
    for level, above in zip(levels, [*levels[1:], None], strict=True):
        adjusted = _adjusted(level, above)
        probability, weight = _interpolate(level, adjusted, probability[level.suffix], contexts)
        contexts = len(level.word)
        if model:
            model[-1].backoff = np.log10(weight)
        model.append(Ngrams(level.prefix, level.word, np.log10(probability), None))
    model[0].logprob[_BOS] = -99.0  # by convention; no n-gram ends in <s>, so nothing reads it
    return words, model


def arpa_lines(words: Sequence[str], model: Sequence[Ngrams]) -> Iterator[str]:
    """Yield the lines of an ARPA file, without line ends."""
    yield "\\data\\"
    for k, level in enumerate(model, start=1):
        yield f"ngram {k}={len(level.word)}"
    names = [""]
    for k, level in enumerate(model, start=1):
        yield ""
        yield f"\\{k}-grams:"
        space = " " if k > 1 else ""
        pairs = zip(level.prefix.tolist(), level.word.tolist(), strict=True)
        names = [names[prefix] + space + words[word] for prefix, word in pairs]
        if level.backoff is None:
            rows = zip(level.logprob.tolist(), names, strict=True)
            yield from (f"{logprob:.7g}\t{name}" for logprob, name in rows)
        else:
            rows = zip(level.logprob.tolist(), names, level.backoff.tolist(), strict=True)
            yield from (f"{logprob:.7g}\t{name}\t{backoff:.7g}" for logprob, name, backoff in rows)
    yield ""
    yield "\\end\\"


def _count(sentences: Sequence[Sequence[str]], words: list[str], order: int) -> list[_Level]:
    """Number the n-grams of orders 1 to `order` inside sentences bounded by <s> and </s>."""
    number = {word: i for i, word in enumerate(words)}
    stream = np.array([number[w] for sentence in sentences for w in (BOS, *sentence, EOS)], dtype=np.int64)
    lengths = np.array([len(sentence) + 2 for sentence in sentences])
    # room[i]: tokens from position i to the end of its sentence; a k-gram starts where room >= k.
    room = np.repeat(lengths.cumsum(), lengths) - np.arange(len(stream))

    size = len(words)
    every = np.arange(size)
    count = np.bincount(stream, minlength=size)
    # The order below the unigrams is a distribution over words: the suffix is the word itself.
    levels = [_Level(np.zeros_like(every), every, every, every == _BOS, count)]
    at = stream  # at[i]: number of the (k-1)-gram that starts at position i
    for k in range(2, order + 1):
        starts = np.flatnonzero(room >= k)
        if not len(starts):
            break
        keys, first, inverse, count = np.unique(
            at[starts] * size + stream[starts + k - 1],
            return_index=True, return_inverse=True, return_counts=True,
        )  # fmt: skip
        first = starts[first]
        levels.append(_Level(keys // size, at[first + 1], keys % size, stream[first] == _BOS, count))
        at = np.full(len(stream), -1)
        at[starts] = inverse
    return levels


def _adjusted(level: _Level, above: _Level | None) -> np.ndarray:
    """Counts at the highest order; below it, numbers of different left neighbours."""
    if above is None:
        adjusted = level.count.copy()
    else:
        neighbours = np.bincount(above.suffix, minlength=len(level.word))
        adjusted = np.where(level.opens, level.count, neighbours)
    adjusted[level.word == _BOS] = 0
    return adjusted


def discounts(adjusted: np.ndarray) -> tuple[float, float, float]:
    """Discounts of n-grams with adjusted count 1, 2 and 3 or more (Chen & Goodman, eq. 26).

    Examples
    --------
    >>> discounts(np.array([1] * 8 + [2] * 4 + [3] * 2 + [4]))
    (0.5, 1.25, 2.0)
    >>> discounts(np.array([7, 7]))  # no n-gram seen once: nothing to estimate from
    (0.5, 1.0, 1.5)
    """
    n1, n2, n3, n4 = (int((adjusted == count).sum()) for count in (1, 2, 3, 4))
    if 0 in (n1, n2, n3, n4):
        return FALLBACK_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    estimated = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return estimated if min(estimated) > 0 else FALLBACK_DISCOUNTS


def _interpolate(
    level: _Level, adjusted: np.ndarray, below: np.ndarray, contexts: int
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of one order, and the weight that each context gives to the order below.

    `below` holds the n-grams' probabilities at the order below. A context never followed by
    anything (one that ends in </s>) has weight 1.
    """
    taken = np.array([0.0, *discounts(adjusted)])[np.minimum(adjusted, 3)]
    total = np.bincount(level.prefix, weights=adjusted, minlength=contexts)
    freed = np.bincount(level.prefix, weights=taken, minlength=contexts)
    weight = np.divide(freed, total, out=np.ones(contexts), where=total > 0)
    return (adjusted - taken) / total[level.prefix] + weight[level.prefix] * below, weight
