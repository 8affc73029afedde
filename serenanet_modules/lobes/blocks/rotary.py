"""Attention with rotary positions (Su et al. 2021, arXiv 2104.09864), near or far."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from serenanet_modules.lobes.blocks.attention import SelfAttention
from serenanet_modules.lobes.blocks.scope import Block, blocks_of

ROTARY_BASE = 10000.0


def rotary_angles(length, head_size, device):
    """Cosine and sine (length, head_size / 2) of position × frequency."""
    frequency = ROTARY_BASE ** (-torch.arange(0, head_size, 2, device=device) / head_size)
    angle = torch.outer(torch.arange(length, device=device).float(), frequency)
    return angle.cos(), angle.sin()


def check_heads(d_model, n_heads):
    """Refuse sizes of which a head has no pairs of features to turn.

    Raises
    ------
    ValueError
    """
    if d_model % n_heads or (d_model // n_heads) % 2:
        raise ValueError(f"d_model {d_model} must be a multiple of n_heads {n_heads} with an even quotient")


def rotate(x, rotation):
    """Rotate each half-split pair of features of x (..., T, head_size) by its position's angle."""
    cos, sin = (part.to(x.dtype) for part in rotation)
    a, b = x.chunk(2, dim=-1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], dim=-1)


class Seen(NamedTuple):
    """Some queries and the keys that they see."""

    block: Block
    bias: Tensor | None  # (1 or B, 1, Q, K), 0 or far below it, to add to what queries and keys have in common


class RotaryPlan(NamedTuple):
    """Who attends to whom, and the positions that this takes; the same for all layers."""

    first: int  # position of the first query among the keys
    seen: list[Seen]
    rotation: tuple  # of `rotary_angles`, for the longest stretch of keys

    @classmethod
    def make(cls, scope, x, total, valid, head_size):
        """Arguments as of `blocks_of`, and features of a head."""
        blocks = blocks_of(scope, x, total, valid, whole=True)
        longest = max(high - low for block in blocks for low, high in block.stretches)
        seen = [Seen(block, _bias(block.hidden, x.dtype)) for block in blocks]
        return cls(total - x.shape[1], seen, rotary_angles(longest, head_size, x.device))


class RotaryAttention(SelfAttention):
    """Multi-head self-attention; positions turn queries and keys.

    Positions are counted from the first key that a block of queries sees, so that they stay small, and a stream
    carries none.

    Parameters
    ----------
    d_model, n_heads : int
        ``d_model / n_heads`` must be even.

    Examples
    --------
    >>> from serenanet_modules.lobes.blocks.scope import Scope
    >>> x = torch.randn(2, 7, 16)
    >>> RotaryAttention(16, 2)(x, RotaryPlan.make(Scope(), x, 7, None, 8)).shape
    torch.Size([2, 7, 16])
    """

    def __init__(self, d_model, n_heads):
        check_heads(d_model, n_heads)
        super().__init__(d_model, n_heads)

    def attend(self, q, k, v, plan):
        """Queries and keys, not turned yet, and values (B, H, T, head_size), a `RotaryPlan` -> (B, T, d_model)."""
        found = []
        for (start, end, ((low, high),), _), bias in plan.seen:
            queries = rotate(q[:, :, start - plan.first : end - plan.first], _turns(plan, start - low, end - low))
            keys = rotate(k[:, :, low:high], _turns(plan, 0, high - low))
            # no dropout on attention weights: it would cost the fused kernel
            found.append(functional.scaled_dot_product_attention(queries, keys, v[:, :, low:high], attn_mask=bias))
        y = found[0] if len(found) == 1 else torch.cat(found, dim=2)
        return self.out(y.transpose(1, 2).flatten(2))


def _turns(plan, start, end):
    return [part[start:end] for part in plan.rotation]


def _bias(hidden, dtype):
    """Finite where hidden: some rows see nothing."""
    if hidden is None:
        return None
    return torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill(hidden, torch.finfo(dtype).min / 2)
