"""Speech recognised while it is spoken: samples in as they come, the text so far out."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils._pytree import tree_leaves

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.silence import Silence
from serenanet_modules.data.sources import check_sound
from serenanet_modules.decoding.spans import word_groups
from serenanet_modules.errors import UserError
from serenanet_modules.inference.timestamps import placed
from serenanet_modules.inference.transcript import Transcript
from serenanet_modules.lobes.blocks.streaming import CannotStream

STREAMING = ("ssm.yaml", "fast_conformer_streaming.yaml", "conmamba_causal.yaml")  # of hparams/
LONGEST = 10 * SAMPLE_RATE  # samples that the network reads at once, however many are fed


class Streamer:
    """One utterance, or hours of speech, as it comes in; decoding is greedy, of the CTC head.

    Text, times and confidences are those that the same model gives for the whole audio read at once.

    Parameters
    ----------
    recognizer : Recognizer
        Any number of streamers can share it.
    look_ahead : int, optional
        Milliseconds that the encoder looks ahead, of models with several look-aheads; by default the first one that it
        was trained with.

    Raises
    ------
    UserError
        If its model needs whole utterances, with the part that does; for a look-ahead that it does not have.

    Examples
    --------
    >>> streamer = Streamer(Recognizer.from_folder("results/…"))  # doctest: +SKIP
    >>> for samples in microphone:  # doctest: +SKIP
    ...     print(streamer.feed(samples))
    >>> streamer.finish().text  # doctest: +SKIP
    """

    def __init__(self, recognizer, look_ahead=None):
        self._recognizer, self._look_ahead = recognizer, look_ahead
        self._model, self._context = recognizer.modules["model"], recognizer.network.context
        try:
            self._state = self._model.init_state(1, look_ahead)
        except CannotStream as error:
            advice = f"to stream, train {', '.join(STREAMING[:-1])} or {STREAMING[-1]}"
            raise UserError(f"{recognizer.folder}: this model cannot stream: {error}; {advice}") from None
        except ValueError as error:
            raise UserError(f"{recognizer.folder}: {error}") from None
        self._decoder = recognizer.run.decoders.greedy()
        self._greedy = self._decoder.stream()
        self._silence = Silence()  # as offline, what is silent as a whole has no text
        self._samples, self._longest, self._seconds = 0, 0, []

    @property
    def text(self):
        """What was said so far."""
        return "" if self.silent else self._greedy.hypothesis.text

    @property
    def words(self):
        """How many words have begun so far; all but the last are complete."""
        return 0 if self.silent else len(word_groups(self._recognizer.units, self._greedy.hypothesis.labels))

    @property
    def silent(self):
        """Whether all so far is silence by its level, whatever the network makes of it."""
        return self._silence.holds

    @property
    def decoded(self):
        """Seconds that the network has heard, as far as it says so."""
        return self._greedy.frames * self._model.acoustic.frame_seconds

    @property
    def spoken(self):
        """Seconds at which the last label ends; 0 where nothing was said. What follows is silence, or a blank."""
        return self._greedy.runs[-1].end * self._model.acoustic.frame_seconds if self.text else 0.0

    @property
    def look_ahead(self):
        """Seconds from the beginning of what a frame of output stands for to the last sample that it waits for."""
        return self._model.acoustic.delay(self._look_ahead) / SAMPLE_RATE

    @property
    def carried(self):
        """Bytes that the model carries from the sound so far to the next."""
        return sum(part.nbytes for part in tree_leaves(self._state) if isinstance(part, torch.Tensor))

    @property
    def latency(self):
        """The `Latency` so far."""
        chunk, audio = self._longest / SAMPLE_RATE, self._samples / SAMPLE_RATE
        return Latency(self.look_ahead, chunk, audio, tuple(self._seconds))

    def feed(self, samples):
        """Go on by some sound.

        Parameters
        ----------
        samples : numpy.ndarray
            (N,) float between -1 and 1 at 16 kHz, any N.

        Returns
        -------
        str
            The text so far. Later sound may lengthen its last word, and changes nothing before.

        Raises
        ------
        UserError
            For samples of another shape or type, and after `finish`.
        """
        samples = checked(samples)
        if self._state is None:
            raise UserError("this stream has ended; begin another")
        self._samples += len(samples)
        self._silence.add(samples)
        self._longest = max(self._longest, len(samples))
        for at in range(0, len(samples), LONGEST):
            self._go_on(samples[at : at + LONGEST])
        return self.text

    def finish(self):
        """Say the rest.

        Returns
        -------
        Transcript
            Of all that was fed; one segment, or none for silence.
        """
        if self._state is not None:
            if self._samples:
                self._go_on(np.empty(0, np.float32), last=True)
            self._state = None
        return self._transcript()

    @torch.inference_mode()
    def _go_on(self, samples, last=False):
        began = time.perf_counter()
        wavs = torch.tensor(samples, device=self._recognizer.device).unsqueeze(0)  # (1, N)
        if last:
            with self._context:
                output = self._model.finish(wavs, self._state)
        else:
            with self._context:
                output, self._state = self._model.step(wavs, self._state)
        self._greedy.add(output)
        self._seconds.append(time.perf_counter() - began)

    def _transcript(self):
        duration = self._samples / SAMPLE_RATE
        if not self.text:
            return Transcript("", duration, ())
        grain = self._model.acoustic.frame_seconds
        edges = [min(round(grain * i, 3), duration) for i in range(self._greedy.frames + 1)]
        calibration = self._recognizer.run.calibration(self._decoder)
        segment = placed(self._greedy.hypothesis, self._recognizer.units, self._greedy.runs, edges, calibration)
        return Transcript(self.text, duration, (segment,), calibration is not None)


@dataclass(frozen=True)
class Latency:
    """How long a stream's text was behind the speech.

    Attributes
    ----------
    look_ahead : float
        Seconds of later sound that the model waits for.
    chunk : float
        Seconds of the longest piece that was fed at once: what is said at its beginning waits for its end.
    audio : float
        Seconds that were fed.
    compute : tuple of float
        Seconds that the machine took for each piece.
    """

    look_ahead: float
    chunk: float
    audio: float
    compute: tuple[float, ...]

    @property
    def algorithmic(self):
        """Seconds that an infinitely fast machine would be behind, at most."""
        return self.look_ahead + self.chunk

    @property
    def rtf(self):
        """Real-time factor: seconds of computing per second of audio."""
        return sum(self.compute) / self.audio if self.audio else 0.0

    def __str__(self):
        """One line for people.

        Examples
        --------
        >>> print(Latency(0.0425, 0.2, 5.0, (0.01, 0.02, 0.03)))
        latency: algorithmic 242.5 ms (look-ahead 42.5 + chunk 200), compute p50 20 ms, p95 29 ms; RTF 0.012 over 5.0 s
        """
        parts = (self.algorithmic, self.look_ahead, self.chunk)
        whole, ahead, chunk = (f"{round(1000 * seconds, 1):g}" for seconds in parts)
        p50, p95 = (1000 * float(np.percentile(self.compute or (0.0,), p)) for p in (50, 95))
        return (
            f"latency: algorithmic {whole} ms (look-ahead {ahead} + chunk {chunk}), compute "
            f"p50 {p50:.0f} ms, p95 {p95:.0f} ms; RTF {self.rtf:.3f} over {self.audio:.1f} s"
        )


def checked(samples):
    """Samples (N,) as float32, or a `UserError` that says what is wrong with them."""
    samples = np.asarray(samples)
    if samples.ndim != 1 or not np.issubdtype(samples.dtype, np.floating):
        shape = f"{samples.dtype} of shape {samples.shape}"
        raise UserError(f"an array of {shape}: a stream takes one channel of float samples between -1 and 1, at 16 kHz")
    check_sound(samples)
    return np.ascontiguousarray(samples, dtype=np.float32)
