"""CTC prefix beam search (Graves and Jaitly, 2014) over `Words`, in plain Python; `compiled` does the same in C++.

A hypothesis is a sequence of labels, and its score the sum over all its alignments, ln p(labels), up to what the beam
dropped, plus what its words score. With a lexicon it is a sequence of words and the beginning of the next: then any
number of boundaries between two words is one, and alignments of all spellings of the words count.

In each frame the labels that are not much worse than its best continue each hypothesis, and of the results those stay
that are not much worse than the best. What an unfinished word is taken to score counts there and nowhere else.
"""

from math import exp, inf, log1p
from typing import NamedTuple

from serenanet_modules.decoding.tree import OFF


class Limits(NamedTuple):
    """What a search leaves out.

    Attributes
    ----------
    hypotheses, labels : int
        Most that stay after a frame, and most that are tried in it.
    hypothesis_threshold, label_threshold : float
        By how much they may be worse than the best.
    held : int
        Beginnings of hypotheses that are held, beside those that some hypothesis goes on from: what is more is dropped,
        so that an hour takes little more memory than a minute.
    """

    hypotheses: int
    labels: int
    hypothesis_threshold: float
    label_threshold: float
    held: int = 2**16


class Found(NamedTuple):
    """A hypothesis: its score, its labels and, with a lexicon, its words by their numbers there."""

    score: float
    labels: list
    words: list


class PlainSearch:
    """The search.

    Parameters
    ----------
    words : Words
    limits : Limits
    """

    def __init__(self, words, limits):
        self.words, self.limits = words, limits

    def __call__(self, log_probs, wanted):
        """Up to ``wanted`` different hypotheses of finite log-probabilities (T, V), float32, best first.

        Returns
        -------
        list of Found
        """
        beam, made = [_Node(self.words.start(), None, self.words.boundary, 0)], _Counter(self.limits.held)
        for frame in log_probs:
            # a frame in which no word of a lexicon goes on is left out
            beam = self._step(beam, frame.tolist(), self._labels(frame), made) or beam
            if made.held > made.room:
                made.held = _forget(beam)
                made.room = 2 * made.held + self.limits.held
        closed = False
        if self.words.lexicon:  # only hypotheses whose last word may end, if there are any
            ended = self._step(beam, [0.0] * self.words.units.size, [self.words.boundary], made)
            closed, beam = bool(ended), ended or beam
        for node in beam:
            node.score = node.total + self.words.finished(node.context)
        return [self._found(node, closed) for node in sorted(beam, key=_Node.cost)[:wanted]]

    def _labels(self, frame):
        floor = frame.max() - frame.dtype.type(self.limits.label_threshold)
        allowed = (frame >= floor).nonzero()[0].tolist()
        return sorted(allowed, key=lambda label: (-frame[label], label))[: self.limits.labels]

    def _step(self, beam, frame, labels, made):
        reached, words = {}, self.words
        for node in beam:
            for label in labels:
                p = frame[label]
                if label == words.units.blank_id:
                    _arrive(reached, node, 0, node.total + p)
                elif label == words.boundary and node.context.tree == 0:  # any number of boundaries is one
                    _arrive(reached, node, 1, node.total + p)
                else:
                    if label == node.label and node.sums[1] != -inf:
                        _arrive(reached, node, 1, node.sums[1] + p)
                    before = node.sums[0] if label == node.label else node.total
                    if before != -inf:
                        for child in self._children(node, label, made):
                            _arrive(reached, child, 1, before + p)
        return self._pruned(reached)

    def _children(self, node, label, made):
        """The hypotheses that go on by a label; several where words are spelled alike, none where no word does."""
        words = self.words
        if label != words.boundary:
            if label not in node.children:
                context = words.extend(node.context, label)
                gone = words.lexicon and context.tree == OFF
                node.children[label] = None if gone else _Node(context, node, label, made.next())
            child = node.children[label]
            return () if child is None else (child,)
        return [self._word(node, ending, made) for ending in range(*words.endings(node.context.tree))]

    def _word(self, node, ending, made):
        """The hypothesis whose last word is over."""
        before = node.origin.children
        name = int(self.words.tree.ending_word[ending])
        key = self.words.units.size + name
        if key not in before:
            context = self.words.begin(*self.words.completed_as(node.context, ending))
            before[key] = _Node(context, node, self.words.boundary, made.next(), name)
        return before[key]

    def _pruned(self, reached):
        for node, sums in reached.values():
            node.sums, node.total = sums, _add(*sums)
            node.score = node.total + node.context.base + node.context.ahead
        nodes = [node for node, _ in reached.values()]
        floor = max((node.score for node in nodes), default=-inf) - self.limits.hypothesis_threshold
        kept = [node for node in nodes if node.score >= floor and node.score != -inf]
        return sorted(kept, key=_Node.cost)[: self.limits.hypotheses]

    @staticmethod
    def _found(node, closed):
        score, labels, words = node.score, [], []
        if closed and node.word is not None:
            words.append(node.word)
            node = node.parent
        while node.parent is not None:
            labels.append(node.label)
            words += [] if node.word is None else [node.word]
            node = node.parent
        return Found(score, labels[::-1], words[::-1])


class _Node:
    """A hypothesis, beginning with its parent's."""

    __slots__ = ("children", "context", "label", "number", "origin", "parent", "score", "sums", "total", "word")

    def __init__(self, context, parent, label, number, word=None):
        self.context, self.parent, self.label, self.number, self.word = context, parent, label, number, word
        self.sums, self.total, self.score = [0.0, -inf], 0.0, 0.0  # ln p of the paths that end in blank, in the label
        self.children = {}
        self.origin = self if parent is None or not context.letters else parent.origin  # where its word began

    def cost(self):
        """Best first; of equals, sorting leaves the one first that came first."""
        return -self.score


class _Counter:
    """Numbers of nodes: the last one, how many are held with the first, and how many may be."""

    def __init__(self, room):
        self.last, self.held, self.room = 0, 1, room

    def next(self):
        self.last += 1
        self.held += 1
        return self.last


def _forget(beam):
    """Drop the nodes that no hypothesis begins with; how many are left."""
    kept = {}
    for node in beam:
        while node is not None and node.number not in kept:
            kept[node.number] = node
            node = node.parent
    for node in kept.values():
        gone = [child for child in node.children.values() if child and child.number not in kept]
        node.children = {what: child for what, child in node.children.items() if child and child.number in kept}
        while gone:  # which hold each other
            dropped = gone.pop()
            gone += filter(None, dropped.children.values())
            dropped.children = {}
    return len(kept)


def _arrive(reached, node, which, score):
    sums = reached.setdefault(node.number, (node, [-inf, -inf]))[1]
    sums[which] = _add(sums[which], score)


def _add(a, b):
    if a < b:
        a, b = b, a
    return a if b == -inf else a + log1p(exp(b - a))
