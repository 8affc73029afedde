"""Random posteriors, and what they say when every path is counted."""

import itertools

import numpy as np
import torch

from serenanet_modules.decoding.greedy import collapse


def posteriors(batch, frames, size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (2 * torch.randn(batch, frames, size, generator=generator)).log_softmax(-1)


def label_sequences(log_probs):
    """ln p of every label sequence of one utterance (T, V)."""
    totals = {}
    for path in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        labels = tuple(collapse(path)[0])
        score = sum(float(log_probs[t, label]) for t, label in enumerate(path))
        totals[labels] = np.logaddexp(totals.get(labels, -np.inf), score)
    return totals
