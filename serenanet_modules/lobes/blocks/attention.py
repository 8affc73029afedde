"""Attention: what all kinds of it share, and that without positions of its own, as Whisper has it."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding


class Memory(NamedTuple):
    """What cross-attention reads of an encoder's output: keys and values (B, H, T, head_size), mask (B, 1, 1, T)."""

    keys: Tensor
    values: Tensor
    mask: Tensor


def continued(q, k, v, state):
    """Causal attention of the next U labels to those before them, and to themselves.

    Parameters
    ----------
    q, k, v : Tensor
        (B, H, U, head_size).
    state : tuple of Tensor
        Keys and values (B, H, before, head_size) of the labels so far.

    Returns
    -------
    (Tensor, tuple)
        (B, U, H head_size), and the keys and values of all labels so far.
    """
    length, before, mask = q.shape[2], state[0].shape[2], None
    if before:
        k, v = (torch.cat([old.to(new.dtype), new], dim=2) for old, new in zip(state, (k, v), strict=True))
        if length > 1:
            mask = torch.ones(length, before + length, dtype=torch.bool, device=q.device).tril(before)
    y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=not before and length > 1)
    return y.transpose(1, 2).flatten(2), (k, v)


class ReadsMemory:
    """Attention of labels over an encoder's frames; padding is never read.

    A subclass has ``queries(x)`` and ``joined(y)``, from (B, U, d_model) to heads (B, H, U, head_size) and back, and
    ``read(frames)``, keys and values of frames (B, T, d_model), such heads too.
    """

    def memory(self, frames, lengths):
        """frames (B, T, d_model), lengths (B,) -> `Memory`, computed once for all labels."""
        mask = valid_mask(lengths, frames.shape[1])[:, None, None]
        return Memory(*self.read(zero_padding(frames, lengths)), mask)

    def weights(self, x, memory):
        """How much each label of x (B, U, d_model) attends to each frame: (B, H, U, T)."""
        scores = self.queries(x) @ memory.keys.transpose(2, 3) / self.head_size**0.5
        return scores.masked_fill(~memory.mask, -torch.inf).softmax(-1)

    def forward(self, x, memory):
        """x (N, U, d_model) -> the same shape; N is the memory's B, or a multiple: hypotheses side by side."""
        q = self.queries(x.reshape(len(memory.keys), -1, x.shape[2]))
        y = functional.scaled_dot_product_attention(q, memory.keys, memory.values, attn_mask=memory.mask)
        return self.joined(y).view_as(x)


class SelfAttention(nn.Module):
    """Self-attention whose queries, keys and values come of one matrix; a subclass has ``attend(q, k, v, plan)``.

    Parameters
    ----------
    d_model, n_heads : int
    """

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads, self.head_size = n_heads, d_model // n_heads
        self.qkv, self.out = Linear(d_model, 3 * d_model), Linear(d_model, d_model)

    def forward(self, x, plan):
        """x (B, T, d_model), a plan of who attends to whom -> (B, T, d_model)."""
        return self.attend(*self.heads(x), plan)

    def init_state(self, batch):
        """Keys and values (B, H, frames, head_size) that were seen, none."""
        nothing = self.qkv.weight.new_zeros(batch, self.n_heads, 0, self.head_size)
        return nothing, nothing

    def step(self, x, state, plan, left):
        """Continue by x (B, T, d_model), and keep the last ``left`` keys and values."""
        q, k, v = self.heads(x)
        k, v = (torch.cat(pair, dim=2) for pair in zip(state, (k, v), strict=True))
        kept = max(0, k.shape[2] - left)
        return self.attend(q, k, v, plan), (k[:, :, kept:], v[:, :, kept:])

    def heads(self, x):
        """Queries, keys and values (3, B, H, T, head_size)."""
        return self.qkv(x).unflatten(2, (3, self.n_heads, self.head_size)).permute(2, 0, 3, 1, 4)


class Attention(nn.Module):
    """Frames attend to frames (Vaswani et al. 2017). Keys have no bias: softmax would not see it.

    Parameters
    ----------
    d_model, n_heads : int
    """

    def __init__(self, d_model, n_heads):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(f"d_model {d_model} must be a multiple of n_heads {n_heads}")
        self.n_heads, self.head_size = n_heads, d_model // n_heads
        self.q_proj, self.k_proj = Linear(d_model, d_model), Linear(d_model, d_model, bias=False)
        self.v_proj, self.out_proj = Linear(d_model, d_model), Linear(d_model, d_model)

    def forward(self, x, mask=None):
        """x (B, T, d_model), mask (B, 1, 1, T) of keys that count -> (B, T, d_model)."""
        y = functional.scaled_dot_product_attention(self.queries(x), *self.read(x), attn_mask=mask)
        return self.joined(y)

    def heads(self, x):
        """(B, T, d_model) -> (B, H, T, head_size)."""
        return x.unflatten(2, (self.n_heads, self.head_size)).transpose(1, 2)

    def queries(self, x):
        """x (B, T, d_model) -> (B, H, T, head_size)."""
        return self.heads(self.q_proj(x))

    def read(self, x):
        """x (B, T, d_model) -> keys, values (B, H, T, head_size)."""
        return self.heads(self.k_proj(x)), self.heads(self.v_proj(x))

    def joined(self, y):
        """Heads (B, H, T, head_size) -> (B, T, d_model)."""
        return self.out_proj(y.transpose(1, 2).flatten(2))


class CausalAttention(Attention):
    """Labels attend to those before them; what a state holds are their keys and values."""

    def forward(self, x):
        """x (B, U, d_model) -> (B, U, d_model)."""
        return self.step(x, self.init_state(len(x)))[0]

    def init_state(self, batch):
        """Keys and values (B, H, 0, head_size) of no label."""
        empty = self.k_proj.weight.new_zeros(batch, self.n_heads, 0, self.head_size)
        return empty, empty

    def step(self, x, state):
        """Continue by x (B, U, d_model), any U: the same shape, and the keys and values of all labels so far."""
        y, state = continued(self.queries(x), *self.read(x), state)
        return self.out_proj(y), state


class MemoryAttention(ReadsMemory, Attention):
    """Labels attend to an encoder's frames; padding is never read."""
