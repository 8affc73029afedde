"""Adapters: from an encoder's frames to embeddings that a language model can read.

Each maps (x (B, T, d_input), lengths (B,)) to `Frames` of fewer and other frames (B, T', d_model), whatever in the
padding. They are of mean 0 and variance 1, each over its own values: who reads them scales them as embeddings are.
Batch mates and padding change nothing.
"""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.conformer import check_centred
from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import valid_mask, zero_padding
from serenanet_modules.lobes.blocks.parts import Frames, Part


def fewer(lengths, factor):
    """ceil(lengths / factor)."""
    return torch.div(lengths + factor - 1, factor, rounding_mode="floor")


class StackAdapter(Part):
    """Frames side by side through two layers (Ma et al. 2024, arXiv 2402.08846).

    The last frames of an utterance are filled up with zeros: none is dropped.

    Parameters
    ----------
    d_input, d_model, d_hidden : int
        Sizes of the frames, of the embeddings, and between the layers.
    stack : int
        Frames that become one.
    norm : bool
        Whether a norm with parameters stands before the layers.
    """

    def __init__(self, d_input, d_model, d_hidden=1024, stack=4, norm=True):
        super().__init__()
        self.stack = stack
        self.norm = nn.LayerNorm(d_input) if norm else nn.LayerNorm(d_input, elementwise_affine=False)
        self.layers = nn.Sequential(Linear(stack * d_input, d_hidden), nn.GELU(), Linear(d_hidden, d_model))

    def forward(self, x, lengths):
        """As the module says."""
        x = zero_padding(self.norm(zero_padding(x, lengths)), lengths)
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % self.stack)).unflatten(1, (-1, self.stack)).flatten(2)
        return Frames(_standard(self.layers(x)), fewer(lengths, self.stack))


class ConvAdapter(Part):
    """Two convolutions of which each halves the frames.

    Parameters
    ----------
    d_input, d_model, d_hidden : int
        As of `StackAdapter`.
    kernel_size : int
        Odd.
    """

    def __init__(self, d_input, d_model, d_hidden=1024, kernel_size=5):
        super().__init__()
        check_centred(kernel_size)
        self.norm, self.kernel_size = nn.LayerNorm(d_input), kernel_size
        self.convolutions = nn.ModuleList(Linear(kernel_size * size, d_hidden) for size in (d_input, d_hidden))
        self.project = Linear(d_hidden, d_model)

    def forward(self, x, lengths):
        """As the module says."""
        x = self.norm(zero_padding(x, lengths))
        for convolution in self.convolutions:
            x = functional.pad(zero_padding(x, lengths), (0, 0, *[self.kernel_size // 2] * 2))
            x = functional.gelu(convolution(x.unfold(1, self.kernel_size, 2).flatten(2)))
            lengths = fewer(lengths, 2)
        return Frames(_standard(self.project(x)), lengths)


class QFormerAdapter(Part):
    """Learned queries that attend to windows of frames (Tang et al. 2023, arXiv 2310.13289).

    Parameters
    ----------
    d_input, d_model, d_hidden : int
        As of `StackAdapter`; ``d_hidden`` is that of the attention too.
    window : int
        Frames that the queries read at once.
    n_queries : int
        Embeddings of a window.
    n_layers, n_heads : int
    """

    def __init__(self, d_input, d_model, d_hidden=512, window=15, n_queries=3, n_layers=2, n_heads=8):
        super().__init__()
        self.window, self.n_queries = window, n_queries
        self.norm, self.enter = nn.LayerNorm(d_input), Linear(d_input, d_hidden)
        self.queries = nn.Parameter(0.02 * torch.randn(n_queries, d_hidden))
        self.places = nn.Parameter(0.02 * torch.randn(window, d_hidden))
        layer = nn.TransformerDecoderLayer(
            *(d_hidden, n_heads, 4 * d_hidden),
            dropout=0.0,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.layers = nn.TransformerDecoder(layer, n_layers, nn.LayerNorm(d_hidden))
        self.project = Linear(d_hidden, d_model)

    def forward(self, x, lengths):
        """As the module says."""
        batch, size = len(x), self.window
        x = self.enter(self.norm(zero_padding(x, lengths)))
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % size))
        valid = valid_mask(lengths, x.shape[1]).view(-1, size)  # (B * windows, size)
        valid = valid | ~valid.any(1, keepdim=True)  # windows of padding alone attend to something too
        memory = x.view(-1, size, x.shape[-1]) + self.places
        queries = self.queries.expand(len(memory), -1, -1)
        found = self.layers(queries, memory, memory_key_padding_mask=~valid)
        y = self.project(found).view(batch, -1, self.project.out_features)
        return Frames(_standard(y), fewer(lengths, size) * self.n_queries)


def by_labels(x, log_probs, lengths, blank_id=0):
    """Merge frames that CTC gives one label to, with the blanks that follow (Gaido et al. 2021, arXiv 2102.01578).

    A merged frame is the mean of its frames, each weighed by the probability that it is no blank.

    Parameters
    ----------
    x : Tensor
        Frames (B, T, F).
    log_probs : Tensor
        (B, T, V).
    lengths : Tensor
        (B,) int64.
    blank_id : int

    Returns
    -------
    Frames
        As many as labels are likeliest in a row, one at least.

    Examples
    --------
    >>> log_probs = torch.eye(3)[[0, 1, 1, 0, 2]].clamp(1e-4).log().unsqueeze(0)
    >>> x = torch.tensor([[[9.0], [1.0], [3.0], [9.0], [5.0]]])
    >>> by_labels(x, log_probs, torch.tensor([5])).x.round(decimals=1).squeeze()
    tensor([2., 5.])
    """
    best, valid = log_probs.argmax(-1), valid_mask(lengths, x.shape[1])
    before = functional.pad(best[:, :-1], (1, 0), value=blank_id)
    begins = (best != blank_id) & (best != before) & valid
    place = (begins.long().cumsum(1) - 1).clamp(min=0)  # (B, T): what comes before the first label belongs to it
    counts = begins.sum(1).clamp(min=1)
    weights = (1 - log_probs[..., blank_id].exp()).clamp(min=1e-4).where(valid, 0.0).unsqueeze(-1)
    shape = (len(x), int(counts.max()))
    weighted = zero_padding(x, lengths) * weights
    total = x.new_zeros(*shape, x.shape[2]).scatter_add(1, place.unsqueeze(-1).expand_as(x), weighted.to(x.dtype))
    mass = x.new_zeros(*shape, 1).scatter_add(1, place.unsqueeze(-1), weights.to(x.dtype))
    return Frames(total / mass.clamp(min=1e-6), counts)


def _standard(x):
    return functional.layer_norm(x.float(), x.shape[-1:])
