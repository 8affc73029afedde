"""What the parts of a model give and say of themselves: front ends, encoders and refinements."""

from typing import NamedTuple

from torch import Tensor, nn

from serenanet_modules.lobes.blocks.lengths import zero_padding
from serenanet_modules.lobes.blocks.streaming import CannotStream


class Picture(NamedTuple):
    """Numbers over time for plots."""

    values: Tensor  # (B, T) or (B, T, columns), whatever in the padding
    columns: tuple = ()  # what each column stands for


class Extras(NamedTuple):
    """What a part tells beside its frames, each thing by its name; parts that have nothing to tell leave it out."""

    regularisers: dict[str, Tensor] = {}  # scalars to minimise, by the hyper-parameter that weighs them
    scalars: dict[str, Tensor] = {}  # detached, for TensorBoard
    pictures: dict[str, Picture] = {}
    chunks: Tensor | None = None  # (2,) int64, valid frames of the batch and the chunks that they were cut into

    def joined(self, other):
        """Those of two parts."""
        return Extras(
            self.regularisers | other.regularisers,
            self.scalars | other.scalars,
            self.pictures | other.pictures,
            self.chunks if other.chunks is None else other.chunks,
        )


class Frames(NamedTuple):
    """What a part makes of frames."""

    x: Tensor  # (B, T, F), of encoders and front ends zero past the lengths
    lengths: Tensor  # (B,) int64
    extras: Extras = Extras()
    edges: Tensor | None = None  # (B, T + 1) int64: see `Encoder.shortens`


class Part(nn.Module):
    """Maps frames to `Frames`; goes on piece by piece only where a subclass has the protocol of `blocks.streaming`."""

    def init_state(self, batch):
        """What `step` carries before the first frame; this part has none.

        Raises
        ------
        CannotStream
        """
        raise CannotStream(f"{type(self).__name__} reads whole utterances only")


class FrontEnd(Part):
    """``(x (B, T, F), lengths (B,)) -> Frames`` of ``ceil(T / output_stride)``.

    Attributes
    ----------
    output_stride : int
        Input frames per output frame.
    d_model : int
        Size of the output.
    """

    output_stride = 1


class Encoder(Part):
    """``(x (B, T, d_model), lengths (B,), least=None) -> Frames`` of the same size.

    ``least`` (B,) is how many frames each utterance must come out with, such as a CTC target needs. It is for encoders
    that shorten; others leave it alone.

    Attributes
    ----------
    shortens : bool
        Whether lengths differ from those that went in. Then ``Frames.edges`` are the input frames that each output
        frame begins with and, at an utterance's length, where its last one ends.
    depth : int
        Layers whose output `hidden` can show; 0 where it shows none.
    look_aheads : tuple
        Frames that a pass or a stream may look ahead, see `blocks.chunkwise`; empty where there is no choice.
    """

    shortens = False
    depth = 0
    look_aheads = ()

    def levels(self):
        """Layers from the bottom up, each a list of modules; together they hold the whole encoder.

        By default the encoder is one layer.
        """
        return [[self]]

    def hidden(self, x, lengths):
        """Output of the last layer (B, T, d_model) before any norm; undefined in the padding."""
        raise ValueError(f"{type(self).__name__} gives no access to the output of its layers")

    def cut(self, layer):
        """Drop the layers after this one, counted from 1.

        Raises
        ------
        ValueError
            Where there is no such layer.
        """
        if not self.depth:
            raise ValueError(f"{type(self).__name__} gives no access to the output of its layers")
        if not 1 <= layer <= self.depth:
            raise ValueError(f"the encoder has no layer {layer}, only 1 to {self.depth}")
        self.layers = self.layers[:layer]


class LayeredEncoder(Encoder):
    """An encoder of ``layers``, whose last output `hidden` gives, and a ``norm`` behind them."""

    @property
    def depth(self):
        """Its layers, each of which `hidden` can show."""
        return len(self.layers)

    def levels(self):
        """Its layers; the norm belongs to the last."""
        return [*([layer] for layer in self.layers[:-1]), [self.layers[-1], self.norm]]

    def forward(self, x, lengths, least=None, **asked):
        """x (B, T, d_model), lengths (B,) -> `Frames` of the same shape; what else is asked goes to `hidden`."""
        return Frames(zero_padding(self.norm(self.hidden(x, lengths, **asked)), lengths), lengths)
