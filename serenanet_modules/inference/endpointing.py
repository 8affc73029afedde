"""Speech that goes on, sentence by sentence: where one ends, and what was said in it.

While a sentence is open, a `Streamer` gives its text as it grows. Silence is what the network hears as blanks, behind
the last label that it has said; the rules for how much of it ends a sentence, and their names, are sherpa-onnx's
(https://k2-fsa.github.io/sherpa/onnx/). The cut itself is made by the level of the sound, where that silence is
quietest, so that a word which has just begun belongs to the next sentence. A sentence that is over is read once more,
whole, as `Recognizer.transcribe` reads a piece of a recording; then network, features and their level begin anew. What
is silent by its level before a sentence is dropped: the level of speech cannot be learned from it.
"""

import math
import time
from array import array
from dataclasses import dataclass, fields

import numpy as np

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.data.segment import FRAME, PAUSE, cut_at, quietest, samples_in
from serenanet_modules.data.sources import Piece
from serenanet_modules.errors import UserError
from serenanet_modules.inference.streaming import Latency, Streamer, checked
from serenanet_modules.inference.transcript import Transcript

STEP = SAMPLE_RATE // 5  # samples of a sentence after which the rules are asked again, however they come

BLOCK = 10 * SAMPLE_RATE  # samples that are held beside the open sentence, however many are fed
LEAD, ONSET = 5 * STEP, 2 * STEP  # samples: of silence before a sentence the first are dropped, and the last are kept


@dataclass(frozen=True)
class Rules:
    """What ends a sentence.

    Attributes
    ----------
    rule1_min_trailing_silence : float
        Seconds of silence, whether or not something was said before.
    rule2_min_trailing_silence : float
        Seconds of silence after something was said.
    rule3_min_utterance_length : float
        Seconds; what is longer is cut as `data.segment` cuts recordings: where it is quietest between a half of that
        and that. So is, whatever the rule says, what is longer than `Recognizer.transcribe` reads at once.

    Raises
    ------
    UserError
        For silence of less than a fifth of a second, at which a cut looks, and a length of less than a second.
    """

    rule1_min_trailing_silence: float = 2.4
    rule2_min_trailing_silence: float = 1.2
    rule3_min_utterance_length: float = 20.0

    def __post_init__(self):
        for field in fields(self):
            value, least = (
                getattr(self, field.name),
                1.0 if field.name.startswith("rule3") else PAUSE * FRAME / SAMPLE_RATE,
            )
            if not value >= least:
                raise UserError(f"{field.name} is {value:g}; give {least:g} s or more")

    def end(self, silence, spoken):
        """Whether so many seconds of silence end a sentence in which something was spoken, or nothing."""
        return silence >= self.rule1_min_trailing_silence or (spoken and silence >= self.rule2_min_trailing_silence)


NONE = Rules(math.inf, math.inf, math.inf)  # cut as `Recognizer.transcribe` cuts, whatever the pauses


class LiveStream:
    """Speech of any length as it comes in, in sentences; it holds the open one alone.

    However the sound is fed, sentences are the same: each is what `Recognizer.transcribe` says of that stretch of it,
    with times from the beginning of the stream.

    Parameters
    ----------
    recognizer : Recognizer
        Any number of streams can share it.
    rules : Rules, optional
        By default those of sherpa-onnx.
    look_ahead : int, optional
        As of `Streamer`, for the text of the open sentence.
    lm : path or "auto", optional
        As of `Recognizer.transcribe`, for sentences that are over.

    Raises
    ------
    UserError
        As of `Streamer` and `Recognizer.decoder`.
    """

    def __init__(self, recognizer, rules=None, look_ahead=None, lm=None):
        self._recognizer, self._look_ahead, self._lm = recognizer, look_ahead, lm
        self._rules, self._decoder = rules or Rules(), recognizer.decoder(lm)
        self._calibrated = recognizer.run.calibration(self._decoder) is not None
        most = recognizer.network.most(recognizer.settings["piece_seconds"])
        self._most = samples_in(min(most, self._rules.rule3_min_utterance_length))
        self._at, self._chunk, self._seconds, self._ended = 0, 0, array("d"), False
        self._begin(np.empty(0, np.float32))

    def _begin(self, samples):
        """Open a sentence with samples that are not read yet."""
        self._held, self._read = samples, 0
        self._streamer = Streamer(self._recognizer, self._look_ahead)

    @property
    def start(self):
        """Seconds at which the open sentence begins."""
        return self._at / SAMPLE_RATE

    @property
    def duration(self):
        """Seconds that were fed."""
        return (self._at + len(self._held)) / SAMPLE_RATE

    @property
    def text(self):
        """Of the open sentence, so far."""
        return self._streamer.text

    @property
    def latency(self):
        """The `Latency` of all so far; the second reading of sentences is in its computing."""
        return Latency(self._streamer.look_ahead, self._chunk / SAMPLE_RATE, self.duration, tuple(self._seconds))

    def feed(self, samples):
        """Go on by some sound.

        Parameters
        ----------
        samples : numpy.ndarray
            As of `Streamer.feed`.

        Returns
        -------
        list of Transcript
            The sentences that are over now: each of one segment, whose ``duration`` ends where the next begins.
        """
        samples, began = checked(samples), time.perf_counter()
        if self._ended:
            raise UserError("this stream has ended; begin another")
        self._chunk = max(self._chunk, len(samples))
        found = [sentence for at in range(0, len(samples), BLOCK) for sentence in self._go_on(samples[at : at + BLOCK])]
        self._seconds.append(time.perf_counter() - began)
        return found

    def finish(self):
        """End the stream, and the open sentence with it: as `feed`."""
        began, found, self._ended = time.perf_counter(), [], True
        while cut := cut_at(self._held, self._most, ended=True):
            found += self._end(cut)
        found += self._end(len(self._held))
        self._seconds.append(time.perf_counter() - began)
        return found

    def transcript(self, sentences):
        """All sentences of the stream as one `Transcript`."""
        text = self._decoder.join(sentence.text for sentence in sentences)
        segments = tuple(segment for sentence in sentences for segment in sentence.segments)
        return Transcript(text, self.duration, segments, self._calibrated)

    def _go_on(self, samples):
        """Hear more samples; the sentences that are over."""
        self._held, found = np.concatenate([self._held, samples]), []
        while self._read < len(self._held):
            step = min(STEP - self._read % STEP, len(self._held) - self._read)
            self._streamer.feed(self._held[self._read : self._read + step])
            self._read += step
            if self._read % STEP == 0 and (cut := self._cut()):
                found += self._end(cut)
        return found

    def _cut(self):
        """How many samples of the open sentence, as far as it is read, are a sentence by themselves; 0 for none."""
        streamer = self._streamer
        if streamer.silent and LEAD <= self._read and math.isfinite(self._rules.rule1_min_trailing_silence):
            return self._read - ONSET
        silence = streamer.decoded - streamer.spoken
        if not self._rules.end(silence, bool(streamer.text)):
            return cut_at(self._held[: self._read], self._most)
        end = min(self._read, round(streamer.decoded * SAMPLE_RATE))
        begin = end - max(PAUSE * FRAME, round(silence * SAMPLE_RATE / 2))  # what was said last may sound on
        cut = begin + quietest(self._held[begin:end])
        return cut_at(self._held[:cut], self._most, ended=True) or cut

    def _end(self, cut):
        """Read a sentence of so many samples, and begin the next."""
        segment = self._recognizer.segment(Piece(self.start, self._held[:cut]), self._lm) if cut else None
        self._at += cut
        self._begin(self._held[cut:].copy())
        return [] if segment is None else [Transcript(segment.text, self.start, (segment,), self._calibrated)]
