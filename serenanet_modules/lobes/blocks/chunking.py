"""Fewer frames for the inner layers: learned chunks (H-Net), or groups of a fixed stride as the control.

Both have ``down(x, lengths) -> (chunks, counts, route)``, ``up(chunks, route, x) -> frames`` and, for heads at the
chunks' own rate, ``read(chunks, route) -> chunks``. H-Net: Hwang, Wang and Gu 2025, arXiv 2507.07955.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import pick, valid_mask, zero_padding
from serenanet_modules.ops import mamba_chunk_scan_combined

FLOOR = 1e-4  # least boundary probability in the smoothing, and least distance to 1


@dataclass(frozen=True)
class Route:
    """Where the chunks of a batch begin."""

    lengths: Tensor  # (B,) frames
    boundaries: Tensor  # (B, T) bool, false in the padding
    probabilities: Tensor  # (B, T) of a boundary, float32
    starts: Tensor  # (B, K) frame that each chunk begins with; past a count any frame
    counts: Tensor  # (B,) chunks
    ratio_loss: Tensor | None = None  # see `DynamicChunking`

    @property
    def edges(self):
        """(B, K + 1): the frame that each chunk begins with and, at a count, where the last chunk ends."""
        ends = self.lengths.unsqueeze(1)
        return torch.cat([self.starts, ends], 1).scatter(1, self.counts.unsqueeze(1), ends)


class DynamicChunking(nn.Module):
    """Boundaries where neighbouring frames differ, chunks of their first frames, smoothed on the way back.

    A boundary's probability is ``p_t = ½ (1 - cos(W_q x_{t-1}, W_k x_t))``, 1 at the first frame; it is one where p is
    above ½. Going back, ``z_k = p_k y_k + (1 - p_k) z_{k-1}``, each frame takes z of its chunk, and a residual of the
    frame is added, which begins as zero.

    Parameters
    ----------
    d_model : int
    target : float
        Frames per chunk that the ratio loss pulls towards, above 1.
    max_gap : int, optional
        Most frames in a chunk.

    Notes
    -----
    The ratio loss of a route is ``N / (N - 1) ((N - 1) F G + (1 - F)(1 - G))``, with the target N, F the share of valid
    frames that are boundaries and G their mean probability; 1 at the target.

    Examples
    --------
    >>> chunking = DynamicChunking(16)
    >>> x = torch.randn(2, 9, 16)
    >>> chunks, counts, route = chunking.down(x, torch.tensor([9, 4]))
    >>> chunks.shape[1] == counts.max(), chunking.up(chunks, route, x).shape
    (tensor(True), torch.Size([2, 9, 16]))
    """

    streams = True  # whether `ChunkedEncoder` can go on frame by frame with it

    def __init__(self, d_model, target=2.0, max_gap=None):
        super().__init__()
        if target <= 1:
            raise ValueError(f"target is {target}; it must be above 1, the frames per chunk")
        self.target, self.max_gap = float(target), max_gap
        self.query, self.key = (Linear(d_model, d_model, bias=False) for _ in range(2))
        for projection in (self.query, self.key):
            nn.init.eye_(projection.weight)
        self.residual = _silent(d_model)

    def down(self, x, lengths, least=None):
        """Cut into chunks.

        Parameters
        ----------
        x : Tensor
            (B, T, d_model), zero past each length.
        lengths : Tensor
            (B,).
        least : Tensor, optional
            (B,) least number of chunks: where fewer are found, the most probable other frames begin one too, as far as
            there are frames.

        Returns
        -------
        (Tensor, Tensor, Route)
            Chunks (B, K, d_model), compact at the left and zero past each count, and the counts (B,).
        """
        valid = valid_mask(lengths, x.shape[1])
        probabilities = self.probabilities(x[:, :-1], x)
        boundaries = (probabilities > 0.5) & valid
        if self.max_gap is not None:
            boundaries |= _too_far(boundaries, self.max_gap) & valid
        if least is not None:
            boundaries |= _most_probable(probabilities.detach(), boundaries, valid, least)
        route = _route(lengths, boundaries, probabilities, self._ratio_loss(probabilities, boundaries, valid))
        return _take(x, route), route.counts, route

    def probabilities(self, before, x):
        """Of a boundary at each frame of x (B, T, d_model), in float32: (B, T).

        Parameters
        ----------
        before : Tensor
            The frame before each: (B, T, d_model), or (B, T - 1, d_model) where x begins an utterance.
        """
        first = x.shape[1] - before.shape[1]
        before = torch.cat([x[:, :first], before], dim=1)  # never empty, which some runtimes cannot reduce
        with torch.autocast(x.device.type, enabled=False):
            query, key = self.query(before.float()), self.key(x.float())
            p = 0.5 * (1 - functional.cosine_similarity(query, key, dim=-1))
        begins = torch.arange(x.shape[1], device=x.device) < first
        return p.clamp(0, 1).masked_fill(begins, 1.0)

    def _ratio_loss(self, probabilities, boundaries, valid):
        hard = boundaries.sum() / valid.sum()
        soft = probabilities.masked_select(valid).mean()
        n = self.target
        return n / (n - 1) * ((n - 1) * hard * soft + (1 - hard) * (1 - soft))

    def up(self, chunks, route, x):
        """Chunks (B, K, d_model) and the frames x (B, T, d_model) they came from -> frames, zero past each length."""
        p = route.probabilities.gather(1, route.starts)
        smoothed = smooth(chunks, p)
        chunk = (route.boundaries.cumsum(1) - 1).clamp(min=0)
        frames = pick(smoothed, chunk)
        return zero_padding(self.merge(frames, route.probabilities, route.boundaries, x), route.lengths)

    def merge(self, frames, probabilities, boundaries, x):
        """Add the residual; the choice's confidence is worth 1 and passes its gradient on."""
        confidence = straight_through(probabilities, boundaries).unsqueeze(-1)
        with torch.autocast(x.device.type, enabled=False):
            return (frames.float() * confidence + self.residual(x.float())).to(x.dtype)

    def read(self, chunks, route):
        """Chunks (B, K, d_model) for a head at their own rate: the same values, with gradients for the routing."""
        p = route.probabilities.gather(1, route.starts)
        return chunks * straight_through(p, route.boundaries.gather(1, route.starts)).unsqueeze(-1).to(chunks.dtype)


class FixedPooling(nn.Module):
    """The control: chunks are means of ``stride`` frames, going back repeats them and adds the same residual.

    Parameters
    ----------
    d_model, stride : int

    Examples
    --------
    >>> pooling = FixedPooling(1, stride=2)
    >>> x = torch.tensor([[[1.0], [3.0], [5.0]]])
    >>> chunks, counts, route = pooling.down(x, torch.tensor([3]))
    >>> chunks.squeeze(), pooling.up(chunks, route, x).squeeze().detach()
    (tensor([2., 5.]), tensor([2., 2., 5.]))
    """

    streams = False  # the first frames of a chunk hear all of it

    def __init__(self, d_model, stride=2):
        super().__init__()
        self.stride = stride
        self.residual = _silent(d_model)

    def down(self, x, lengths, least=None):
        """As `DynamicChunking.down`; ``least`` cannot be met and is left to the loss, which says so."""
        steps = torch.arange(x.shape[1], device=x.device)
        boundaries = valid_mask(lengths, x.shape[1]) & (steps % self.stride == 0)
        groups = functional.pad(x, (0, 0, 0, -x.shape[1] % self.stride)).unflatten(1, (-1, self.stride))
        counts = -(-lengths // self.stride)
        sizes = (lengths.unsqueeze(1) - steps[:: self.stride]).clamp(1, self.stride)
        route = Route(lengths, boundaries, boundaries.float(), steps[:: self.stride].expand(x.shape[0], -1), counts)
        return groups.sum(2) / sizes.unsqueeze(-1), counts, route

    def up(self, chunks, route, x):
        """As `DynamicChunking.up`."""
        frames = chunks.repeat_interleave(self.stride, dim=1)[:, : x.shape[1]]
        return zero_padding(frames + self.residual(x), route.lengths)

    def read(self, chunks, route):
        """The chunks as they are."""
        return chunks


def smooth(chunks, p):
    """``z_k = p_k y_k + (1 - p_k) z_{k-1}`` in float32, by Mamba-2's scan with a state of 1.

    Parameters
    ----------
    chunks : Tensor
        y (B, K, D).
    p : Tensor
        (B, K), kept `FLOOR` away from 0 and 1.

    Returns
    -------
    Tensor
        z (B, K, D), float32.
    """
    head = math.gcd(chunks.shape[2], 64)
    with torch.autocast(chunks.device.type, enabled=False):
        x = chunks.float().unflatten(2, (-1, head))  # (B, K, H, P)
        p = p.clamp(FLOOR, 1 - FLOOR)
        step = -torch.log1p(-p)  # exp(-step) = 1 - p
        weight = (p / step)[..., None, None]  # (B, K, 1, 1)
        heads = x.shape[2]
        z = mamba_chunk_scan_combined(
            x,
            step.unsqueeze(-1).expand(-1, -1, heads).contiguous(),
            -torch.ones(heads, device=x.device),
            weight,
            torch.ones_like(weight),
            chunk_size=64,
        )
    return z.flatten(2)


def smooth_step(chunk, p, before):
    """One step of `smooth`: chunk (B, D), p (B, 1) and the last z (B, D) -> z (B, D)."""
    p = p.clamp(FLOOR, 1 - FLOOR)
    return p * chunk.float() + (1 - p) * before


def straight_through(probabilities, boundaries):
    """1 for every frame, with the gradient of the probability of what was chosen there."""
    confidence = torch.where(boundaries, probabilities, 1 - probabilities)
    return confidence + (1 - confidence).detach()


def _silent(d_model):
    """A projection that begins as zero."""
    projection = Linear(d_model, d_model)
    nn.init.zeros_(projection.weight)
    nn.init.zeros_(projection.bias)
    return projection


def _route(lengths, boundaries, probabilities, ratio_loss):
    counts = boundaries.sum(1)
    columns = torch.arange(counts.max(), device=counts.device)  # a slice's end would be a constant to tracers
    starts = _starts(boundaries).index_select(1, columns)
    return Route(lengths, boundaries, probabilities, starts, counts, ratio_loss)


def _starts(boundaries):
    """Frames of the boundaries (B, T), one after the other; 0 past their number."""
    total = boundaries.shape[1]
    steps = torch.arange(total, device=boundaries.device).expand_as(boundaries)
    place = torch.where(boundaries, boundaries.cumsum(1) - 1, total)  # all others share a last column
    return steps.new_zeros(boundaries.shape[0], total + 1).scatter(1, place, steps)[:, :total]


def _take(x, route):
    return zero_padding(pick(x, route.starts), route.counts)


def _too_far(boundaries, max_gap):
    """Frames at a multiple of ``max_gap`` after the last boundary (B, T); the first frame must be one."""
    steps = torch.arange(boundaries.shape[1], device=boundaries.device)
    last = _starts(boundaries).gather(1, boundaries.cumsum(1) - 1)
    return (steps - last) % max_gap == 0


def _most_probable(probabilities, boundaries, valid, least):
    """The ``least`` frames (B,) of each utterance that come first when boundaries go before others (B, T)."""
    score = (probabilities + 2.0 * boundaries).masked_fill(~valid, -1.0)
    rank = torch.argsort(torch.argsort(score, dim=1, descending=True, stable=True), dim=1)
    return (rank < least.unsqueeze(1)) & valid
