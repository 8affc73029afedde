"""What the routes of one application share."""

import contextlib
import time
from dataclasses import replace

import anyio

from serenanet_modules.inference.endpointing import NONE, Rules
from serenanet_modules.runtime.memory import hand_back
from serenanet_modules.server.batcher import Batcher
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.guard import Admission
from serenanet_modules.server.metrics import Metrics

PAUSE, LAST_BYTES = 2.0, 10.0  # seconds that an upload may pause, and go on, when the server ends


class Service:
    """A recogniser with its queue, its figures and its end.

    Parameters
    ----------
    recognizer : Recognizer
    options : Options
    open_stream : callable
        `LiveStream`, or what does as it.
    can_stream : bool

    Attributes
    ----------
    batcher : Batcher
    admission : Admission
        Transcriptions that are being uploaded, decoded, waiting or in work.
    live : set of Session
        Open live sessions.
    decoding, streaming : CapacityLimiter
        Threads that decode uploads, and the one that runs the network for live sessions: these do not wait for batches.
    """

    def __init__(self, recognizer, options, open_stream, can_stream):
        self.recognizer, self.options, self.can_stream = recognizer, options, can_stream
        self._open_stream, self._beside = open_stream, recognizer.beside()
        self.stopping = False
        self.live, self._arriving = set(), set()
        self.admission = Admission(self._refusal)
        self.metrics = Metrics(lambda: len(self.batcher), lambda: len(self.live))
        settings = options.batch_seconds, options.batch_wait, self.metrics.batch
        self.batcher = Batcher(self._recognise, *settings, lambda: self.admission.count, hand_back)
        self.decoding, self.streaming = anyio.CapacityLimiter(options.decoders), anyio.CapacityLimiter(1)

    def open_stream(self, settings):
        """A `LiveStream` of its own for a live session.

        Parameters
        ----------
        settings : dict
            ``look_ahead``, ``enable_endpoint_detection`` and what `Rules` has, as far as the client says them.

        Raises
        ------
        UserError
            For what the model cannot do.
        """
        usual = self.options.rules
        given = {name: value for name, value in settings.items() if name in vars(usual)}
        if settings.get("enable_endpoint_detection", usual != NONE or bool(given)):
            rules = replace(Rules() if usual == NONE else usual, **given)
        else:
            rules = NONE
        return self._open_stream(self._beside, rules, settings.get("look_ahead"), self.options.lm)

    @property
    def retry_after(self):
        """Whole seconds after which another request may find room."""
        return min(60, 1 + round(self.batcher.last_seconds))

    @property
    def language(self):
        """The locale of the training data."""
        return self.recognizer.settings["locale"]

    def stop(self):
        """Refuse what is new, and let uploads that go on and live sessions come to their end."""
        self.stopping, self._latest = True, time.monotonic() + LAST_BYTES  # the event loop's clock
        for scope in self._arriving:
            scope.deadline = min(scope.deadline, time.monotonic() + PAUSE)
        for session in tuple(self.live):
            session.stop()

    @contextlib.contextmanager
    def patience(self, deadline):
        """A scope for the next bytes of an upload, which ends at the deadline; when the server ends, after a pause."""
        if self.stopping:
            deadline = min(deadline, time.monotonic() + PAUSE, self._latest)
        with anyio.CancelScope(deadline=deadline) as scope:
            self._arriving.add(scope)
            try:
                yield scope
            finally:
                self._arriving.discard(scope)

    def closing(self):
        """The refusal of anything new, or None while the server is not about to end."""
        if self.stopping:
            message = "the server is shutting down"
            return APIError(503, message, code="shutting_down", retry_after=5, hang_up=True)
        return None

    def _refusal(self, inside):
        if inside >= self.options.max_queue:
            message = f"{inside} requests are waiting already; try again later"
            return APIError(429, message, code="queue_full", retry_after=self.retry_after)
        return self.closing()

    def _recognise(self, sources):
        return list(self.recognizer.transcripts(sources, self.options.batch_seconds, self.options.lm))
