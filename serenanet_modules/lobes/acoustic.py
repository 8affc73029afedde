"""What turns sound into frames that heads can read: the interface of all acoustic models.

Heads, losses, decoders, times and exports know an acoustic model by this alone, and nothing of features or strides.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from serenanet_modules.lobes.blocks.parts import Extras, Part
from serenanet_modules.lobes.heads.pessl import Prediction


class Conditions(NamedTuple):
    """What a training wants of a pass beside the sound; the attributes of `AcousticModel` say who can do what."""

    least: Tensor | None = None  # (B,) frames that each utterance must come out with, for models that shorten
    augment: Callable | None = None  # features x (B, T, F), lengths (B,) -> x with parts masked
    masker: Callable | None = None  # features, lengths -> the `Masking` that hides frames and asks for them


class AcousticOutput(NamedTuple):
    """What an `AcousticModel` gives for a batch."""

    hidden: Tensor  # (B, T, d_model), zero past the lengths
    lengths: Tensor  # (B,) int64 frames
    edges: Tensor  # (B, T + 1) int64 samples at which each frame begins and, at a length, the last one ends
    prediction: Prediction | None = None  # of the frames that a masker hid
    extras: Extras = Extras()


class AcousticModel(Part):
    """``(wavs (B, S) at 16 kHz, lengths (B,) int64 samples, conditions) -> AcousticOutput``.

    Batch mates and padding change nothing of an utterance's output. Where it streams, `init_state`, ``step`` and
    ``finish`` are those of `blocks.streaming` with samples (B, S) going in and hidden (B, T, d_model) coming out.

    Attributes
    ----------
    d_model : int
        Size of the output.
    frame_seconds : float or None
        What a frame stands for; None where frames have no common length.
    look_aheads : tuple of int
        Milliseconds, by one of which a stream may look ahead; empty where there is no choice.
    most_seconds : float or None
        What it hears at once; longer audio is to be cut for it. None where any length will do.
    least_seconds : float
        What an utterance is padded to, and so costs.
    can_mask : bool
        Whether there is something between the sound and the layers that are trained that ``augment`` can mask.
    has_features : bool
        Whether there are features between sound and encoder, and frames that can be hidden.
    listener : Module or None
        The part that makes frames of the sound, where those of an utterance are a function of its samples alone. Then
        the model calls `listen` for them, which a training that leaves the part as it is may put something else in the
        place of.
    """

    frame_seconds = most_seconds = None
    least_seconds = 0.0
    can_mask = has_features = False
    look_aheads = ()
    listener = None

    def listen(self, wavs, lengths):
        """wavs (B, S), lengths (B,) samples -> the listener's `Frames`."""
        return self.listener(wavs, lengths)

    def levels(self):
        """Parts from the bottom up, a list of modules for each level: the front end, then each layer.

        This is what ``freeze`` and ``layer_decay`` go by. What stands in no level, such as a head of masked prediction,
        counts as above them all.
        """
        return [[self]]

    @property
    def taken_over(self):
        """Parts whose weights were learned before and elsewhere, such as a public encoder; by default none."""
        return []

    @property
    def statistics(self):
        """Buffers by name that are fitted once on training utterances, before the training; by default none."""
        return {}

    def delay(self, look_ahead=None):
        """Samples from the beginning of what an output frame of a stream stands for to the last one that it waits for.

        Parameters
        ----------
        look_ahead : int, optional
            As of `init_state`.
        """
        raise NotImplementedError

    def init_state(self, batch, look_ahead=None):
        """What ``step`` carries before the first sample.

        Parameters
        ----------
        batch : int
        look_ahead : int, optional
            Of `look_aheads`; the model's first by default.

        Raises
        ------
        CannotStream
            For a part that reads whole utterances.
        """
        return super().init_state(batch)

    def fit_statistics(self, batches):
        """Fit the `statistics` to an iterable of (wavs (B, S), lengths (B,))."""

    def set_statistics(self, values):
        """Take over values of `statistics`, Tensors by name."""
        for name, buffer in self.statistics.items():
            buffer.copy_(values[name])


def regular_edges(hidden, samples):
    """``AcousticOutput.edges`` of hidden (B, T, d_model) whose frames all stand for so many samples."""
    steps = torch.arange(hidden.shape[1] + 1, device=hidden.device)
    return (samples * steps).expand(hidden.shape[0], -1)
