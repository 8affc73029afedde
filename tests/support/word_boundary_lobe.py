"""The network of tests/support/word_boundaries.py."""

from torch import nn

from serenanet_modules.lobes.blocks.lengths import valid_mask


class WordBoundaries(nn.Module):
    """Characters (B, U) and lengths (B,) -> logits (B, U, 2) of whether each begins a word."""

    def __init__(self, n_units, d_model):
        super().__init__()
        self.embedding = nn.Embedding(n_units, d_model)
        self.conv = nn.Conv1d(d_model, d_model, 5, padding=2)
        self.out = nn.Linear(d_model, 2)

    def forward(self, characters, lengths):
        x = self.embedding(characters) * valid_mask(lengths, characters.shape[1]).unsqueeze(-1)
        return self.out(self.conv(x.transpose(1, 2)).relu().transpose(1, 2))
