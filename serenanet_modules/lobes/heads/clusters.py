"""Acoustic clusters: the targets of PESSL, found on the fly as the nearest centroid."""

import torch
from torch import nn
from torchaudio.functional import compute_deltas

from serenanet_modules.lobes.blocks.lengths import zero_padding


class Spectrum(nn.Module):
    """Normalised log-mel features beside their first and second differences over time.

    Examples
    --------
    >>> y = Spectrum()(torch.randn(2, 30, 8), torch.tensor([30, 12]))
    >>> y.shape
    torch.Size([2, 30, 24])
    """

    stride = 1  # feature frames per frame

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> (B, T, 3 F)."""
        delta = self._delta(x, lengths)
        return zero_padding(torch.cat([x, delta, self._delta(delta, lengths)], dim=-1), lengths)

    def _delta(self, x, lengths):
        """Differences of x (B, T, F) over time, the last valid frame repeated to the end as if nothing followed."""
        last = (lengths - 1).clamp(min=0)[:, None, None]
        position = torch.arange(x.shape[1], device=x.device)[None, :, None].minimum(last)
        return compute_deltas(x.gather(1, position.expand_as(x)).transpose(1, 2)).transpose(1, 2)


class EncoderLayer(nn.Module):
    """The hidden output of one encoder layer of a trained model, normalised per frame.

    Parameters
    ----------
    acoustic : SpectralModel
    layer : int
        From 1; those after it are dropped from the encoder.

    Raises
    ------
    ValueError
        Where the encoder has no such layer or does not show its layers.
    """

    def __init__(self, acoustic, layer):
        super().__init__()
        self.frontend, self.encoder = acoustic.frontend, acoustic.encoder
        self.encoder.cut(layer)

    @property
    def stride(self):
        """Feature frames per frame."""
        return self.frontend.output_stride

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) -> (B, ceil(T / stride), d_model)."""
        front = self.frontend(x, lengths)
        hidden = self.encoder.hidden(front.x, front.lengths)
        return nn.functional.layer_norm(hidden, hidden.shape[-1:])


class Clusters(nn.Module):
    """Labels frames with the nearest of fixed centroids.

    Parameters
    ----------
    representation : Module
        ``(x, lengths) -> (B, T / stride, D)`` of normalised log-mel features x (B, T, F); has a ``stride``.
    centroids : Tensor
        (K, D).
    """

    def __init__(self, representation, centroids):
        super().__init__()
        self.representation = representation
        self.register_buffer("centroids", centroids)
        self.requires_grad_(False).eval()

    def train(self, mode=True):
        """Stay as it is: targets must not depend on dropout."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, x, lengths, stride):
        """Clusters of encoder frames.

        Parameters
        ----------
        x : Tensor
            (B, T, F) normalised log-mel features.
        lengths : Tensor
            (B,) frames.
        stride : int
            Feature frames per encoder frame. Each is labelled by the middle one of them.

        Returns
        -------
        Tensor
            (B, ceil(T / stride)) int64; undefined in the padding.
        """
        with torch.autocast(x.device.type, enabled=False):
            y = self.representation(x.float(), lengths)
            index = middle(lengths, stride, x.shape[1]) // self.representation.stride
            y = y.gather(1, index.unsqueeze(-1).expand(-1, -1, y.shape[-1]))
            distance = self.centroids.square().sum(1) - 2 * y @ self.centroids.T  # less ||y||^2, the same for all
            return distance.argmin(-1)


def middle(lengths, stride, total):
    """Number of the middle frame of each group of ``stride``, (B, ceil(total / stride)).

    The last group of an utterance may be short; it never reads past the utterance's last frame.

    Examples
    --------
    >>> middle(torch.tensor([9, 5]), 4, 9)
    tensor([[2, 6, 8],
            [2, 4, 4]])
    """
    groups = -(-total // stride)
    index = torch.arange(groups, device=lengths.device) * stride + stride // 2
    return index.minimum((lengths - 1).clamp(min=0).unsqueeze(1))
