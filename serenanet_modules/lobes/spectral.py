"""The acoustic model of this project's systems: log-mel features, a front end, an encoder."""

from serenanet_modules.lobes.acoustic import AcousticModel, AcousticOutput, Conditions, regular_edges
from serenanet_modules.lobes.blocks.chunkwise import ALL
from serenanet_modules.lobes.blocks.parts import Extras, Picture


class SpectralModel(AcousticModel):
    """Features, front end and encoder; with a `PESSL` part, frames can be hidden from the encoder and asked for.

    Parameters
    ----------
    features : LogMel or WhisperFeatures
    frontend : FrontEnd
    encoder : Encoder
    pessl : PESSL, optional

    Raises
    ------
    ValueError
        For a `PESSL` with an encoder that shortens, whose frames are not those that were hidden.
    """

    can_mask = has_features = True

    def __init__(self, features, frontend, encoder, pessl=None):
        super().__init__()
        if pessl is not None and encoder.shortens:
            raise ValueError(f"pessl needs each frame again, but {type(encoder).__name__} shortens; set pessl: null")
        self.features, self.frontend, self.encoder, self.pessl = features, frontend, encoder, pessl
        self.d_model = frontend.d_model
        if features is not None:
            self.most_seconds, self.least_seconds = features.most_seconds, features.least_seconds

    @property
    def hop(self):
        """Samples per encoder frame."""
        return self.frontend.output_stride * self.features.hop

    @property
    def frame_seconds(self):
        """Of an encoder frame; None of learned chunks."""
        return None if self.encoder.shortens else self.frontend.output_stride * self.features.frame_seconds

    def forward(self, wavs, lengths, conditions=None):
        """wavs (B, S), lengths (B,) int64 samples -> `AcousticOutput`."""
        conditions = conditions or Conditions()
        x, lengths = self.features(wavs, lengths)
        masking = None if conditions.masker is None else conditions.masker(x, lengths)
        if conditions.augment is not None:
            x = conditions.augment(x, lengths)
        front = self.frontend(x, lengths)
        seen = front.x if masking is None else self.pessl.hide(front.x, masking.mask)
        encoded = self.encoder(seen, front.lengths, conditions.least)
        edges = regular_edges(encoded.x, self.hop) if encoded.edges is None else self.hop * encoded.edges
        prediction = None if masking is None else self.pessl(encoded.x, masking)
        extras = Extras(pictures={"mel": Picture(x)}).joined(front.extras).joined(encoded.extras)
        return AcousticOutput(encoded.x, encoded.lengths, edges, prediction, extras)

    def levels(self):
        """Features with the front end, then the encoder's layers."""
        return [[self.features, self.frontend], *self.encoder.levels()]

    # --- statistics of the features ---------------------------------------------------------------------------------

    @property
    def statistics(self):
        """Those of the features: mean and deviation, where they are normalised."""
        return {f"features.{name}": buffer for name, buffer in self.features.statistics.items()}

    def fit_statistics(self, batches):
        """Fit them to an iterable of (wavs (B, S), lengths (B,))."""
        self.features.fit(batches)

    # --- piece by piece: see blocks/streaming.py --------------------------------------------------------------------

    @property
    def look_aheads(self):
        """Milliseconds, those of the encoder."""
        return tuple(self._look_aheads)

    @property
    def _look_aheads(self):
        """Milliseconds to encoder frames."""
        return {round(1000 * self.frame_seconds * n): n for n in self.encoder.look_aheads if n != ALL}

    def delay(self, look_ahead=None):
        """See `AcousticModel`."""
        ahead = self.encoder.look_ahead if look_ahead is None else self._look_aheads[look_ahead]
        frames = self.frontend.look_ahead + self.frontend.output_stride * ahead
        return frames * self.features.hop + self.features.look_ahead

    def init_state(self, batch, look_ahead=None):
        """What `step` carries before the first sample, by part; see `AcousticModel`."""
        parts = {"features": self.features, "frontend": self.frontend}
        chosen = () if look_ahead is None else (self._look_aheads[look_ahead],)
        begun = {name: part.init_state(batch) for name, part in parts.items()}
        return begun | {"encoder": self.encoder.init_state(batch, *chosen)}

    def step(self, wavs, state):
        """Continue by wavs (B, S), any S: hidden (B, T, d_model) of the frames that can be said now, the next state."""
        following = {}
        x, following["features"] = self.features.step(wavs, state["features"])
        x, following["frontend"] = self.frontend.step(x, state["frontend"])
        hidden, following["encoder"] = self.encoder.step(x, state["encoder"])
        return hidden, following

    def finish(self, wavs, state):
        """Hidden (B, T, d_model) of all that is left after the last samples wavs (B, S), S ≥ 0."""
        x = self.frontend.finish(self.features.finish(wavs, state["features"]), state["frontend"])
        return self.encoder.finish(x, state["encoder"])
