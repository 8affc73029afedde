"""A CTC recogniser: front end, encoder, decoder and, optionally, a refinement that predicts a second time."""

from typing import NamedTuple

import torch
from torch import Tensor

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.streaming import init_state
from serenanet_modules.lobes.heads.pessl import Prediction
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

    Attributes
    ----------
    attention : AttentionDecoder or None
        What gives labels by those before them, of models that have such a part.
    """

    def __init__(self, frontend, encoder, d_model, n_units, car=None, pessl=None):
        super().__init__(frontend, encoder, pessl)
        self.decoder = Linear(d_model, n_units)
        self.car, self.attention = car, None

    @property
    def scorings(self):
        """The sources of log-probabilities that this model has."""
        return ("decoder",) if self.car is None else ("decoder", "car", "average")

    def forward(self, x, lengths, masking=None, least=None):
        """x (B, T, F), lengths (B,) int64 -> `CTCOutput`; ``masking`` and ``least`` as in `Trunk.encode`."""
        hidden, lengths = self.encode(x, lengths, masking, least)
        car = None if self.car is None else self.car(hidden, lengths)
        return self._output(hidden, lengths, car, self.predict(hidden, masking), self.regularisers())

    def _output(self, hidden, lengths, car, prediction=None, regularisers=None):
        """`CTCOutput` of the encoder's output (B, T, d_model) and the refinement's logits."""
        decoder = self.decoder(hidden).float().log_softmax(-1)
        car = None if car is None else car.float().log_softmax(-1)
        return CTCOutput(decoder, car, lengths, hidden, prediction, regularisers or {})

    def regularisers(self):
        """Those of the front end and of the refinement."""
        value = getattr(self.car, "regulariser", None)
        return super().regularisers() | ({} if value is None else {"car_l2": value})

    # --- piece by piece: see lobes/streaming.py ---------------------------------------------------------------------

    @property
    def look_ahead(self):
        """Input frames that an output frame waits for after the first that it stands for."""
        return self.frontend.look_ahead + self.stride * self.encoder.look_ahead

    def init_state(self, batch):
        """What `step` carries before the first frame, by part.

        Raises
        ------
        CannotStream
            For a part that reads whole utterances.
        """
        parts = {"frontend": self.frontend, "encoder": self.encoder}
        parts |= {} if self.car is None else {"car": self.car}
        return {name: init_state(part, batch) for name, part in parts.items()}

    def step(self, x, state):
        """Continue by x (B, T, F), any T: the `CTCOutput` of the frames that can be said now, and the next state."""
        following = {}
        x, following["frontend"] = self.frontend.step(x, state["frontend"])
        hidden, following["encoder"] = self.encoder.step(x, state["encoder"])
        car = None
        if self.car is not None:
            car, following["car"] = self.car.step(hidden, state["car"])
        return self._output(hidden, _whole(hidden), car), following

    def finish(self, x, state):
        """The `CTCOutput` of all that is left after the last frames x (B, T, F), T ≥ 0."""
        hidden = self.encoder.finish(self.frontend.finish(x, state["frontend"]), state["encoder"])
        car = None if self.car is None else self.car.finish(hidden, state["car"])
        return self._output(hidden, _whole(hidden), car)


def _whole(x):
    """Lengths (B,) of x (B, T, F) without padding."""
    return torch.full((len(x),), x.shape[1], dtype=torch.int64, device=x.device)
