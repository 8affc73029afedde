"""Alignment in which anything may be said between words."""

import torch

FREE = 2.0  # nats a frame by which what is not in the text must be likelier than the text itself


def gaps_of(units, labels):
    """Positions before which, as at the end, what is not in the text may be said: where words begin, and end.

    Examples
    --------
    >>> from serenanet_modules.data.units import PhonemeUnits
    >>> units = PhonemeUnits(["a", "b", "k"])
    >>> sorted(gaps_of(units, units.encode("k a | b a")))
    [0, 2, 3, 5]
    """
    pieces = [units.pieces[label] for label in labels]
    begins = {i for i, piece in enumerate(pieces) if piece.startswith(units.boundary)}
    return begins | {i + 1 for i in begins if pieces[i] == units.boundary} | {0, len(labels)}


def path(log_probs, labels, blank_id, gaps):
    """The best CTC path through labels, each frame's label or the blank.

    In a gap a frame may have, in the place of the blank, the likeliest label of all, for `FREE` nats; it counts as
    blank in the path. So what is said and is not in the text is passed over, and what is right costs what it did.

    Parameters
    ----------
    log_probs : Tensor
        (T, V).
    labels : list of int
        Which fit into T frames.
    blank_id : int
    gaps : set of int
        As of `gaps_of`.

    Returns
    -------
    Tensor
        (T,) int64.
    """
    blank, others = log_probs[:, blank_id], log_probs.clone()
    others[:, blank_id] = -torch.inf
    free = torch.maximum(blank, others.amax(1) - FREE)
    states = torch.full((2 * len(labels) + 1,), blank_id)  # blanks around each label
    states[1::2] = torch.tensor(labels)
    wide = torch.zeros(len(states), dtype=torch.bool)
    wide[[2 * gap for gap in gaps]] = True
    skips = torch.zeros(len(states), dtype=torch.bool)  # over the blank before a label that differs from the last
    skips[3::2] = states[3::2] != states[1:-2:2]
    best = torch.full((len(states),), -torch.inf)
    best[0] = 0.0  # before the first frame; that one is in the first blank, or label
    back = torch.empty((len(log_probs), len(states)), dtype=torch.uint8)
    for t, row in enumerate(log_probs):
        stay, step, skip = best, best.roll(1), torch.where(skips, best.roll(2), -torch.inf)
        step[0] = -torch.inf
        best, back[t] = torch.stack([stay, step, skip]).max(0)
        best = best + torch.where(wide, free[t], row[states])
    state = len(states) - 1 - int(best[-2] > best[-1])
    found = torch.empty(len(log_probs), dtype=torch.long)
    for t in range(len(log_probs) - 1, -1, -1):
        found[t] = states[state]
        state -= int(back[t, state])
    return found
