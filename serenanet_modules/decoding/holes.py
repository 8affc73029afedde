"""Alignment with holes: anything may be said between the words of a text, and words may be left out.

One path through a text's labels, as of CTC, on which a frame between words may have the likeliest label of all in the
place of the blank, and which may pass over words without spending a frame on them. Both have a price, so that what is
said as it is written costs what it did, and what stands around a hole lies where it lies in the text without it.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch

FREE = 2.0  # nats a frame by which what is not in the text must be likelier than the text itself
WORD, LABEL = 10.0, 5.0  # nats for a word that is left out, and for each of its labels (`benchmarks/holes.py`)
NEVER = 1e9  # nats
STAY, STEP, SKIP, HOLE = range(4)  # how a path comes to a state: from it, from the one or two before, or over words
LABELLED, FAR = 1, 2  # what is kept of a node: whether it is left from a label, and whether words before are left out
AT_ONCE = 256  # frames whose table is made at once


class Holes(NamedTuple):
    """Where a path through labels may leave the text.

    Attributes
    ----------
    gaps : set of int
        Positions before which, as at the end, what is not in the text may be said.
    chains : list of list of (int, float)
        Gaps, from each of which a path may go to the next in the chain without the labels between, and the price of
        that, which stands with the latter. What a path has then is a text of fewer words.
    """

    gaps: set
    chains: list


class Path(NamedTuple):
    """A path through labels.

    Attributes
    ----------
    labels : Tensor
        (T,) int64: each frame's label or the blank.
    passed : Tensor
        (T,) bool: where something is passed over that is not in the text.
    placed : sequence of int
        Positions of the labels on it.
    """

    labels: torch.Tensor
    passed: torch.Tensor
    placed: Sequence[int]


def holes_of(units, labels):
    """The `Holes` of a text's labels: gaps are where words begin, and end; what is left out are whole words.

    A word goes with the boundary before it. Of a text that begins without one, words may go with the boundary behind
    them as well, so that the first of those that stay has none.

    Examples
    --------
    >>> from serenanet_modules.data.units import PhonemeUnits
    >>> units = PhonemeUnits(["a", "b", "k"])
    >>> gaps, chains = holes_of(units, units.encode("k a | b a"))
    >>> sorted(gaps), chains
    ([0, 2, 3, 5], [[(2, 0.0), (5, 20.0)], [(0, 0.0), (3, 20.0), (5, 20.0)]])
    """
    pieces = [units.pieces[label] for label in labels]
    begins = [i for i, piece in enumerate(pieces) if piece.startswith(units.boundary)]
    behind = [i + 1 for i in begins if pieces[i] == units.boundary]
    first = next((i for i, label in enumerate(labels) if label not in units.marks), 0)
    chains = [[*begins, len(labels)]] + ([[first, *behind, len(labels)]] if begins[:1] != [first] else [])
    said = np.cumsum([0, *(piece != units.boundary for piece in pieces)])

    def priced(chain):
        steps = ((j, float(WORD + LABEL * (said[j] - said[i]))) for i, j in pairwise(chain))
        return [(chain[0], 0.0), *steps]

    return Holes({*begins, *behind, 0, len(labels)}, [priced(chain) for chain in chains])


def path(log_probs, labels, blank_id, holes):
    """The best CTC path through labels with holes.

    In a gap a frame may have, in the place of the blank, the likeliest label of all, for `FREE` nats; it counts as
    blank in the path. So what is said and is not in the text is passed over.

    Parameters
    ----------
    log_probs : Tensor
        (T, V).
    labels : list of int
        Which fit into T frames, but for what chains leave out.
    blank_id : int
    holes : Holes

    Returns
    -------
    Path
    """
    log_probs = log_probs.numpy()
    graph = _Graph(labels, blank_id, holes)
    blank, others = log_probs[:, blank_id], log_probs.copy()
    others[:, blank_id] = -np.inf
    free = np.maximum(blank, others.max(1, initial=-np.inf) - FREE)
    found = graph.best(log_probs, free)
    placed = sorted({int(state) // 2 for state in found if state % 2})
    passed = graph.wide[found] & (free > blank)
    return Path(torch.from_numpy(graph.labels[found]), torch.from_numpy(passed), placed)


class _Graph:
    """The states of a text, blanks around each label, and its nodes: gaps that chains join."""

    def __init__(self, labels, blank_id, holes):
        self.labels = np.full(2 * len(labels) + 1, blank_id)
        self.labels[1::2] = labels
        self.wide = np.zeros(len(self.labels), bool)
        self.wide[[2 * gap for gap in holes.gaps]] = True
        self.skips = np.full(len(self.labels), -np.inf)  # over the blank before a label that differs from the last
        self.skips[3::2][self.labels[3::2] != self.labels[1:-2:2]] = 0.0
        prices = [(i, NEVER * (not n) + price) for chain in holes.chains for n, (i, price) in enumerate(chain)]
        self.nodes = np.array([2 * i for i, _ in prices], int)  # their blanks; the labels before and behind are next
        self.price = np.cumsum([price for _, price in prices])  # to get there from the first one
        ends = self.nodes == len(self.labels) - 1
        self.inner, self.ends = np.flatnonzero(~ends), np.flatnonzero(ends)
        self.leaves = np.array([x for chain in holes.chains for x in _leaves(labels, [i for i, _ in chain])])

    def best(self, log_probs, free):
        """The states (T,) of the best path, in a table of log-probabilities (T, V), with ``free`` (T,) in gaps."""
        frames, states = len(log_probs), len(self.labels)
        scores = np.full(states + 2, -np.inf)  # after two states that are none
        scores[2] = 0.0  # before the first frame; that one is in the first blank, or label
        back, left = np.empty((frames, states), np.uint8), np.empty((frames + 1, len(self.nodes)), np.uint8)
        behind = self.nodes[self.inner] + 1
        for t in range(frames):
            if t % AT_ONCE == 0:
                table = log_probs[t : t + AT_ONCE][:, self.labels]
                table[:, self.wide] = free[t : t + AT_ONCE, None]
            reached = self._reached(scores, left[t])[self.inner]
            stay, step, skip = scores[2:], scores[1:-1], scores[:-2] + self.skips
            new = np.maximum(stay, step)
            back[t] = step > stay
            back[t][skip > new] = SKIP
            np.maximum(new, skip, out=new)
            holes = reached > new[behind]
            back[t, behind[holes]] = HOLE
            new[behind[holes]] = reached[holes]
            scores[2:] = new + table[t % AT_ONCE]
        return self._traced(back, left, self._end(scores, left))

    def _reached(self, scores, left):
        """What a path that is about to leave each node has at best; ``left`` is told how it comes there."""
        blank, label = scores[self.nodes + 2], scores[self.nodes + 1] + self.leaves
        here = np.maximum(blank, label) + self.price
        best = np.maximum.accumulate(here)
        left[:] = LABELLED * (label > blank) + FAR * (best > here)
        return best - self.price

    def _end(self, scores, left):
        """The last state of the best path."""
        reached = self._reached(scores, left[-1])
        ends = [(scores[-1], len(self.labels) - 1), (scores[-2], len(self.labels) - 2)]
        return max(ends + [(reached[node], self._left(left[-1], node)) for node in self.ends])[1]

    def _left(self, left, node):
        """The state from which a path leaves a node: of the one where the words begin that are left out."""
        while left[node] & FAR:
            node -= 1
        return int(self.nodes[node]) - int(left[node] & LABELLED)

    def _traced(self, back, left, state):
        node_before = dict(zip(self.nodes[self.inner] + 1, self.inner, strict=True))
        found = np.empty(len(back), int)
        for t in range(len(back) - 1, -1, -1):
            found[t] = state
            way = back[t, state]
            state = self._left(left[t], node_before[state]) if way == HOLE else state - int(way)
        return found


def _leaves(labels, chain):
    """For each gap of a chain 0, or minus infinity where a path must not go from the label before over words.

    Such a label is one that may follow, which would be one with it.
    """
    firsts = {labels[i] for i in chain if i < len(labels)}
    return [0.0 if i and labels[i - 1] not in firsts else -np.inf for i in chain]
