"""Where a long text and what was heard agree beyond doubt, so that each part between can be aligned by itself."""

from bisect import bisect_left
from collections import defaultdict
from itertools import groupby

LENGTHS = (12, 9, 7)  # labels of an anchor; shorter ones, which chance finds, only where longer ones leave too much
MOST_PLACES = 5  # in the text and in what was heard, at which an anchor may stand
SIDE = 2  # labels of an anchor on each side of a cut


def greedy(log_probs, blank_id=0):
    """The labels of the best path and the frames in which each is.

    Parameters
    ----------
    log_probs : Tensor
        (T, V).
    blank_id : int

    Returns
    -------
    labels : list of int
    spans : list of (int, int)
        First frame, and the one behind the last.

    Examples
    --------
    >>> import torch
    >>> greedy(torch.eye(3)[[0, 1, 1, 0, 1, 2]])
    ([1, 1, 2], [(1, 3), (4, 5), (5, 6)])
    """
    labels, spans, frame = [], [], 0
    for label, run in groupby(log_probs.argmax(1).tolist()):
        start, frame = frame, frame + len(list(run))
        if label != blank_id:
            labels.append(label)
            spans.append((start, frame))
    return labels, spans


def cuts(labels, heard, may_cut, most):
    """Pairs of positions, in a text's labels and in those that were heard, at which both can be cut.

    A cut lies inside a run of labels that is in both, rarely in either, and in the longest chain of such runs that is
    in order in both.

    Parameters
    ----------
    labels, heard : list of int
    may_cut : list of bool
        Whether the text may be cut before each of its labels.
    most : int
        What a part between cuts must not exceed if shorter runs can help it: its labels times those that were heard.

    Returns
    -------
    list of (int, int)
        In order.
    """
    found, bounds = [(0, 0), (len(labels), len(heard))], []
    for length in LENGTHS:
        bounds = found[:1]
        for (a, b), (c, d) in zip(found, found[1:], strict=False):
            if length == LENGTHS[0] or (c - a) * (d - b) > most:
                inside = _chain(labels[a:c], heard[b:d], length)
                bounds += [(a + i, b + j) for i, j in _allowed(inside, may_cut[a:c], length)]
            bounds.append((c, d))
        found = bounds
    return found[1:-1]


def _chain(labels, heard, length):
    """Positions at which both have the same rare runs: the longest chain that increases in both."""
    places = _places(heard, length)
    pairs = [
        (i, j)
        for run, inside in _places(labels, length).items()
        if len(inside) <= MOST_PLACES and len(places.get(run, ())) <= MOST_PLACES
        for i in inside
        for j in places.get(run, ())
    ]
    pairs.sort(key=lambda pair: (pair[0], -pair[1]))  # so that a chain takes one place a run
    ends, tails, before = [], [], []  # of the best chain of each length: its last position in `heard`, its last pair
    for number, (_, j) in enumerate(pairs):
        rank = bisect_left(ends, j)
        ends[rank : rank + 1], tails[rank : rank + 1] = [j], [number]
        before.append(tails[rank - 1] if rank else None)
    chain, number = [], tails[-1] if tails else None
    while number is not None:
        chain.append(pairs[number])
        number = before[number]
    return chain[::-1]


def _places(labels, length):
    places = defaultdict(list)
    for i in range(len(labels) - length + 1):
        places[tuple(labels[i : i + length])].append(i)
    return places


def _allowed(chain, may_cut, length):
    """Cuts inside the runs of a chain, each once."""
    found, last = [], (0, 0)
    for i, j in chain:
        inside = range(SIDE, length - SIDE + 1)
        step = next((k for k in inside if i + k < len(may_cut) and may_cut[i + k]), None)
        if step is not None and i + step > last[0] and j + step > last[1]:
            last = (i + step, j + step)
            found.append(last)
    return found
