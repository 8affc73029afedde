"""A CTC recogniser: front end, encoder, decoder and, optionally, a refinement that predicts a second time."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from serenanet_modules.lobes.layers import Linear


class CTCOutput(NamedTuple):
    """What a `CTCModel` gives for a batch."""

    decoder: Tensor  # log-probabilities (B, T, units)
    car: Tensor | None  # the refinement's log-probabilities (B, T, units)
    lengths: Tensor  # (B,) int64 frames
    hidden: Tensor  # encoder output (B, T, d_model)
    regularisers: dict[str, Tensor]  # scalars by the name of their weight

    def log_probs(self, scoring):
        """Log-probabilities by source: ``decoder``, ``car``, or ``average`` of the two distributions."""
        if scoring == "decoder" or self.car is None:
            return self.decoder
        if scoring == "car":
            return self.car
        return torch.logaddexp(self.decoder, self.car) - torch.log(self.decoder.new_tensor(2.0))


class CTCModel(nn.Module):
    """SerenaNet when its parts are ATHM, the rotary transformer and CAR; any CTC model with other parts.

    Parameters
    ----------
    frontend, encoder : Module
        ``(x, lengths) -> (y, lengths)``.
    d_model : int
        Encoder size.
    n_units : int
        Output units, blank included.
    car : Module, optional
        ``(hidden, lengths) -> logits (B, T, n_units)``.
    """

    def __init__(self, frontend, encoder, d_model, n_units, car=None):
        super().__init__()
        self.frontend = frontend
        self.encoder = encoder
        self.decoder = Linear(d_model, n_units)
        self.car = car

    @property
    def scorings(self):
        """The sources of log-probabilities that this model has."""
        return ("decoder",) if self.car is None else ("decoder", "car", "average")

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) int64 -> `CTCOutput`."""
        x, lengths = self.frontend(x, lengths)
        hidden, lengths = self.encoder(x, lengths)
        decoder = self.decoder(hidden).float().log_softmax(-1)
        car = None if self.car is None else self.car(hidden, lengths).float().log_softmax(-1)
        return CTCOutput(decoder, car, lengths, hidden, self._regularisers())

    def _regularisers(self):
        found = {
            "gate_l2": getattr(self.frontend, "regulariser", None),
            "car_l2": getattr(self.car, "regulariser", None),
        }
        return {name: value for name, value in found.items() if value is not None}
