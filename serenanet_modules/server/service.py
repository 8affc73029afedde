"""What the routes of one application share."""

import contextlib
import threading
import time

import anyio

from serenanet_modules.server.errors import APIError
from serenanet_modules.server.guard import Admission
from serenanet_modules.server.metrics import Metrics
from serenanet_modules.server.model import Model

PAUSE, LAST_BYTES = 2.0, 10.0  # seconds that an upload has when the server ends, and at most
HURRIED = 20_000  # bytes for which it has a second more
ALIAS = "whisper-1"  # programs that were written for OpenAI's server ask for this one


class Service:
    """Recognisers with their queues, figures and end.

    Parameters
    ----------
    recognizers : dict of str to Recognizer
        By the names that clients ask for; the first is the usual one.
    options : Options
    open_stream : callable
        `LiveStream`, or what does as it.

    Attributes
    ----------
    models : dict of str to Model
    admission : Admission
        Transcriptions that are being uploaded, decoded, waiting or in work.
    live : set of Session
        Open live sessions.
    decoding, streaming : CapacityLimiter
        Threads that decode uploads, and the one that runs networks for live sessions: these do not wait for batches.
    """

    def __init__(self, recognizers, options, open_stream):
        self.options, self.stopping = options, False
        self.live, self._arriving = set(), set()
        self.admission = Admission(self._refusal)
        self.metrics = Metrics(
            lambda: sum(len(model.batcher) for model in self.models.values()), lambda: len(self.live)
        )
        self.decoding, self.streaming = anyio.CapacityLimiter(options.decoders), anyio.CapacityLimiter(1)
        turn = threading.Lock()  # of the models, whose batches share the machine's cores and memory
        self.models = {
            name: Model(name, recognizer, options, open_stream, turn, self.metrics.batch)
            for name, recognizer in recognizers.items()
        }

    def model(self, name=None):
        """The `Model` of a name, the usual one without; a 404 where there is none."""
        if name in (None, "", ALIAS):
            return next(iter(self.models.values()))
        if name not in self.models:
            known = " or ".join(map(repr, self.models))
            raise APIError(404, f"there is no model {name!r} here; ask for {known}", "model", "model_not_found")
        return self.models[name]

    @property
    def patience_seconds(self):
        """Within which a transcription that is about to wait must be ready.

        The timeout, and as long as all audio is that waits or is in work: its own, and what may come before it.
        """
        return self.options.timeout + sum(model.batcher.seconds for model in self.models.values())

    @property
    def retry_after(self):
        """Whole seconds after which another request may find room."""
        return min(60, 1 + round(max(model.batcher.last_seconds for model in self.models.values())))

    def close(self):
        """End the threads of all models when what waits is done."""
        for model in self.models.values():
            model.batcher.close()

    def stop(self):
        """Refuse what is new, and let uploads that go on and live sessions come to their end."""
        self.stopping, self._stopped = True, time.monotonic()  # the event loop's clock
        for scope in self._arriving:
            scope.deadline = min(scope.deadline, self._stopped + PAUSE)
        for session in tuple(self.live):
            session.stop()

    @contextlib.contextmanager
    def patience(self, deadline, late):
        """A scope for the next bytes of an upload, which ends at the deadline; when the server ends, earlier.

        Parameters
        ----------
        deadline : float
            Seconds of the event loop's clock.
        late : int
            Bytes that have come since the server began to end.
        """
        if self.stopping:
            deadline = min(deadline, self._stopped + min(PAUSE + late / HURRIED, LAST_BYTES))
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
