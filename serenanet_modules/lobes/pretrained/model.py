"""The acoustic model of a public encoder: its frames, a norm, layers of this project on top."""

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.lobes.acoustic import AcousticModel, AcousticOutput, Conditions, regular_edges
from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.parts import Extras
from serenanet_modules.lobes.heads.unfolding import Unfolding


class LayerMix(nn.Module):
    """A weighted sum of layers, each normalised: what suits a task is not always in the last one (Pasad et al. 2021).

    Parameters
    ----------
    n_layers : int
    """

    def __init__(self, n_layers):
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(n_layers))

    def forward(self, x):
        """x (B, T, n_layers * F), layers side by side -> (B, T, F)."""
        layers = x.unflatten(2, (len(self.weights), -1))
        normed = functional.layer_norm(layers, layers.shape[-1:])
        return (normed * self.weights.softmax(0).unsqueeze(1)).sum(2)


class EncodedModel(AcousticModel):
    """A public encoder and a head.

    Parameters
    ----------
    encoder : PublicEncoder
    head : Encoder, optional
        Layers over the encoder's frames; without one, what stands on this model reads the frames themselves.
    d_model : int, optional
        Size of the output, where there is a head.
    output_stride : int
        10 ms frames for each frame of the head: the encoder's frames are read side by side, as fewer and wider ones.
    labels_per_frame : int
        Frames that come of each of these, by `Unfolding`.

    Raises
    ------
    ValueError
        For a head that shortens, and a stride that is no whole number of the encoder's frames.
    """

    can_mask = True

    def __init__(self, encoder, head=None, d_model=None, output_stride=2, labels_per_frame=1):
        super().__init__()
        self.stack, rest = divmod(round(160 * output_stride), encoder.hop)
        if rest or not self.stack:
            own = round(100 * encoder.frame_seconds)
            raise ValueError(f"output_stride is {output_stride}, but must be a multiple of the encoder's {own}")
        if head is not None and head.shortens:
            raise ValueError(
                f"head: {type(head).__name__} downsamples, but the encoder's frames are few already; take another"
            )
        size = encoder.d_model // encoder.n_layers
        wide = self.stack * size
        self.encoder = encoder
        self.mix = LayerMix(encoder.n_layers) if encoder.n_layers > 1 else None
        self.norm = nn.LayerNorm(size)
        self.project = None if head is None else Linear(wide, d_model)
        self.head, self.d_model = head, wide if head is None else d_model
        self.unfolding = Unfolding(self.d_model, labels_per_frame) if labels_per_frame > 1 else None
        self.hop = self.stack * encoder.hop // labels_per_frame
        self.frame_seconds = self.stack * encoder.frame_seconds / labels_per_frame
        self.most_seconds = encoder.most_seconds

    @property
    def listener(self):
        """The encoder."""
        return self.encoder

    def levels(self):
        """Those of the encoder."""
        return self.encoder.levels()

    @property
    def taken_over(self):
        """The encoder."""
        return [self.encoder]

    def forward(self, wavs, lengths, conditions=None):
        """wavs (B, S), lengths (B,) int64 samples -> `AcousticOutput`."""
        conditions = conditions or Conditions()
        found = self.listen(wavs, lengths)
        x, lengths = found.x if self.mix is None else self.mix(found.x), found.lengths
        x = self.norm(x)
        if conditions.augment is not None:
            x = conditions.augment(x, lengths)
        x, lengths = self._side_by_side(zero_padding(x, lengths), lengths)
        if self.head is not None:
            x = self.head(self.project(x), lengths, conditions.least).x
        if self.unfolding is not None:
            x, lengths, *_ = self.unfolding(x, lengths)
        return AcousticOutput(x, lengths, regular_edges(x, self.hop), None, Extras())

    def _side_by_side(self, x, lengths):
        """x (B, T, F), zero past the lengths -> (B, ceil(T / stack), stack * F)."""
        x = functional.pad(x, (0, 0, 0, -x.shape[1] % self.stack))
        return x.unflatten(1, (-1, self.stack)).flatten(2), torch.div(
            lengths + self.stack - 1, self.stack, rounding_mode="floor"
        )
