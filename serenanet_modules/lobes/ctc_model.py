"""A CTC recogniser: front end, encoder, decoder and, optionally, a refinement that predicts a second time."""

from typing import NamedTuple

import torch
from torch import Tensor

from serenanet_modules.lobes.layers import Linear
from serenanet_modules.lobes.pessl import Prediction
from serenanet_modules.lobes.trunk import Trunk


class CTCOutput(NamedTuple):
    """What a `CTCModel` gives for a batch."""

    decoder: Tensor  # log-probabilities (B, T, units)
    car: Tensor | None  # the refinement's log-probabilities (B, T, units)
    lengths: Tensor  # (B,) int64 frames
    hidden: Tensor  # encoder output (B, T, d_model)
    prediction: Prediction | None  # of the frames that PESSL hid, where it hid some
    regularisers: dict[str, Tensor]  # scalars by the name of their weight
    attention: Tensor | None = None  # a second head's logits of the labels (B, U + 1, units)

    def log_probs(self, scoring):
        """Log-probabilities by source: ``decoder``, ``car``, or ``average`` of the two distributions."""
        if scoring == "decoder" or self.car is None:
            return self.decoder
        if scoring == "car":
            return self.car
        return torch.logaddexp(self.decoder, self.car) - torch.log(self.decoder.new_tensor(2.0))


class CTCModel(Trunk):
    """SerenaNet when its parts are ATHM, the rotary transformer, PESSL and CAR; any CTC model with other parts.

    Parameters
    ----------
    frontend, encoder : Module
        As in `Trunk`.
    d_model : int
        Encoder size.
    n_units : int
        Output units, blank included.
    car : Module, optional
        ``(hidden, lengths) -> logits (B, T, n_units)``.
    pessl : PESSL, optional
    """

    def __init__(self, frontend, encoder, d_model, n_units, car=None, pessl=None):
        super().__init__(frontend, encoder, pessl)
        self.decoder = Linear(d_model, n_units)
        self.car = car

    @property
    def scorings(self):
        """The sources of log-probabilities that this model has."""
        return ("decoder",) if self.car is None else ("decoder", "car", "average")

    def forward(self, x, lengths, masking=None, least=None):
        """x (B, T, F), lengths (B,) int64 -> `CTCOutput`; ``masking`` and ``least`` as in `Trunk.encode`."""
        hidden, lengths = self.encode(x, lengths, masking, least)
        decoder = self.decoder(hidden).float().log_softmax(-1)
        car = None if self.car is None else self.car(hidden, lengths).float().log_softmax(-1)
        return CTCOutput(decoder, car, lengths, hidden, self.predict(hidden, masking), self.regularisers())

    def regularisers(self):
        """Those of the front end and of the refinement."""
        value = getattr(self.car, "regulariser", None)
        return super().regularisers() | ({} if value is None else {"car_l2": value})
