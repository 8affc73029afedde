"""How words are spelled, as a tree of the prefixes that they share."""

from collections.abc import Iterable, Sequence

import numpy as np

OFF = -1  # the node of what begins no word


class Tree:
    """The prefixes of spellings.

    A node's edges are sorted by their symbols; edge e leads to node e + 1; node 0 is the empty prefix.

    Parameters
    ----------
    spellings : iterable of (sequence of int, int)
        The symbols of each spelling, and which word it spells.

    Attributes
    ----------
    edges, symbol : numpy.ndarray
        Of each node, where its edges begin (and an end more); of each edge, its symbol.
    endings, ending_word : numpy.ndarray
        Of each node, where the words that end there begin (and an end more); of each of these endings, its word.

    Examples
    --------
    >>> tree = Tree([([5, 7], 0), ([5], 1)])
    >>> tree.edges.tolist(), tree.symbol.tolist(), tree.endings.tolist(), tree.ending_word.tolist()
    ([0, 1, 2, 2], [5, 7], [0, 0, 1, 2], [1, 0])
    """

    def __init__(self, spellings: Iterable[tuple[Sequence[int], int]]):
        spellings = list(spellings)
        lengths = np.array([len(symbols) for symbols, _ in spellings], np.int64)
        starts = np.cumsum(lengths) - lengths
        flat = np.array([symbol for symbols, _ in spellings for symbol in symbols], np.int64)
        width = int(flat.max(initial=0)) + 1
        node, count = np.zeros(len(spellings), np.int64), 1
        keys, self._levels = [np.zeros(0, np.int64)], []
        for depth in range(int(lengths.max(initial=0))):
            going = np.flatnonzero(lengths > depth)
            found, which = np.unique(node[going] * width + flat[starts[going] + depth], return_inverse=True)
            node[going] = count + which
            self._levels.append(slice(count, count + len(found)))
            keys.append(found)
            count += len(found)
        self._parents, symbol = np.divmod(np.concatenate(keys), width)
        self.symbol = symbol.astype(np.int32)
        self.edges = np.searchsorted(self._parents, np.arange(count + 1))
        order = np.argsort(node, kind="stable")
        self._ending_node = node[order]
        self.endings = np.searchsorted(self._ending_node, np.arange(count + 1))
        self.ending_word = np.array([word for _, word in spellings], np.int64)[order]

    def best_ahead(self, scores):
        """Of each node, the best of the scores (E,) of the endings that lie behind it; 0 in an empty tree."""
        best = np.full(len(self.edges) - 1, -np.inf if len(scores) else 0.0)
        np.maximum.at(best, self._ending_node, scores)
        for level in reversed(self._levels):
            np.maximum.at(best, self._parents[level.start - 1 : level.stop - 1], best[level])
        return best

    def path(self, ending):
        """The nodes from the empty prefix to that of an ending."""
        nodes = [int(self._ending_node[ending])]
        while nodes[-1]:
            nodes.append(int(self._parents[nodes[-1] - 1]))
        return nodes[::-1]
