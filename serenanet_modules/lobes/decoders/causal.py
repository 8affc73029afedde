"""Causal layers over label sequences, with or without an encoder's output to look at, that go on label by label.

A state is what the labels so far leave behind: rotated keys and values of self-attention, or a Mamba block's window and
recurrence. Its tensors are batch-first, so that hypotheses are chosen and dropped by one index.
"""

import torch
from torch import Tensor, nn

from serenanet_modules.lobes.blocks.attention import (
    CausalAttention,
    MemoryAttention,
    ReadsMemory,
    SelfAttention,
    continued,
)
from serenanet_modules.lobes.blocks.layers import Dropout, Linear
from serenanet_modules.lobes.blocks.mamba import Mamba
from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.lobes.blocks.rotary import check_heads, rotary_angles, rotate
from serenanet_modules.ops import linear


class CausalSelfAttention(SelfAttention):
    """Self-attention with rotary positions over what came before (Su et al. 2021, arXiv 2104.09864).

    Parameters
    ----------
    d_model, n_heads : int
        ``d_model / n_heads`` must be even.
    """

    def __init__(self, d_model, n_heads):
        check_heads(d_model, n_heads)
        super().__init__(d_model, n_heads)

    def forward(self, x):
        """x (B, U, d_model) -> (B, U, d_model)."""
        return self.step(x, self.init_state(len(x)))[0]

    def step(self, x, state):
        """Continue by x (B, U, d_model), any U: the same shape, and the keys and values of all labels so far."""
        before, qkv = state[0].shape[2], self.heads(x)
        rotation = [part[before:] for part in rotary_angles(before + x.shape[1], self.head_size, x.device)]
        q, k = rotate(qkv[:2], rotation)  # (B, H, U, head_size)
        y, state = continued(q, k, qkv[2], state)
        return self.out(y), state


class CrossAttention(ReadsMemory, nn.Module):
    """Attention of labels over encoder frames; padding frames are never read.

    Parameters
    ----------
    d_model, n_heads : int
    """

    def __init__(self, d_model, n_heads):
        super().__init__()
        self.n_heads, self.head_size = n_heads, d_model // n_heads
        self.query = Linear(d_model, d_model)
        self.keys_values = Linear(d_model, 2 * d_model)
        self.out = Linear(d_model, d_model)

    def queries(self, x):
        """x (B, U, d_model) -> (B, H, U, head_size)."""
        return self.query(x).unflatten(2, (self.n_heads, self.head_size)).transpose(1, 2)

    def read(self, frames):
        """frames (B, T, d_model) -> keys and values (2, B, H, T, head_size)."""
        return self.keys_values(frames).unflatten(2, (2, self.n_heads, self.head_size)).permute(2, 0, 3, 1, 4)

    def joined(self, y):
        """Heads (B, H, U, head_size) -> (B, U, d_model)."""
        return self.out(y.transpose(1, 2).flatten(2))


class CausalLayer(nn.Module):
    """``x + mixer(norm(x))``, ``x + cross(norm(x))`` where there is an encoder, ``x + ffn(norm(x))``.

    Parameters
    ----------
    d_model, d_ffn : int
    dropout : float
    mixer : Module
        Causal, with ``init_state`` and ``step``.
    cross : Module or None
        What looks at an encoder's output.
    """

    def __init__(self, d_model, d_ffn, dropout, mixer, cross):
        super().__init__()
        self.norm_mixer, self.mixer = nn.LayerNorm(d_model), mixer
        self.norm_cross = None if cross is None else nn.LayerNorm(d_model)
        self.cross = cross
        self.ffn = nn.Sequential(
            nn.LayerNorm(d_model), Linear(d_model, d_ffn), nn.GELU(), Dropout(dropout), Linear(d_ffn, d_model)
        )
        self.dropout = Dropout(dropout)

    def forward(self, x, memory):
        """x (B, U, d_model), memory from `CrossAttention.memory` or None -> (B, U, d_model)."""
        return self._rest(x + self.dropout(self.mixer(self.norm_mixer(x))), memory)

    def step(self, x, state, memory):
        """Continue by x (N, U, d_model): the same shape, and the mixer's next state."""
        y, state = self.mixer.step(self.norm_mixer(x), state)
        return self._rest(x + self.dropout(y), memory), state

    def _rest(self, x, memory):
        if self.cross is not None:
            x = x + self.dropout(self.cross(self.norm_cross(x), memory))
        return x + self.dropout(self.ffn(x))


MIXERS = {"attention": CausalSelfAttention, "plain": CausalAttention, "mamba": Mamba, "mamba2": Mamba2}


class CausalStack(nn.Module):
    """Embedded labels through causal layers to logits of the next label.

    Parameters
    ----------
    n_units : int
        Classes in and out.
    d_model, n_heads, n_layers, d_ffn : int
    dropout : float
    mixer : {"attention", "plain", "mamba", "mamba2"}
        What mixes the labels; plain attention knows no positions, which ``positions`` gives it.
    cross : bool
        Whether the layers look at an encoder's output.
    positions : int, optional
        So many learned vectors are added to the labels by their place; later places share the last.
    tied : bool
        Whether the output layer is the embedding, without a bias.
    **options
        Further arguments of a Mamba block, such as ``d_state``.
    """

    def __init__(
        self,
        n_units,
        d_model,
        n_heads,
        n_layers,
        d_ffn,
        dropout,
        mixer,
        cross,
        positions=None,
        tied=False,
        **options,
    ):
        super().__init__()
        if mixer not in MIXERS:
            raise ValueError(f"mixer is {mixer!r}; it must be one of {', '.join(MIXERS)}")
        if (mixer == "plain") != (positions is not None):
            raise ValueError(
                f"mixer is {mixer!r} and positions is {positions}; give positions with plain, and null with others"
            )
        sizes = (d_model,) if mixer.startswith("mamba") else (d_model, n_heads)
        looks = MemoryAttention if mixer == "plain" else CrossAttention
        self.scale = d_model**0.5 if positions is None else 1.0
        self.embedding = nn.Embedding(n_units, d_model)
        self.positions = None if positions is None else nn.Embedding(positions, d_model)
        for table in filter(None, (self.embedding, self.positions)):
            nn.init.normal_(table.weight, std=d_model**-0.5)
        self.dropout = Dropout(dropout)
        self.layers = nn.ModuleList(
            CausalLayer(
                d_model, d_ffn, dropout, MIXERS[mixer](*sizes, **options), looks(d_model, n_heads) if cross else None
            )
            for _ in range(n_layers)
        )
        self.norm = nn.LayerNorm(d_model)
        self.output = None if tied else Linear(d_model, n_units)

    @property
    def unit_parts(self):
        """Modules whose tensors have a row for each unit."""
        return [self.embedding, *(() if self.output is None else [self.output])]

    def forward(self, labels, memories=None):
        """labels (B, U) int64, a `Memory` a layer or None -> logits (B, U, n_units)."""
        x = self._embed(labels)
        for layer, memory in zip(self.layers, memories or [None] * len(self.layers), strict=True):
            x = layer(x, memory)
        return self._logits(x)

    def init_state(self, batch):
        """What `step` carries before the first label: a tuple of tensors for each layer."""
        return tuple(layer.mixer.init_state(batch) for layer in self.layers)

    def step(self, labels, state, memories=None):
        """Continue by labels (N, U), any U: logits (N, U, n_units) of the label after each, and the state."""
        before = 0 if self.positions is None else state[0][0].shape[2]
        x, following = self._embed(labels, before), []
        for layer, carried, memory in zip(self.layers, state, memories or [None] * len(self.layers), strict=True):
            x, carried = layer.step(x, carried, memory)
            following.append(carried)
        return self._logits(x), tuple(following)

    def _embed(self, labels, before=0):
        """labels (N, U) behind ``before`` others -> (N, U, d_model)."""
        x = self.embedding(labels) * self.scale
        if self.positions is not None:
            place = torch.arange(before, before + labels.shape[1], device=labels.device)
            x = x + self.positions(place.clamp(max=self.positions.num_embeddings - 1))
        return self.dropout(x)

    def _logits(self, x):
        x = self.norm(x)
        return linear(x, self.embedding.weight, None) if self.output is None else self.output(x)


def choose(state, index):
    """The entries ``index`` of every tensor's first dimension in nested tuples (or `Memory`)."""
    if isinstance(state, Tensor):
        return state.index_select(0, index)
    if hasattr(state, "_fields"):
        return type(state)(*(choose(part, index) for part in state))
    return tuple(choose(part, index) for part in state)
