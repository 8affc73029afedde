"""What frames attend to: all, what is near, or their chunk and what came before it.

Queries are taken in blocks, each with the keys that it may see, so that a limited scope costs time and memory linear in
the length.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from serenanet_modules.ops.observers import unobserved

BLOCK = 128  # queries at a time, about: few enough for a processor's cache


@dataclass(frozen=True)
class Scope:
    """What a frame attends to: frames up to ``left`` before its chunk and up to ``right`` behind it.

    Attributes
    ----------
    left, right : int, optional
        None for both is the whole utterance.
    chunk : int
        Frames in a chunk, which see each other; ``left`` is a multiple of it.
    leading : int
        How many of the first frames attend to all and are seen by all; with chunks of one frame only.
    """

    left: int | None = None
    right: int | None = None
    chunk: int = 1
    leading: int = 0

    def blocks(self, first, total):
        """Queries at positions ``first`` to ``total`` in blocks: start, end, and stretches of keys that hold all seen.

        ``first`` is the first frame of a chunk.
        """
        if self.left is None:
            return [(start, min(start + BLOCK, total), [(0, total)]) for start in range(first, total, BLOCK)]
        found = []
        if first < self.leading:
            leading = min(self.leading, total)
            found, first = [(first, leading, [(0, total)])], leading
        size = max(1, BLOCK // self.chunk) * self.chunk
        for start in range(first, total, size):
            end = min(start + size, total)
            low, high = max(0, start - self.left), min(total, -(-end // self.chunk) * self.chunk + self.right)
            near = [(0, high)] if low <= self.leading else [(0, self.leading), (low, high)]
            found.append((start, end, [stretch for stretch in near if stretch[1] > stretch[0]]))
        return found

    def seen(self, queries, keys):
        """Boolean (Q, K), whether each query sees each key, from their positions (Q, 1) and (K,)."""
        begin = queries - queries % self.chunk
        near = (keys >= begin - self.left) & (keys < begin + self.chunk + self.right)
        return near | (keys < self.leading) | (queries < self.leading)


class Block(NamedTuple):
    """Some queries and what they see."""

    start: int
    end: int
    stretches: list  # (start, end) of keys
    hidden: Tensor | None  # (1 or B, 1, Q, K), keys of the stretches that they do not see


def blocks_of(scope, x, total, valid=None, whole=False):
    """For queries x (B, T, F), the last of ``total`` positions, and valid keys (B, total), None for all: `Block` s.

    ``whole`` leaves queries that see everything together.
    """
    first, device = total - x.shape[1], x.device
    if unobserved(x) and not (whole and scope.left is None):
        cut = scope.blocks(first, total)
    else:
        cut = [(first, total, [(0, total)])]  # of tracers a loop over blocks would fix the length
    position = torch.arange(total, device=device)
    blocks = []
    for start, end, stretches in cut:
        keys = joined([position[a:b] for a, b in stretches])
        hidden = None if scope.left is None else ~scope.seen(position[start:end, None], keys)[None, None]
        if valid is not None:
            padding = ~joined([valid[:, a:b] for a, b in stretches])[:, None, None]  # (B, 1, 1, K)
            hidden = padding if hidden is None else hidden | padding
        blocks.append(Block(start, end, stretches, hidden))
    return blocks


def joined(parts, dim=-1):
    """Tensors one behind the other; a single one as it is."""
    return parts[0] if len(parts) == 1 else torch.cat(parts, dim)
