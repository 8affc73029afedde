"""What recognisers and pre-training share: a front end, an encoder, and frames that can be hidden in between."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from serenanet_modules.lobes.heads.pessl import Prediction


class Trunk(nn.Module):
    """Front end and encoder; with a `PESSL` part, frames can be hidden from the encoder.

    Parameters
    ----------
    frontend, encoder : Module
        ``(x, lengths) -> (y, lengths)``. The front end's ``output_stride`` is the number of input frames per output
        frame: T frames become ceil(T / output_stride).
    pessl : PESSL, optional
    """

    def __init__(self, frontend, encoder, pessl=None):
        super().__init__()
        self.frontend = frontend
        self.encoder = encoder
        self.pessl = pessl

    @property
    def stride(self):
        """10 ms frames per encoder frame."""
        return self.frontend.output_stride

    def encode(self, x, lengths, masking=None, least=None):
        """x (B, T, F), lengths (B,) int64 -> encoder output (B, ceil(T / stride), d_model), lengths.

        ``masking`` says what is hidden from the encoder; ``least`` (B,) is how many frames each utterance must come out
        with, which matters to encoders that shorten it.
        """
        x, lengths = self.frontend(x, lengths)
        if masking is not None:
            x = self.pessl.hide(x, masking.mask)
        if getattr(self.encoder, "shortens", False):
            return self.encoder(x, lengths, least)
        return self.encoder(x, lengths)

    def frame_starts(self, lengths):
        """Where the output's frames lie, in 10 ms frames of the input.

        Parameters
        ----------
        lengths : Tensor
            (B,) frames of the last call's output.

        Returns
        -------
        Tensor
            (B, T + 1) int64, T the most of ``lengths``: where each frame begins and, behind an utterance's last one,
            where that ends.
        """
        if getattr(self.encoder, "shortens", False):
            return self.stride * self.encoder.route.edges
        steps = torch.arange(int(lengths.max()) + 1, device=lengths.device)
        return (self.stride * steps).expand(len(lengths), -1)

    def predict(self, hidden, masking):
        """The `Prediction` of what ``masking`` hid, None where nothing is asked for."""
        return None if masking is None else self.pessl(hidden, masking)

    def statistics(self):
        """Numbers that tell how the parts worked in the last call, by name."""
        return {k: v for part in (self.frontend, self.encoder) for k, v in getattr(part, "statistics", dict)().items()}

    def regularisers(self):
        """Scalars of the last call by the name of their weight."""
        found = {
            "gate_l2": getattr(self.frontend, "regulariser", None),
            "ratio_loss": getattr(self.encoder, "regulariser", None),
        }
        return {name: value for name, value in found.items() if value is not None}


class PretrainingOutput(NamedTuple):
    """What a `PretrainingModel` gives for a batch."""

    prediction: Prediction | None
    lengths: Tensor  # (B,) int64 frames
    hidden: Tensor  # encoder output (B, T, d_model)
    regularisers: dict[str, Tensor]  # scalars by the name of their weight


class PretrainingModel(Trunk):
    """A `Trunk` that learns from sound alone; parameters are those of `Trunk`, ``pessl`` required."""

    def __init__(self, frontend, encoder, pessl):
        super().__init__(frontend, encoder, pessl)

    def forward(self, x, lengths, masking=None):
        """x (B, T, F), lengths (B,) int64 -> `PretrainingOutput`."""
        hidden, lengths = self.encode(x, lengths, masking)
        return PretrainingOutput(self.predict(hidden, masking), lengths, hidden, self.regularisers())
