"""A result folder at work: audio in, text with times and confidences out."""

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from serenanet_modules.data.audio import SAMPLE_RATE, SILENCE
from serenanet_modules.data.batching import BatchSampler
from serenanet_modules.errors import UserError
from serenanet_modules.inference.decoders import decoder_of
from serenanet_modules.inference.sources import Piece, windows
from serenanet_modules.inference.timestamps import timed
from serenanet_modules.inference.transcript import Transcript
from serenanet_modules.runs.recogniser import open_run

WINDOW = 8  # batches of audio held at a time: enough to batch by duration, and memory stays bounded


class Recognizer:
    """A trained recogniser with its units and decoding settings; open one with `from_folder`.

    Parameters
    ----------
    run : OpenRun
        With its modules on ``device``.
    device : str or torch.device

    Attributes
    ----------
    folder, modules, units, settings
        Those of `OpenRun`.
    """

    def __init__(self, run, device):
        self.run, self.device = run, torch.device(device)
        self._decoders = {}  # by language model, which takes a while to read
        self.folder, self.modules, self.units, self.settings = run.folder, run.modules, run.units, run.settings

    @classmethod
    def from_folder(cls, folder, device="cpu"):
        """Open a finished result folder.

        Parameters
        ----------
        folder : str or Path
            ``results/<dataset>/<experiment>/<seed>``.
        device : str
            Where the network runs, such as ``cpu`` or ``cuda:0``.

        Raises
        ------
        UserError
            For a folder that lacks something or whose parts do not fit, or a device that is not there.
        """
        return cls(open_run(folder, device), device)

    @property
    def phonemic(self):
        """Whether the model's units are phonemes."""
        return self.run.phonemic

    def transcribe(self, sources, batch_seconds=120.0, lm=None, progress=False, piece_seconds=None):
        """What is said in audio of any length; of pieces below -80 dBFS, nothing.

        Decoding is greedy; with phoneme units it is a search over the training words, where the folder holds
        their spellings, else the text is phones. A language model makes it a beam search. A model with a label decoder
        always searches, jointly with CTC, and its phones stay phones. Times and confidences are those of
        `inference.timestamps`, whatever the decoder.

        Parameters
        ----------
        sources : iterable
            Each an audio file (str or Path) of any rate, channel count and format; an array of samples (N,), float
            between -1 and 1, at 16 kHz; or a pair of samples (N,) or (N, channels) and their rate. They are read as
            they are needed: `WINDOW` ``* batch_seconds`` of audio is held at once, and of a long file no more.
        batch_seconds : float
            Most seconds of padded audio that the network reads at a time.
        lm : path or "auto", optional
            A word n-gram model (ARPA), or for a model with a label decoder the result folder of a neural one; "auto"
            is the n-gram model that lies in the folder.
        progress : bool
            Whether to show a bar.
        piece_seconds : float, optional
            What is longer is cut at pauses; by default what is longer than the utterances of the training, and than
            30 s in any case: few models bear more than they were trained on.

        Returns
        -------
        list of Transcript
            One per source, in order.

        Raises
        ------
        UserError
            For the first source that gives no usable audio, and for a language model that cannot be used.
        """
        found = []
        for transcript in self.transcripts(sources, batch_seconds, lm, progress, piece_seconds):
            if isinstance(transcript, UserError):
                raise transcript
            found.append(transcript)
        return found

    def transcripts(self, sources, batch_seconds=120.0, lm=None, progress=False, piece_seconds=None):
        """Yield for each source, in order, its `Transcript` or the `UserError` that says what is wrong with it.

        Parameters are those of `transcribe`.
        """
        if not batch_seconds > 0:
            raise UserError(f"batch_seconds is {batch_seconds}; give a number of seconds above 0")
        decoder, heard = self._decoder(lm), []
        with tqdm(total=0, desc="transcribing", unit="s", unit_scale=True, disable=not progress) as bar:
            for window in windows(sources, WINDOW * batch_seconds, piece_seconds or self.settings["piece_seconds"]):
                pieces = [event for event in window if isinstance(event, Piece)]
                bar.total += sum(piece.seconds for piece in pieces)
                segments = iter(self._segments(pieces, batch_seconds, decoder, bar))
                for event in window:
                    if isinstance(event, Piece):
                        heard += filter(None, [next(segments)])
                        continue
                    text = decoder.gap.join(segment.text for segment in heard)
                    yield event.error or Transcript(text, event.duration, tuple(heard))
                    heard = []

    def _decoder(self, lm):
        if lm not in self._decoders:
            self._decoders[lm] = decoder_of(self.run, lm)
        return self._decoders[lm]

    def posteriors(self, pieces):
        """What the network makes of pieces of audio, read as one batch.

        Parameters
        ----------
        pieces : list of Piece

        Returns
        -------
        output : CTCOutput
        log_probs : Tensor
            (B, T, V) of the run's scoring.
        edges : list of list of float
            For each piece, seconds of its source at which its frames begin, and at which the last one ends.
        """
        output = self._output([piece.samples for piece in pieces])
        starts = self.modules["model"].frame_starts(output.lengths).tolist()
        edges = [self._seconds(*row) for row in zip(pieces, starts, output.lengths.tolist(), strict=True)]
        return output, output.log_probs(self.settings["scoring"]), edges

    def _segments(self, pieces, batch_seconds, decoder, bar):
        """The `Segment` of each piece, None for silence; pieces are batched by their length."""
        segments = [None] * len(pieces)
        # No training utterance is silent, so that nobody knows what a network makes of it
        heard = [i for i, piece in enumerate(pieces) if np.abs(piece.samples).max() >= SILENCE]
        bar.update(sum(piece.seconds for piece in pieces) - sum(pieces[i].seconds for i in heard))
        for plan in BatchSampler([pieces[i].seconds for i in heard], batch_seconds, shuffle=False):
            places = [heard[i] for i in plan.indices]
            chosen = [pieces[i] for i in places]
            output, log_probs, edges = self.posteriors(chosen)
            hypotheses = decoder(output, log_probs)
            log_probs, frames = log_probs.cpu(), output.lengths.tolist()
            for row, i in enumerate(places):
                if hypotheses[row].text:
                    segments[i] = timed(hypotheses[row], self.units, log_probs[row, : frames[row]], edges[row])
            bar.update(sum(piece.seconds for piece in chosen))
        return segments

    @torch.inference_mode()
    def _output(self, pieces):
        """The model's `CTCOutput` for samples (N,) of several pieces of audio."""
        wavs = nn.utils.rnn.pad_sequence([torch.from_numpy(piece) for piece in pieces], batch_first=True)  # (B, S)
        lengths = torch.tensor([len(piece) for piece in pieces])
        features = self.modules["features"](wavs.to(self.device), lengths.to(self.device))
        return self.modules["model"](*features)

    def _seconds(self, piece, starts, frames):
        """Seconds of the source at which a piece's frames begin, and the last one ends with the piece."""
        grain = self.modules["features"].hop / SAMPLE_RATE
        end = piece.start + piece.seconds
        return [min(round(piece.start + grain * start, 3), end) for start in starts[: frames + 1]]
