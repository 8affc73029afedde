"""What the routes of one application share."""

import anyio

from serenanet_modules.server.batcher import Batcher
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.guard import Admission
from serenanet_modules.server.metrics import Metrics


class Service:
    """A recogniser with its queue, its figures and its end.

    Parameters
    ----------
    recognizer : Recognizer
    options : Options
    open_stream : callable
        From the recogniser to a `Streamer`; raises a `UserError` where it cannot stream.
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
        self._open_stream = open_stream
        self.stopping = False
        self.live = set()
        self.admission = Admission(self._refusal)
        self.metrics = Metrics(lambda: len(self.batcher), lambda: len(self.live))
        self.batcher = Batcher(self._recognise, options.batch_seconds, options.batch_wait, self.metrics.batch)
        self.decoding, self.streaming = anyio.CapacityLimiter(options.decoders), anyio.CapacityLimiter(1)

    def open_stream(self):
        """A `Streamer` of its own for a live session."""
        return self._open_stream(self.recognizer)

    @property
    def retry_after(self):
        """Whole seconds after which another request may find room."""
        return min(60, 1 + round(self.batcher.last_seconds))

    @property
    def language(self):
        """The locale of the training data."""
        return self.recognizer.settings["locale"]

    def stop(self):
        """Refuse what is new, and let live sessions come to their end."""
        self.stopping = True
        for session in tuple(self.live):
            session.stop()

    def closing(self):
        """The refusal of anything new, or None while the server is not about to end."""
        if self.stopping:
            return APIError(503, "the server is shutting down", code="shutting_down", retry_after=5)
        return None

    def _refusal(self, inside):
        if inside >= self.options.max_queue:
            message = f"{inside} requests are waiting already; try again later"
            return APIError(429, message, code="queue_full", retry_after=self.retry_after)
        return self.closing()

    def _recognise(self, sources):
        return list(self.recognizer.transcripts(sources, self.options.batch_seconds, self.options.lm))
