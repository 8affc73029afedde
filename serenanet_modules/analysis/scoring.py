"""Word, character and phone error rates, with the alignments of NIST's sclite.

The alignment is the cheapest one with sclite's weights (substitution 4, insertion 3, deletion 3);
among equally cheap ones it takes, from the end of the sentence backwards, a pair before an
insertion before a deletion, as sclite does. Substitutions, insertions and deletions are therefore
the same as sclite's for each utterance; a plain edit distance (1, 1, 1) often has fewer errors.

What a token is
    word   what stands between spaces;
    char   each Unicode code point, and one space between words (as ESPnet and jiwer count);
    phone  what stands between spaces, without the word boundary "|".

An empty reference has no tokens, so whatever is recognised there is inserted: it adds errors and no
length. The rate of an empty reference alone is taken over a length of 1.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from serenanet_modules.runtime.files import replacing

SUBSTITUTION, INSERTION, DELETION = 4, 3, 3
CELLS = 2**21  # alignment cells in memory at once; a pair longer than that is aligned alone
NAMES = {"word": "WER", "char": "CER", "phone": "PER"}
NORMALISED = " normalised"  # ends the names of measures of texts without the capitals and marks that they keep
LEVELS = {name: level for level, name in NAMES.items()}
LEVELS |= {f"{name}{NORMALISED}": LEVELS[name] for name in ("WER", "CER")}
WIDTH = 100  # columns of the alignment file


@dataclass(frozen=True)
class ErrorCounts:
    """How many reference tokens were recognised, and how the others were missed.

    Examples
    --------
    >>> counts = ErrorCounts(hits=7, substitutions=2, deletions=1) + ErrorCounts(insertions=1)
    >>> counts.errors, counts.length, counts.rate
    (4, 10, 0.4)
    >>> print(counts)
    40.00 [ 4 / 10, 1 ins, 1 del, 2 sub ]
    """

    hits: int = 0
    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0

    @property
    def errors(self):
        return self.substitutions + self.deletions + self.insertions

    @property
    def length(self):
        """Tokens in the reference."""
        return self.hits + self.substitutions + self.deletions

    @property
    def rate(self):
        """Errors per reference token, 0.1 for 10 %; above 1 with many insertions."""
        return self.errors / max(1, self.length)

    def __add__(self, other):
        return ErrorCounts(
            self.hits + other.hits,
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
        )

    def __str__(self):
        return (
            f"{100 * self.rate:.2f} [ {self.errors} / {self.length}, {self.insertions} ins, "
            f"{self.deletions} del, {self.substitutions} sub ]"
        )


@dataclass(frozen=True)
class Alignment:
    """Two token sequences and how one becomes the other, an operation per column: "=SDI"."""

    reference: tuple
    hypothesis: tuple
    operations: str

    @property
    def counts(self):
        return ErrorCounts(*(self.operations.count(op) for op in "=SDI"))

    @property
    def columns(self):
        """Columns as a list of (operation, reference token or "", hypothesis token or "")."""
        reference, hypothesis = iter(self.reference), iter(self.hypothesis)
        return [
            (op, "" if op == "I" else next(reference), "" if op == "D" else next(hypothesis)) for op in self.operations
        ]


@dataclass(frozen=True)
class Score:
    """The alignments of a test set, and what follows from them."""

    level: str
    alignments: dict  # utterance id -> Alignment

    @cached_property
    def per_utterance(self):
        """Utterance id -> ErrorCounts."""
        return {name: alignment.counts for name, alignment in self.alignments.items()}

    @cached_property
    def total(self):
        return sum(self.per_utterance.values(), ErrorCounts())

    def __str__(self):
        return f"%{NAMES[self.level]} {self.total}"


def score(references, hypotheses, level="word"):
    """Align each hypothesis with its reference.

    Parameters
    ----------
    references, hypotheses : dict of str to str, or list of str
        Text by utterance id, or in the same order.
    level : str
        "word", "char" or "phone".

    Returns
    -------
    Score

    Raises
    ------
    ValueError
        Where the two do not hold the same utterances.

    Examples
    --------
    >>> print(score(["ng'ombe wangu anakula"], ["ngombe wangu"]))
    %WER 66.67 [ 2 / 3, 0 ins, 1 del, 1 sub ]
    """
    references, hypotheses = _by_id(references), _by_id(hypotheses)
    if different := sorted(references.keys() ^ hypotheses.keys()):
        raise ValueError(
            f"{len(different)} utterance(s) have a reference or a hypothesis only, such as {different[0]!r}."
        )
    pairs = [(tokens(text, level), tokens(hypotheses[name], level)) for name, text in references.items()]
    return Score(level, dict(zip(references, align_all(pairs), strict=True)))


def measures_of(words, phones=False, both=False):
    """Names of what texts are measured by.

    Parameters
    ----------
    words, phones : bool
        Whether there are texts of them.
    both : bool
        Whether texts are scored as they are written, and normalised.

    Examples
    --------
    >>> measures_of(True, both=True)
    ('WER', 'CER', 'WER normalised', 'CER normalised')
    """
    names = ("WER", "CER") * words
    return names + tuple(f"{name}{NORMALISED}" for name in names) * both + ("PER",) * phones


def align(reference, hypothesis):
    """Align two token sequences; return a list of (operation, reference token, hypothesis token).

    Examples
    --------
    >>> align("a b c".split(), "a c c d".split())
    [('=', 'a', 'a'), ('S', 'b', 'c'), ('=', 'c', 'c'), ('I', '', 'd')]
    """
    return align_all([(reference, hypothesis)])[0].columns


def tokens(text, level):
    """Split a text into what is counted.

    Examples
    --------
    >>> tokens("la  la", "char")
    ['l', 'a', ' ', 'l', 'a']
    >>> tokens("l a | l a", "phone")
    ['l', 'a', 'l', 'a']
    """
    words = text.split()
    if level == "word":
        return words
    if level == "char":
        return list(" ".join(words))
    if level == "phone":
        return [phone for phone in words if phone != "|"]
    raise ValueError(f"level is {level!r}, it must be one of {', '.join(NAMES)}")


def align_all(pairs):
    """Align many pairs of token sequences, those of similar length at once.

    Parameters
    ----------
    pairs : list of (sequence, sequence)
        Reference and hypothesis; tokens are any hashable values. Memory grows with the product of
        the lengths of one pair.

    Returns
    -------
    list of Alignment
    """
    order = sorted(range(len(pairs)), key=lambda i: (len(pairs[i][0]), len(pairs[i][1])))
    operations = [""] * len(pairs)
    for batch in _batches(order, pairs):
        for i, found in zip(batch, _align_batch([pairs[i] for i in batch]), strict=True):
            operations[i] = found
    return [
        Alignment(tuple(reference), tuple(hypothesis), found)
        for (reference, hypothesis), found in zip(pairs, operations, strict=True)
    ]


def _by_id(texts):
    return texts if isinstance(texts, dict) else {str(i): text for i, text in enumerate(texts)}


def _batches(order, pairs):
    """Group indices so that a padded batch stays within CELLS."""
    batch, longest = [], 0
    for i in order:
        rows, columns = len(pairs[i][0]) + 1, len(pairs[i][1]) + 1
        longest = max(longest, columns)
        if batch and (len(batch) + 1) * rows * longest > CELLS:
            yield batch
            batch, longest = [], columns
        batch.append(i)
    if batch:
        yield batch


def _align_batch(pairs):
    """Return the operations of B pairs of at most R and H tokens."""
    numbers = {}
    reference = _padded([pair[0] for pair in pairs], numbers, -1)  # (B, R)
    hypothesis = _padded([pair[1] for pair in pairs], numbers, -2)  # (B, H)
    lengths = np.array([(len(r), len(h)) for r, h in pairs])  # (B, 2)
    return _trace(_costs(reference, hypothesis), reference, hypothesis, lengths)


def _padded(sequences, numbers, padding):
    out = np.full((len(sequences), max(map(len, sequences))), padding, np.int32)
    for row, sequence in zip(out, sequences, strict=True):
        row[: len(sequence)] = [numbers.setdefault(token, len(numbers)) for token in sequence]
    return out


def _costs(reference, hypothesis):
    """Cost of the cheapest alignment of each pair of prefixes, (R + 1, B, H + 1)."""
    insertions = INSERTION * np.arange(hypothesis.shape[1] + 1, dtype=np.int32)
    costs = np.empty((reference.shape[1] + 1, len(reference), len(insertions)), np.int32)
    costs[0] = insertions
    for i in range(1, len(costs)):
        above, row = costs[i - 1], costs[i]
        paired = above[:, :-1] + SUBSTITUTION * (reference[:, i - 1, None] != hypothesis)
        row[:] = above + DELETION
        np.minimum(row[:, 1:], paired, out=row[:, 1:])
        # A run of insertions: the least of row[k] + INSERTION * (j - k) over all k <= j.
        row -= insertions
        np.minimum.accumulate(row, axis=1, out=row)
        row += insertions
    return costs


def _trace(costs, reference, hypothesis, lengths):
    """Walk back along the cheapest alignments: a pair before an insertion before a deletion."""
    i, j = lengths.T.copy()  # (B,) tokens that are left
    pair = np.arange(len(i))
    steps = []
    while (i + j).any():
        here = costs[i, pair, j]
        both = (i > 0) & (j > 0)
        # Index -1, where a sequence is used up, reads some cell that `both` and `j > 0` discard.
        same = both & _equal(reference, hypothesis, pair, i, j)
        paired = both & (here == costs[i - 1, pair, j - 1] + np.where(same, 0, SUBSTITUTION))
        inserted = ~paired & (j > 0) & (here == costs[i, pair, j - 1] + INSERTION)
        deleted = ~paired & ~inserted & (i > 0)
        steps.append(np.select([paired & same, paired, inserted, deleted], list(b"=SID"), 0))
        i = i - (paired | deleted)
        j = j - (paired | inserted)
    if not steps:
        return [""] * len(pair)
    walked = np.stack(steps[::-1], axis=1).astype(np.uint8)  # (B, steps), zeros first
    return [row.tobytes().lstrip(b"\0").decode() for row in walked]


def _equal(reference, hypothesis, pair, i, j):
    if not (reference.size and hypothesis.size):
        return np.zeros(len(pair), bool)
    return reference[pair, i - 1] == hypothesis[pair, j - 1]


def write_alignments(path, result):
    """Write a score and the alignment of each utterance as text, for people to read.

    Parameters
    ----------
    path : str or Path
    result : Score
    """
    wrong = sum(counts.errors > 0 for counts in result.per_utterance.values())
    count = len(result.alignments)
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as file:
        print(result, file=file)
        print(f"%SER {100 * wrong / max(1, count):.2f} [ {wrong} / {count} ]", file=file)
        for name, alignment in result.alignments.items():
            print(f"\n{name}, %{NAMES[result.level]} {alignment.counts}", file=file)
            for lines in _blocks(alignment.columns):
                print(*lines, sep="\n", file=file)


def _blocks(columns):
    """Lay columns out in blocks of three lines that fit WIDTH; marks over a letter take no room."""
    block, used = [], 0
    for op, *pair in columns:
        pair = [token.replace(" ", "␣") or "*" for token in pair]
        width = max(map(display_width, pair))
        if block and used + width + 1 > WIDTH - 5:
            yield _lines(block)
            block, used = [], 0
        block.append((width, *pair, " " if op == "=" else op))
        used += width + 1
    if block:
        yield _lines(block)


def _lines(block):
    for label, row in zip(("REF:", "HYP:", "    "), range(1, 4), strict=True):
        cells = (cell[row] + " " * (cell[0] - display_width(cell[row])) for cell in block)
        yield re.sub(r"\s+$", "", f"{label} {' '.join(cells)}")


def display_width(text):
    """Columns of a terminal that a text takes.

    Examples
    --------
    >>> display_width("e\\u0301"), display_width("語")
    (1, 2)
    """
    shown = (c for c in text if unicodedata.category(c) not in ("Mn", "Me", "Cf"))
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)
