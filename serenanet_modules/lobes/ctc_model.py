"""A CTC recogniser: an acoustic model, a decoder and, optionally, a refinement that predicts a second time."""

from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from serenanet_modules.lobes.blocks.layers import Linear
from serenanet_modules.lobes.blocks.parts import Extras
from serenanet_modules.lobes.heads.pessl import Prediction


class CTCOutput(NamedTuple):
    """What a `CTCModel` gives for a batch."""

    decoder: Tensor | None  # log-probabilities (B, T, units), of models with such a head
    car: Tensor | None  # the refinement's log-probabilities (B, T, units)
    lengths: Tensor  # (B,) int64 frames
    hidden: Tensor  # the acoustic model's (B, T, d_model)
    edges: Tensor | None = None  # (B, T + 1) int64 samples, as of `AcousticOutput`; None of a piece of a stream
    prediction: Prediction | None = None  # of the frames that PESSL hid, where it hid some
    extras: Extras = Extras()
    attention: Tensor | None = None  # a second head's logits of the labels (B, U + 1, units)
    tokens: Tensor | None = None  # a language model's logits of the last tokens (B, U + 1, vocabulary)

    def log_probs(self, scoring):
        """Log-probabilities by source: ``decoder``, ``car``, or ``average`` of both distributions; None without any."""
        if scoring == "decoder" or self.car is None:
            return self.decoder
        if scoring == "car":
            return self.car
        return torch.logaddexp(self.decoder, self.car) - torch.log(self.decoder.new_tensor(2.0))


class CTCModel(nn.Module):
    """SerenaNet when its parts are ATHM, the rotary transformer, PESSL and CAR; any CTC model with other parts.

    Parameters
    ----------
    acoustic : AcousticModel
    n_units : int or None
        Output units, blank included; None for a model with an attention decoder alone.
    car : Part, optional
        ``(hidden, lengths) -> Frames`` of logits (B, T, n_units).

    Attributes
    ----------
    settings : tuple of str
        Hyper-parameters that its decoders need beside those of every recogniser.
    attention : AttentionDecoder or None
        What gives labels by those before them, of models that have such a part.
    llm : CausalLM or None
        What gives tokens by those before them, of models that have a language model.
    """

    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, acoustic, n_units, car=None):
        super().__init__()
        self.acoustic = acoustic
        self.decoder = None if n_units is None else Linear(acoustic.d_model, n_units)
        self.car, self.attention, self.llm = car, None, None

    @property
    def writer(self):
        """What writes text by reading ``hidden``, None where CTC alone does."""
        return self.attention

    @property
    def places_words(self):
        """Whether it knows where its words lie and how sure they are."""
        return True

    @property
    def scorings(self):
        """The sources of log-probabilities that this model has."""
        if self.decoder is None:
            return ()
        return ("decoder",) if self.car is None else ("decoder", "car", "average")

    @property
    def unit_parts(self):
        """Modules whose tensors have a row for each unit."""
        heads = [] if self.decoder is None else [self.decoder]
        return [*heads, *(() if self.car is None else self.car.unit_parts)]

    def forward(self, wavs, lengths, conditions=None):
        """wavs (B, S), lengths (B,) int64 samples, `Conditions` -> `CTCOutput`."""
        hidden, lengths, *more, extras = self.acoustic(wavs, lengths, conditions)
        logits = None
        if self.car is not None:
            logits, _, told, _ = self.car(hidden, lengths)
            extras = extras.joined(told)
        return self._output(hidden, lengths, logits, *more, extras)

    def _output(self, hidden, lengths, car, *more):
        """`CTCOutput` of the acoustic model's output (B, T, d_model), the refinement's logits, and its other fields."""
        decoder = None if self.decoder is None else self.decoder(hidden).float().log_softmax(-1)
        car = None if car is None else car.float().log_softmax(-1)
        return CTCOutput(decoder, car, lengths, hidden, *more)

    # --- piece by piece: see blocks/streaming.py --------------------------------------------------------------------

    def init_state(self, batch, look_ahead=None):
        """What `step` carries before the first sample, by part.

        Parameters
        ----------
        batch : int
        look_ahead : int, optional
            Milliseconds, of the acoustic model's ``look_aheads``; by default its first.

        Raises
        ------
        CannotStream
            For a part that reads whole utterances.
        ValueError
            For a look-ahead that the model does not have.
        """
        if look_ahead is not None and look_ahead not in (had := self.acoustic.look_aheads):
            told = f"it has {', '.join(map(str, had))}; give one of these" if had else "it has one only; leave it out"
            raise ValueError(f"a look-ahead of {look_ahead} ms is not one of the model's: {told}")
        begun = {"acoustic": self.acoustic.init_state(batch, look_ahead)}
        return begun if self.car is None else begun | {"car": self.car.init_state(batch)}

    def step(self, wavs, state):
        """Continue by wavs (B, S), any S: the `CTCOutput` of the frames that can be said now, and the next state."""
        following = {}
        hidden, following["acoustic"] = self.acoustic.step(wavs, state["acoustic"])
        car = None
        if self.car is not None:
            car, following["car"] = self.car.step(hidden, state["car"])
        return self._output(hidden, _whole(hidden), car), following

    def finish(self, wavs, state):
        """The `CTCOutput` of all that is left after the last samples wavs (B, S), S ≥ 0."""
        hidden = self.acoustic.finish(wavs, state["acoustic"])
        car = None if self.car is None else self.car.finish(hidden, state["car"])
        return self._output(hidden, _whole(hidden), car)


def _whole(x):
    """Lengths (B,) of x (B, T, F) without padding."""
    return torch.full((len(x),), x.shape[1], dtype=torch.int64, device=x.device)
