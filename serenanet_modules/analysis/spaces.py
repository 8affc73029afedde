"""Word errors that are only a space: words split in two, words joined to one."""

from typing import NamedTuple

from serenanet_modules.analysis.scoring import DELETION, INSERTION, SUBSTITUTION, score


class SpaceErrors(NamedTuple):
    """Of a set's word errors, how many are only a space.

    Attributes
    ----------
    errors : int
        Word errors, as WER counts them.
    spaces : int
        Those that are gone once spaces are put where the reference has them.
    words : int
        In the references.
    """

    errors: int
    spaces: int
    words: int

    @property
    def share(self):
        """Of the errors, those that are only a space."""
        return self.spaces / max(1, self.errors)

    @property
    def rate(self):
        """WER without them."""
        return (self.errors - self.spaces) / max(1, self.words)

    def __add__(self, other):
        return SpaceErrors(*(a + b for a, b in zip(self, other, strict=True)))

    def __str__(self):
        return (
            f"{self.spaces} of {self.errors} word errors ({100 * self.share:.1f} %) are only a space; "
            f"WER without them {100 * self.rate:.2f}"
        )


def space_errors(references, hypotheses):
    """Count the word errors that are only a space.

    Where a row of neighbouring words of the hypothesis is, letter by letter, a row of neighbouring words of the
    reference, it is written with the reference's spaces; then the hypothesis is scored once more. The errors that are
    gone were only a space. A word that was split in two, or two that were joined to one, count one or two errors, as
    the words beside them have it; a word that is wrong in a letter as well counts none.

    Parameters
    ----------
    references, hypotheses : dict of str to str
        Text by utterance id.

    Returns
    -------
    SpaceErrors

    Examples
    --------
    >>> print(space_errors({"u": "watu wawili wanakula chakula"}, {"u": "watuwawili wana kula chakul"}))
    3 of 4 word errors (75.0 %) are only a space; WER without them 25.00
    """
    plain = score(references, hypotheses).per_utterance
    wrong = [name for name, counts in plain.items() if counts.errors]
    texts = {name: references[name] for name in wrong}
    spaced = {name: respaced(text, hypotheses[name]) for name, text in texts.items()}
    left = score(texts, spaced).per_utterance
    spaces = sum(max(0, plain[name].errors - left[name].errors) for name in wrong)
    return SpaceErrors(sum(c.errors for c in plain.values()), spaces, sum(c.length for c in plain.values()))


def respaced(reference, hypothesis):
    """The hypothesis with the reference's spaces wherever rows of words are the same letters.

    Examples
    --------
    >>> respaced("a bc d", "ab c x d")
    'a bc x d'
    """
    theirs, ours = reference.split(), hypothesis.split()
    costs = [[(0, None)] * (len(ours) + 1) for _ in range(len(theirs) + 1)]  # (cost, (words, words) of the last step)
    for i in range(len(theirs) + 1):
        for j in range(len(ours) + 1):
            costs[i][j] = min(_ways(costs, theirs, ours, i, j), default=(0, None))
    written, i, j = [], len(theirs), len(ours)
    while step := costs[i][j][1]:
        a, b = step
        same = a and "".join(theirs[i - a : i]) == "".join(ours[j - b : j])
        written = (theirs[i - a : i] if same else ours[j - b : j]) + written
        i, j = i - a, j - b
    return " ".join(written)


def _ways(costs, theirs, ours, i, j):
    """(cost, last step) of alignments of the first i and j words: an error, or rows of words of the same letters."""
    if i:
        yield costs[i - 1][j][0] + DELETION, (1, 0)
    if j:
        yield costs[i][j - 1][0] + INSERTION, (0, 1)
    if i and j:
        yield costs[i - 1][j - 1][0] + SUBSTITUTION, (1, 1)
        yield from ((costs[i - a][j - b][0], (a, b)) for a, b in _alike(theirs, ours, i, j))


def _alike(theirs, ours, i, j):
    """(a, b): the last a of i words and the last b of j words are the same letters, and no fewer of them are."""
    a = b = 1
    one, other = theirs[i - 1], ours[j - 1]
    while one != other:
        if one.endswith(other) and b < j:
            b += 1
            other = ours[j - b] + other
        elif other.endswith(one) and a < i:
            a += 1
            one = theirs[i - a] + one
        else:
            return
    yield a, b
