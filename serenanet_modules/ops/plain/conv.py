"""Depthwise convolution in plain PyTorch, tile by tile so that a tile stays in the cache and memory stays low.

Narrow filters are sums of shifted products. Wide ones are batched matrix products, per channel, of windows of
``SPAN + width - 1`` inputs with the banded matrix that holds the filter in ``SPAN`` positions: that wastes products
with zeros, but costs less than ``width`` walks over memory. (Zero times NaN being NaN, one in x spreads over a span.)
"""

import torch
from torch.nn import functional

from serenanet_modules.ops import conv as core

NARROW = 8  # widest filter for shifted products
SPAN = 16
TILE = 2**17  # elements


def _forward(x, weight, bias, initial, seq_idx, left, silu, channel_last):
    y = core.empty(x, x.shape, x.dtype, channel_last)
    for tile in _tiles(x, weight, bias, initial, seq_idx, left, channel_last):
        sums = tile.sums()
        y[tile.place] = functional.silu(sums) if silu else sums
    return y


def _backward(g, x, weight, bias, initial, seq_idx, left, silu, channel_last):
    grad_x = core.empty(x, x.shape, x.dtype, channel_last)
    grad_weight = torch.zeros_like(weight, dtype=core.precision(x))
    grad_bias = grad_weight.new_zeros(len(weight))
    grad_initial = None if initial is None else core.empty(initial, initial.shape, initial.dtype, channel_last)
    for tile in _tiles(x, weight, bias, initial, seq_idx, left, channel_last):
        slope = g[tile.place].to(grad_weight.dtype)
        if silu:
            slope = torch.ops.aten.silu_backward(slope, tile.sums())
        slope = tile.cut(slope.contiguous() if tile.banded else slope)
        channels = tile.place[1]
        grad_bias[channels] += slope.sum((0, 2))
        grad_weight[channels] += tile.weight_gradient(slope)
        grad_padded = tile.input_gradient(slope)
        if initial is not None:
            grad_initial[tile.place] = grad_padded[..., :left]
        grad_x[tile.place] = grad_padded[..., left:]
    return (
        grad_x,
        grad_weight.to(weight.dtype),
        x.new_empty(0) if bias is None else grad_bias.to(bias.dtype),
        x.new_empty(0) if initial is None else grad_initial,
    )


conv = core.register("conv_torch", _forward, _backward)


def _tiles(x, weight, bias, initial, seq_idx, left, channel_last):
    """Parts of the batch and of the channels with about ``TILE`` elements each; on other devices than a CPU, all."""
    utterances, group = _tile_size(x, weight.shape[1] > NARROW)
    batch, channels, _ = x.shape
    for b in range(0, batch, utterances):
        for c in range(0, channels, group):
            place = slice(b, b + utterances), slice(c, c + group)
            yield _Tile(
                place,
                x[place],
                weight[place[1]],
                None if bias is None else bias[place[1]],
                None if initial is None else initial[place],
                None if seq_idx is None else seq_idx[place[0]],
                left,
                channel_last,
            )


def _tile_size(x, wide):
    """Utterances and channels of a tile of x (B, D, L).

    Products of matrices are one for each channel of a tile: wide filters want few tiles with the same channel.
    """
    batch, channels, length = (max(1, size) for size in x.shape)
    if x.device.type != "cpu":
        return batch, channels
    rows = max(1, TILE // length)  # of one channel of one utterance
    if wide:
        utterances = min(rows, batch)
        return utterances, min(rows // utterances, channels)
    return max(1, rows // channels), min(rows, channels)


class _Tile:
    """One tile and what its forward and backward pass share."""

    def __init__(self, place, x, weight, bias, initial, seq_idx, left, channel_last):
        self.place, self.dtype = place, core.precision(x)
        self.weight, self.bias = weight.to(self.dtype), None if bias is None else bias.to(self.dtype)
        self.length, self.width = x.shape[2], weight.shape[1]
        self.left, self.right = left, self.width - 1 - left
        self.seq_idx = None if seq_idx is None else seq_idx.unsqueeze(1)  # (B, 1, L)
        self.banded = self.width > NARROW and seq_idx is None
        self.channel_last = channel_last and not self.banded
        self.padded = self._pad(x, left, self.right, initial)

    def sums(self):
        """bias + sum_w weight[w] x[t - left + w], (B, D, L)."""
        y = self._slide(self.padded, self.weight, self.length, self.left)
        return self.cut(y if self.bias is None else y + self.bias[:, None])

    def cut(self, y):
        """Zero where there is no sequence."""
        return y if self.seq_idx is None else y.masked_fill(self.seq_idx < 0, 0.0)

    def input_gradient(self, slope):
        """Gradients of `left` steps ahead of x and of x, (B, D, left + L), from those of the sums."""
        padded = self._pad(slope, self.width - 1, self.left)
        mirrored = self.weight.flip(1)
        if self.seq_idx is None:
            return self._slide(padded, mirrored, self.length + self.left, 0)
        grad = self._slide(padded[..., self.left :], mirrored, self.length, self.right)
        return functional.pad(grad, (self.left, 0))  # nothing before x belongs to a sequence

    def weight_gradient(self, slope):
        """(D, W)."""
        if not self.banded:
            shifted = (self._shifted(self.padded, k, self.length, self.left) for k in range(self.width))
            return torch.stack([(slope * x).sum((0, 2)) for x in shifted], dim=1)
        spans = -(-self.length // SPAN)
        slope = functional.pad(slope.transpose(0, 1), (0, spans * SPAN - self.length))
        slope = slope.reshape(len(slope), -1, SPAN)  # (D, B * spans, SPAN)
        band = torch.bmm(slope.transpose(1, 2), self._windows(self.padded, spans))  # (D, SPAN, SPAN + W - 1)
        band = functional.pad(band.flatten(1), (0, SPAN)).unflatten(1, (SPAN, SPAN + self.width))
        return band[..., : self.width].sum(1)  # row i had begun at column i

    def _pad(self, x, left, right, before=None):
        """x in full precision between `left` and `right` steps of zeros, or of what came before."""
        shape = (*x.shape[:2], left + x.shape[2] + right)
        padded = core.empty(x, shape, self.dtype, self.channel_last).zero_()
        padded[..., left : left + x.shape[2]] = x
        if before is not None:
            padded[..., :left] = before
        return padded

    def _slide(self, padded, weight, length, left):
        """y[t] = sum_w weight[w] padded[t + w], (B, D, length)."""
        if self.banded:
            return self._slide_band(padded, weight, length)
        first, *taps = weight.T.contiguous().unsqueeze(2)  # each (D, 1), dense
        y = first * self._shifted(padded, 0, length, left)
        for k, tap in enumerate(taps, 1):
            y.addcmul_(tap, self._shifted(padded, k, length, left))
        return y

    def _shifted(self, padded, k, length, left):
        """What tap k reads, (B, D, length); zero where that is another sequence than the output's."""
        x = padded[..., k : k + length]
        if self.seq_idx is None:
            return x
        around = functional.pad(self.seq_idx, (left, self.width - 1 - left), value=-1)
        return x.masked_fill(around[..., k : k + length] != self.seq_idx, 0.0)

    def _slide_band(self, padded, weight, length):
        spans = -(-length // SPAN)
        band = weight.new_zeros(len(weight), SPAN, SPAN + self.width)
        band[..., : self.width] = weight[:, None]
        band = band.flatten(1)[:, :-SPAN].unflatten(1, (SPAN, -1))  # row i begins at column i
        y = torch.bmm(self._windows(padded, spans), band.transpose(1, 2))
        return y.view(len(weight), -1, spans * SPAN)[..., :length].transpose(0, 1)

    def _windows(self, padded, spans):
        """(D, B * spans, SPAN + W - 1): for each span of outputs all that it reads."""
        size = SPAN + self.width - 1
        missing = spans * SPAN + self.width - 1 - padded.shape[2]
        padded = functional.pad(padded.transpose(0, 1), (0, missing))
        return padded.unfold(2, size, SPAN).reshape(len(padded), -1, size)


def update(x, state, weight, bias, start, silu):
    """Some steps of a causal convolution with a carried window.

    Parameters
    ----------
    x : Tensor
        (B, D, T).
    state : Tensor
        (B, D, S), S >= W - 1, changed in place.
    weight, bias : Tensor
        (D, W), (D,) or None.
    start : Tensor or None
        (B,) int64, where a circular window is written next; None for a window that is shifted.
    silu : bool

    Returns
    -------
    Tensor
        (B, D, T).
    """
    (_, channels, steps), size, before = x.shape, state.shape[2], weight.shape[1] - 1
    if start is None:
        window = torch.cat([state, x], dim=2)
        state.copy_(window[..., steps:])
        window = window[..., size - before :]
    else:
        index = (start[:, None] + torch.arange(-before, 0, device=x.device)) % max(size, 1)
        held = state.gather(2, index[:, None].expand(-1, channels, -1))
        window = torch.cat([held, x], dim=2)
        kept = min(steps, size)  # of more steps only the last ones stay
        index = (start[:, None] + torch.arange(steps - kept, steps, device=x.device)) % max(size, 1)
        state.scatter_(2, index[:, None].expand(-1, channels, -1), x[..., steps - kept :])
    y = (window.unfold(2, before + 1, 1) * weight[:, None]).sum(3)
    y = y if bias is None else y + bias[:, None]
    return functional.silu(y) if silu else y
