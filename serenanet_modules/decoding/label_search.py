"""A label decoder's greedy search, and what no search may say."""

from math import inf

import torch

from serenanet_modules.decoding.label_lm import BORDER
from serenanet_modules.decoding.loops import loop


@torch.no_grad()
def attention_greedy(decoder, memory, lengths, unsaid=None, once=0):
    """The likeliest label after each other, until the end, or a loop.

    Parameters
    ----------
    decoder : AttentionDecoder
        In evaluation mode.
    memory : Tensor
        Encoder output (B, T, d_model).
    lengths : Tensor
        (B,) int64; also the most labels an utterance can have.
    unsaid : Unsaid, optional
        Labels that are left out.
    once : int
        So many labels in a row are said once only; 0 bounds nothing.

    Returns
    -------
    list of list of int
    """
    found = [[] for _ in memory]
    running, limits = torch.arange(len(memory), device=memory.device), decoder.most_labels(lengths)
    state, labels = decoder.init_state(memory, lengths), torch.full_like(running, BORDER)
    for length in range(1, int(limits.max()) + 1):
        logits, state = decoder.step(labels, state)
        logits = logits if unsaid is None else unsaid(logits, length == 1)
        places = running.tolist()
        for row, at in enumerate(places) if once else ():
            logits[row, said_before(found[at], once)] = -inf
        labels = logits.argmax(-1)
        for at, label in zip(places, labels.tolist(), strict=True):
            found[at] += [label] if label != BORDER else []
        looping = torch.tensor([bool(loop(found[at])) for at in places], device=running.device)
        on = ((labels != BORDER) & (limits[running] > length) & ~looping).nonzero().squeeze(1)
        if len(on) < len(running):
            running, labels, state = running[on], labels[on], decoder.reorder(state, on, on)
        if not len(running):
            break
    return found


class Unsaid:
    """Leaves out labels that units say are never heard, such as those that are no text.

    Parameters
    ----------
    units : Units
    """

    def __init__(self, units):
        self.always, self.first = list(units.unsaid), list(units.unsaid_first)

    def __call__(self, logits, first):
        """logits (N, V) of the first labels, or of later ones, with minus infinity for what is left out; in place."""
        if left_out := self.always + self.first * first:
            logits[:, left_out] = -inf
        return logits


def said_before(labels, size):
    """Labels that would say ``size`` labels in a row again.

    Examples
    --------
    >>> said_before([1, 2, 3, 1, 2], 3), said_before([1, 2], 3)
    ([3], [])
    """
    last = labels[len(labels) - size + 1 :]
    return [labels[i + size - 1] for i in range(len(labels) - size + 1) if labels[i : i + size - 1] == last]
