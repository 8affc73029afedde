"""Attention with the relative positions of Transformer-XL (Dai et al. 2019, arXiv 1901.02860), near or far.

Queries are taken in blocks: a block has half as many distances to multiply with as all queries at once.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.attention import SelfAttention
from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.scope import Block, blocks_of, joined

LONGEST_PERIOD = 10000.0  # of the sinusoids, over 2 π


class Plan(NamedTuple):
    """Who attends to whom, and the positions that this takes; the same for all layers."""

    first: int  # position of the first query among the keys
    blocks: list[Block]
    furthest: int  # distance from a query back to a key that the first row of the table stands for
    table: Tensor  # (N, d_model) sinusoids, each row for a distance of one less

    @classmethod
    def make(cls, scope, x, total, valid=None):
        """Arguments as of `blocks_of`."""
        blocks = blocks_of(scope, x, total, valid)
        furthest = max(block.end - 1 - block.stretches[0][0] for block in blocks)
        nearest = min(block.start - block.stretches[-1][1] for block in blocks)
        table = sinusoids(furthest, nearest, x.shape[2], x.device).to(x.dtype)
        return cls(total - x.shape[1], blocks, furthest, table)


def sinusoids(furthest, nearest, size, device):
    """Rows of sines and cosines in turns, for distances from ``furthest`` down to ``nearest``: (N, size)."""
    distance = torch.arange(furthest, nearest - 1, -1, device=device, dtype=torch.float32)
    rates = LONGEST_PERIOD ** (-torch.arange(0, size, 2, device=device, dtype=torch.float32) / size)
    angle = distance.unsqueeze(1) * rates
    return torch.stack([angle.sin(), angle.cos()], dim=-1).flatten(1)


class RelativeAttention(SelfAttention):
    """Multi-head self-attention; a key weighs by what it is and by its distance.

    Parameters
    ----------
    d_model, n_heads : int

    Examples
    --------
    >>> from serenanet_modules.lobes.blocks.scope import Scope
    >>> x = torch.randn(2, 7, 16)
    >>> RelativeAttention(16, 2)(x, Plan.make(Scope(), x, 7)).shape
    torch.Size([2, 7, 16])
    """

    def __init__(self, d_model, n_heads):
        if d_model % n_heads or d_model % 2:
            raise ValueError(f"d_model {d_model} must be even and a multiple of n_heads {n_heads}")
        super().__init__(d_model, n_heads)
        self.position = Linear(d_model, d_model, bias=False)
        self.content_bias = nn.Parameter(torch.zeros(n_heads, self.head_size))
        self.position_bias = nn.Parameter(torch.zeros(n_heads, self.head_size))

    def attend(self, q, k, v, plan):
        """Queries, keys and values (B, H, T, head_size), a `Plan` of them -> (B, T, d_model)."""
        r = self.position(plan.table).unflatten(1, (self.n_heads, self.head_size)).permute(1, 2, 0)  # (H, head_size, N)
        r = r * self.head_size**-0.5
        by_content = q + self.content_bias.to(q.dtype).unsqueeze(1)
        by_position = q + self.position_bias.to(q.dtype).unsqueeze(1)
        found = []
        for start, end, stretches, hidden in plan.blocks:
            rows = slice(start - plan.first, end - plan.first)
            bias = [_by_distance(by_position[:, :, rows], r, plan.furthest, start, stretch) for stretch in stretches]
            bias = joined(bias) if q.device.type == "cpu" else joined(bias).contiguous()  # GPUs want rows aligned
            if hidden is not None:
                bias = bias.masked_fill(hidden, torch.finfo(bias.dtype).min / 2)  # finite: some rows see nothing
            keys, values = (joined([x[:, :, a:b] for a, b in stretches], 2) for x in (k, v))
            # no dropout on attention weights: it would cost the fused kernel
            found.append(functional.scaled_dot_product_attention(by_content[:, :, rows], keys, values, attn_mask=bias))
        return self.out(joined(found, 2).transpose(1, 2).flatten(2))


def _by_distance(q, r, furthest, start, stretch):
    """Products of queries q (B, H, Q, d) from ``start`` on with r (H, d, N) by the distance to each key: (B, H, Q, K).

    Row i of all products begins with the first query's distances; read with one column less, the rows come shifted.
    """
    count, keys = q.shape[2], stretch[1] - stretch[0]
    skipped = furthest - (start + count - 1 - stretch[0])
    products = q @ r[:, :, skipped : skipped + count + keys]  # (B, H, Q, Q + K)
    shifted = products.flatten(2)[..., : count * (count + keys - 1)].unflatten(2, (count, count + keys - 1))
    return shifted[..., count - 1 :]
