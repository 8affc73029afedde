"""One of the recognisers that a server has."""

from dataclasses import replace
from functools import cached_property, lru_cache, partial

import numpy as np

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.errors import UserError
from serenanet_modules.inference.endpointing import NONE, Rules
from serenanet_modules.inference.speakers import named
from serenanet_modules.runs.speaker_weights import speaker_encoder
from serenanet_modules.runtime.memory import hand_back
from serenanet_modules.server.batcher import Batcher
from serenanet_modules.server.wishes import FIELDS, refused, wishes

MOST_WISHES = 8  # of clients, whose decoders are kept


def _unnamed(transcript, samples):
    return transcript


class Model:
    """A recogniser under a name, with its queue.

    Parameters
    ----------
    name : str
    recognizer : Recognizer
    options : Options
    open_stream : callable
        `LiveStream`, or what does as it.
    turn : Lock
        Held while its network reads a batch.
    observe : callable
        As of `Batcher`.

    Attributes
    ----------
    batcher : Batcher
    can_stream : bool

    Raises
    ------
    UserError
        For a language model that cannot be used.
    """

    def __init__(self, name, recognizer, options, open_stream, turn, observe):
        self.name, self.recognizer, self._options, self._turn = name, recognizer, options, turn
        # the language model is tried, and the first request does not wait for what is set up at first use
        recognizer.transcribe([np.zeros(SAMPLE_RATE, np.float32)], lm=options.lm)
        self._open_stream, self._beside = open_stream, recognizer.beside()
        self.can_stream = self._streams()
        settings = options.batch_seconds, options.batch_wait, observe
        self.batcher = Batcher(partial(self._recognise, recognizer), *settings, self._hand_back)
        self._recognising = lru_cache(MOST_WISHES)(self._recognising)

    @property
    def language(self):
        """The locale of the training data; of a Whisper what is spoken, "auto" where it hears that itself."""
        return self.recognizer.settings["locale"]

    def open_stream(self, settings):
        """A `LiveStream` of its own for a live session.

        Parameters
        ----------
        settings : dict
            ``look_ahead``, ``enable_endpoint_detection``, what `Rules` has and what `wishes` reads, as far as the
            client says them.

        Raises
        ------
        UserError
            For what the model cannot do.
        """
        usual = self._options.rules
        given = {name: value for name, value in settings.items() if name in vars(usual)}
        if settings.get("enable_endpoint_detection", usual != NONE or bool(given)):
            rules = replace(Rules() if usual == NONE else usual, **given)
        else:
            rules = NONE
        asked = self.wishes(**{name: settings[name] for name in FIELDS if name in settings})
        recognizer = self._beside.wishing(**asked) if asked else self._beside
        return self._open_stream(recognizer, rules, settings.get("look_ahead"), self._options.lm)

    def wishes(self, **fields):
        """As `server.wishes.wishes`, of this model's words."""
        spelling = None if fields.get("hotwords") is None else self.recognizer.run.spelling
        return wishes(spelling, **fields)

    def recognising(self, fields):
        """What the batcher does for a client who asks for ``speakers``, a ``language`` or some of `FIELDS`, or None.

        Raises
        ------
        APIError
            400, where the model cannot do as it is asked.
        """
        more = {name: fields[name] for name in ("speakers", "language") if fields.get(name) is not None}
        asked = self.wishes(**{name: value for name, value in fields.items() if name in FIELDS})
        try:
            return self._recognising(**more, **asked) if asked or more else None
        except UserError as error:
            name = next(
                name for name in ("language", "hotwords", "digits", "nbest", "speakers") if name in more | asked
            )
            raise refused(name, str(error).removeprefix("--language: ")) from None

    def _recognising(self, speakers=None, language=None, **asked):
        recognizer = self.recognizer.wishing(**asked)
        recognizer = recognizer if language is None else recognizer.speaking(language)
        recognizer.decoder(self._options.lm)  # is made here, so that what it refuses is the client's affair
        return partial(self._recognise, recognizer, name=self._naming(speakers))

    def _naming(self, speakers):
        """From a transcript and its samples to one that says who speaks, or to the `UserError` that says why not."""
        if speakers is None:
            return _unnamed
        encoder = self._encoder

        def name(transcript, samples):
            try:
                return named(transcript, samples, speakers, encoder)
            except UserError as error:
                return error

        return name

    @cached_property
    def _encoder(self):
        return speaker_encoder()

    def _streams(self):
        try:
            self._open_stream(self._beside)
        except UserError:
            return False
        return True

    def _hand_back(self):
        with self._turn:  # not under another model's work
            hand_back()

    def _recognise(self, recognizer, sources, heard, name=_unnamed):
        options = self._options
        with self._turn:
            found = recognizer.transcripts(sources, options.batch_seconds, options.lm, heard)
            return [
                transcript if isinstance(transcript, UserError) else name(transcript, samples)
                for samples, transcript in zip(sources, found, strict=True)
            ]
