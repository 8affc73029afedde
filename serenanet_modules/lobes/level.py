"""How loud the speech is that a frame belongs to, so that features need not know how a recording was levelled.

The level of some frames is the mean of their powers, each weighted by itself: pauses, however long, weigh nothing. But
it lies `ABOVE` over the mean with each weighted by its inverse, which is near the quietest: what never rises, as noise
does, is no speech and is not made as loud as speech. A frame counts for the former as loud as the median of the last
`KNOCK`, so that a knock or a click, of 20 ms under windows of 25, takes no level with it. A gain of the recording is a
gain of its level.
"""

import torch
from torch.nn import functional

from serenanet_modules.ops.observers import unobserved

ABOVE = 30.0  # 15 dB of speech over the quietest frames
FLOOR = 1e-5  # of the loudest: frames 50 dB below are zeros to the ear, and not the quietest
LEAST = 1e-10  # power, -100 dBFS: what is quieter, 16 bits cannot hold
MEMORY = 300  # frames after which a frame weighs 1/e
KNOCK = 9  # frames: what fills fewer than half of them is no speech
FIRST = 100  # frames at the beginning that share the level of the last of them
PIECE = 30_000  # frames summed up at a time: weights grow without bound over hours


def running_level(power, valid, state=(None, None, None)):
    """The level at each frame, of what was heard up to it; 1, that of the loudest sound, before anything is.

    Parameters
    ----------
    power : Tensor
        (B, T), mean squares of samples; the first time all frames of the beginning, or there are no more.
    valid : Tensor
        Bool (B, T), false in padding.
    state : tuple, optional
        As it was returned for the frames before.

    Returns
    -------
    Tensor
        (B, T).
    tuple of Tensor
        Float64, what is known so far: sums (B, 1, 2) of the loudest and the quietest, the last powers (B, KNOCK - 1).
    """
    if not unobserved(power) or power.shape[1] <= PIECE:
        return _running_level(power, valid, state)
    levels = []
    for piece, inside in zip(power.split(PIECE, 1), valid.split(PIECE, 1), strict=True):
        level, state = _running_level(piece, inside, state)
        levels.append(level)
    return torch.cat(levels, dim=1), state


def _running_level(power, valid, state):
    x = power.double().masked_fill(~valid, 0.0)
    steady, last = _without_knocks(x, valid, state[2])
    loud, loudest = _running_mean(steady, valid & (steady > LEAST), 1, state[0])
    quiet, quietest = _running_mean(x, valid & (loud > 0) & (x > FLOOR * loud), -1, state[1])
    level = torch.maximum(loud, ABOVE * quiet).masked_fill(loud == 0, 1.0)
    return level.to(power.dtype), (loudest, quietest, last)


def _without_knocks(x, valid, last):
    """The median of each frame of x (B, T) and those before it, and the last; an utterance of a few stays as it is."""
    joined = functional.pad(x, (KNOCK - 1, 0)) if last is None else torch.cat([last, x], 1)
    frames = x.shape[1]
    window = torch.stack([joined[:, i : i + frames] for i in range(KNOCK)], -1)
    steady = window.topk(KNOCK // 2 + 1).values[..., -1]
    if last is None:
        steady = torch.where(valid.sum(1, keepdim=True) < KNOCK, x, steady)
    return steady, joined[:, frames:]


def _running_mean(x, heard, exponent, state):
    """Means of those of x (B, T) that are heard up to each frame, weighted by a power of theirs, and their sums."""
    x = x.masked_fill(~heard, 1.0)
    weights = (x if exponent == 1 else 1 / x).masked_fill(~heard, 0.0)
    terms = torch.stack([weights * x, weights], dim=-1)
    frames = x.shape[1]
    place = torch.arange(frames, device=x.device)
    if state is None:
        terms, place = functional.pad(terms, (0, 0, 0, FIRST)), place.clamp(min=FIRST - 1)
    growth = (torch.arange(1, terms.shape[1] + 1, device=x.device).double() / MEMORY).exp().unsqueeze(1)
    sums = (terms * growth).cumsum(1)
    sums = (sums if state is None else sums + state) / growth
    total, weight = sums.index_select(1, place).unbind(-1)
    return total / weight.masked_fill(weight == 0, 1.0), sums[:, frames - 1 : frames]
