"""A result folder at work: audio in, text with times and confidences out."""

from dataclasses import replace
from functools import partial
from itertools import groupby
from operator import itemgetter

import torch

from serenanet_modules.data.sources import Piece, beginning, is_one
from serenanet_modules.data.text.digits import digits
from serenanet_modules.decoding.network import Network, exact_parts, seconds_bar
from serenanet_modules.decoding.spoken import spoken
from serenanet_modules.errors import UserError
from serenanet_modules.inference.alternatives import unsaid, with_alternatives
from serenanet_modules.inference.numerals import in_digits
from serenanet_modules.inference.timestamps import timed
from serenanet_modules.inference.transcript import Heard, Transcript
from serenanet_modules.inference.weighing import weighed
from serenanet_modules.runs.opening import open_run
from serenanet_modules.runtime.lowered import Lowered
from serenanet_modules.runtime.precision import Context, check_precision
from serenanet_modules.runtime.quantised import check_quantisation, quantise

UNSURE = "has no CTC head, which places words: their times and confidences say nothing"


class Recognizer:
    """A trained recogniser with its units and decoding settings; open one with `from_folder`.

    Parameters
    ----------
    run : OpenRun
        With its modules on ``device``.
    device : str or torch.device
    precision : str
        One of `precision.KINDS`.
    emulated : bool
        Whether to round as a GPU that has it would.
    quantize : str, optional
        One of `precision.QUANTISATIONS`.
    alone : bool
        Whether pieces of audio are read one by one, as of `Network`.

    Attributes
    ----------
    folder, modules, units, settings
        Those of `OpenRun`.
    network : Network
    computing : dict
        ``precision``, ``emulated``, ``quantize`` and ``alone``.
    """

    def __init__(self, run, device, precision="fp32", emulated=False, quantize=None, alone=False):
        self.run, self.device = run, torch.device(device)
        self._decoders = {}  # by language model, which takes a while to read
        self._speaking = {}  # by language
        self.folder, self.modules, self.units, self.settings = run.folder, run.modules, run.units, run.settings
        self.computing = {"precision": precision, "emulated": emulated, "quantize": quantize, "alone": alone}
        model = run.modules["model"]
        if quantize is not None:
            quantise(model, exact_parts(model), quantize)
        self.lowered = Lowered(model, exact_parts(model), evaluation=precision, emulated=emulated)
        self.network = Network(run.modules, self.device, Context(precision, self.device.type), alone)

    @classmethod
    def from_folder(cls, folder, device="cpu", context=None, computing=None, overrides=None, **asked):
        """Open a finished result folder, or a Whisper as transformers write it.

        Parameters
        ----------
        folder : str or Path
            ``results/<dataset>/<experiment>/<seed>``; or a name on the Hugging Face hub, ``owner/name`` or
            ``owner/name@revision``.
        device : str
            Where the network runs, such as ``cpu`` or ``cuda:0``.
        context : str, optional
            Names and words that may be said, for the prompt of a speech LLM; by default that of the training.
        computing : dict, optional
            ``precision``, ``emulated``, ``quantize`` and ``alone``, as of `Recognizer`.
        overrides : dict, optional
            Of the hyper-parameters of decoding, as of `OpenRun.overridden`: ``{"scoring": "car"}``.
        **asked
            ``language``, ``task``, ``beam_size`` and ``locale`` as of `OpenRun.asked`.

        Raises
        ------
        UserError
            For a folder that lacks something or whose parts do not fit, a device that is not there, or a precision that
            it lacks.
        """
        computing = computing or {}
        precision = computing.get("precision", "fp32")
        check_precision(precision, str(device), computing.get("emulated", False), "--eval-precision")
        if computing.get("quantize"):
            check_quantisation(computing["quantize"], str(device), precision)
        run = open_run(folder, device).asked(**asked).overridden(overrides or {})
        if context is not None:
            if run.tokens is None:
                raise UserError(f"{folder}: the model has no prompt; leave --context out")
            run.settings["context"] = context
        return cls(run, device, **computing)

    def beside(self):
        """The same model for another thread: decoders keep what they have found, and belong to one."""
        return self.wishing()

    def listing(self, n):
        """The same recogniser, whose segments and words have `alternatives` by the ``n`` best texts."""
        return self.wishing(nbest=n)

    def wishing(self, **wishes):
        """The same recogniser with other `Wishes`; those that are not named stay.

        Raises
        ------
        UserError
            For digits of a language whose numbers nobody has a rule for.
        """
        run = replace(self.run, wishes=replace(self.run.wishes, **wishes))
        if run.wishes.digits and not run.hears_language:
            digits(self.settings["locale"])  # refuses a language without a rule
        return Recognizer(run, self.device, **self.computing)

    def speaking(self, language):
        """The same recogniser of several languages, told which one is spoken.

        Raises
        ------
        UserError
            For a language that it has not, and of a recogniser of one language.
        """
        if language not in self._speaking:
            self._speaking[language] = Recognizer(self.run.asked(language=language), self.device, **self.computing)
        return self._speaking[language]

    def hearing_language_of(self, source):
        """The same recogniser; where nobody told a Whisper the language, told the one that is spoken in a source.

        It hears the source's beginning, as much as it reads at once.
        """
        if not self.run.hears_language:
            return self
        try:
            samples = beginning(source, self.network.most(self.settings["piece_seconds"]))
        except UserError:  # is said where the source is read
            return self.speaking(next(iter(self.units.spoken)))
        output = self.network.output([Piece(0.0, samples)])
        return self.speaking(spoken(self.modules["model"].attention, self.units, output.hidden, output.lengths)[0])

    @property
    def language(self):
        """Of a Whisper, what it was told that is spoken; "" of any other."""
        return self.settings.get("language", "")

    @property
    def phonemic(self):
        """Whether the model's units are phonemes."""
        return self.run.phonemic

    @property
    def places_words(self):
        """Whether it knows where its words lie and how sure they are: not a speech LLM without a CTC head."""
        return self.modules["model"].places_words

    @property
    def unsure(self):
        """What one that places no words lacks, as the rest of a sentence that begins with its name; "" of any other."""
        return "" if self.places_words else UNSURE

    def check_sure(self):
        """Refuse a model that cannot say how sure it is of its words."""
        if self.unsure:
            raise UserError(f"{self.folder}: {self.unsure}; take another model")

    def transcribe(self, sources, batch_seconds=120.0, lm=None, progress=False, piece_seconds=None):
        """What is said in audio of any length; of pieces below -80 dBFS, nothing.

        The decoder is that of `OpenRun.decoder`, as for ``lm``. Times and confidences are those of
        `inference.timestamps`, whatever the decoder.

        Parameters
        ----------
        sources : source, or iterable of them
            A source is an audio file (str or Path) of any rate, channel count and format; an array of samples (N,),
            float between -1 and 1, at 16 kHz; or a pair of samples (N,) or (N, channels) and their rate. They are read
            as they are needed: 8 ``* batch_seconds`` of audio is held at once, and of a long file no more.
        batch_seconds : float
            Most seconds of padded audio that the network reads at a time.
        lm : path or "auto", optional
            A word n-gram model (ARPA), or for a model with a label decoder the result folder of a neural one; "auto"
            is the n-gram model that lies in the folder.
        progress : bool or progress bar
            Whether to show one; or one of your own, with ``total`` and ``update`` as of `Network.read`.
        piece_seconds : float, optional
            What is longer is cut at pauses; by default what is longer than the utterances of the training, and than
            30 s in any case: few models bear more than they were trained on.

        Returns
        -------
        Transcript or list of Transcript
            Of one source; or one for each, in order.

        Raises
        ------
        UserError
            For the first source that gives no usable audio, and for a language model that cannot be used.
        """
        if is_one(sources):
            return self.transcribe([sources], batch_seconds, lm, progress, piece_seconds)[0]
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
        decoder = self.decoder(lm, progress is True)
        calibrated = self.run.calibration(decoder) is not None
        for end, pieces, language in self.heard(sources, batch_seconds, lm, progress, piece_seconds):
            segments = tuple(piece.segment for piece in pieces if piece.segment is not None)
            text = decoder.join(segment.text for segment in segments)
            yield end.error or Transcript(text, end.duration, segments, calibrated, language=language)

    def by_language(self, sources):
        """Yield recognisers that are told what is spoken, and the sources in a row that each of them is to hear."""
        if not self.run.hears_language:
            yield self, sources
            return
        told = ((self.hearing_language_of(source), source) for source in sources)
        for one, same in groupby(told, itemgetter(0)):
            yield one, (source for _, source in same)

    def heard(self, sources, batch_seconds=120.0, lm=None, progress=False, piece_seconds=None):
        """Yield for each source, in order, its `End`, a list with the `Heard` of each piece, and the `language`.

        Parameters are those of `transcribe`.
        """
        if not batch_seconds > 0:
            raise UserError(f"batch_seconds is {batch_seconds}; give a number of seconds above 0")
        most = piece_seconds or self.settings["piece_seconds"]
        for one, same in self.by_language(sources):
            bar = seconds_bar("transcribing" if progress else None) if isinstance(progress, bool) else progress
            hear = partial(one._heard, one.decoder(lm))
            for end, pieces in one.network.read(same, hear, most, batch_seconds, bar, Heard.of):
                yield end, pieces, one.language

    def segment(self, piece, lm=None):
        """The `Segment` of a `Piece`, read alone as `transcribe` reads it; None where nothing is said."""
        return None if piece.silent else self._segments(self.decoder(lm), [piece])[0]

    def decoder(self, lm=None, progress=False):
        """The decoder that `transcribe` uses, made once for each language model, with the weights of `weighed`."""
        if lm not in self._decoders:
            self._decoders[lm] = weighed(self.run, self.run.decoder(lm), lm, progress)
        return self._decoders[lm]

    def posteriors(self, pieces):
        """What the network makes of pieces of audio, read as one batch.

        Parameters
        ----------
        pieces : list of Piece

        Returns
        -------
        output : CTCOutput
        log_probs : list of Tensor or None
            For each piece (T, V) of the run's scoring, on the CPU; None of a model without CTC.
        edges : list of list of float
            For each piece, seconds of its source at which its frames begin, and at which the last one ends.
        """
        output = self.network.output(pieces)
        log_probs, frames = output.log_probs(self.settings["scoring"]), output.lengths.tolist()
        rows = (
            [None] * len(pieces) if log_probs is None else [x[:n] for x, n in zip(log_probs.cpu(), frames, strict=True)]
        )
        return output, rows, self.network.edges(pieces, output)

    def _heard(self, decoder, pieces):
        return [
            Heard.of(piece, segment) for piece, segment in zip(pieces, self._segments(decoder, pieces), strict=True)
        ]

    def _segments(self, decoder, pieces):
        return self.segments(decoder, *self.posteriors(pieces))

    def segments(self, decoder, output, log_probs, edges):
        """The `Segment` of each piece by a decoder and what `posteriors` gives, None where nothing is said.

        With n-best lists, one of no words where any but the best text has some.
        """
        n = self.run.wishes.nbest
        lists = decoder.listed(output, output.lengths, n) if n > 1 else None
        hypotheses = [found[0] for found in lists] if lists else decoder.decode(output, output.lengths)
        rows, calibration = zip(hypotheses, log_probs, edges, strict=True), self.run.calibration(decoder)
        found = [timed(best, self.units, *row, calibration) if best.text else None for best, *row in rows]
        if lists:
            found = [
                with_alternatives(segment or unsaid(at), others) if any(other.text for other in others) else None
                for segment, others, at in zip(found, lists, edges, strict=True)
            ]
        if self.run.wishes.digits:
            rule = digits(self.settings["locale"])
            found = [segment and in_digits(segment, rule) for segment in found]
        return found
