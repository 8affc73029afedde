"""The acoustic model of this project's systems: log-mel features, a front end, an encoder."""

from serenanet_modules.lobes.acoustic import AcousticModel, AcousticOutput, Conditions, regular_edges
from serenanet_modules.lobes.blocks.chunkwise import ALL
from serenanet_modules.lobes.blocks.parts import Extras, Picture
from serenanet_modules.lobes.heads.unfolding import Unfolding


class SpectralModel(AcousticModel):
    """Features, front end and encoder; with a `PESSL` part, frames can be hidden from the encoder and asked for.

    Parameters
    ----------
    features : LogMel or WhisperFeatures
    frontend : FrontEnd
    encoder : Encoder
    pessl : PESSL, optional
    labels_per_frame : int
        Frames that come of each of the encoder's, by `Unfolding`, so that heads can say as many labels.

    Raises
    ------
    ValueError
        For an encoder that shortens with a `PESSL`, whose frames are not those that were hidden, or with several labels
        a frame.
    """

    can_mask = has_features = True

    def __init__(self, features, frontend, encoder, pessl=None, labels_per_frame=1):
        super().__init__()
        if pessl is not None and encoder.shortens:
            raise ValueError(
                f"pessl needs an output for each frame, but {type(encoder).__name__} downsamples; set pessl: null"
            )
        if labels_per_frame > 1 and encoder.shortens:
            raise ValueError(f"{type(encoder).__name__} chooses its own frames; set labels_per_frame: 1")
        self.features, self.frontend, self.encoder, self.pessl = features, frontend, encoder, pessl
        self.d_model, self.labels_per_frame = frontend.d_model, labels_per_frame
        self.unfolding = Unfolding(self.d_model, labels_per_frame) if labels_per_frame > 1 else None
        if features is not None:
            self.most_seconds, self.least_seconds = features.most_seconds, features.least_seconds

    @property
    def hop(self):
        """Samples per encoder frame."""
        return self.frontend.output_stride * self.features.hop

    @property
    def _encoder_seconds(self):
        return self.frontend.output_stride * self.features.frame_seconds

    @property
    def frame_seconds(self):
        """Of a frame that heads read; None of learned chunks."""
        return None if self.encoder.shortens else self._encoder_seconds / self.labels_per_frame

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
        prediction = None if masking is None else self.pessl(encoded.x, masking)
        extras = Extras(pictures={"mel": Picture(x)}).joined(front.extras).joined(encoded.extras)
        said = encoded if self.unfolding is None else self.unfolding(encoded.x, encoded.lengths)
        regular = said.edges is None
        edges = regular_edges(said.x, self.hop // self.labels_per_frame) if regular else self.hop * said.edges
        return AcousticOutput(said.x, said.lengths, edges, prediction, extras)

    def levels(self):
        """Features with the front end, then the encoder's layers."""
        *below, last = self.encoder.levels()
        return [[self.features, self.frontend], *below, last if self.unfolding is None else [*last, self.unfolding]]

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
        return {round(1000 * self._encoder_seconds * n): n for n in self.encoder.look_aheads if n != ALL}

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
        return self._unfolded(hidden), following

    def finish(self, wavs, state):
        """Hidden (B, T, d_model) of all that is left after the last samples wavs (B, S), S ≥ 0."""
        x = self.frontend.finish(self.features.finish(wavs, state["features"]), state["frontend"])
        return self._unfolded(self.encoder.finish(x, state["encoder"]))

    def _unfolded(self, hidden):
        return hidden if self.unfolding is None else self.unfolding.step(hidden)
