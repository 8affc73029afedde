"""HTTP connections that keep nobody waiting: so many at a time, and so long for the head of a request."""

from uvicorn.protocols.http.h11_impl import H11Protocol


class Protocol(H11Protocol):
    """Uvicorn's, which by itself would wait for ever for the rest of a head, and for what follows a refused one.

    Parameters
    ----------
    options : Options
    **more
        Uvicorn's own.
    """

    def __init__(self, options, **more):
        super().__init__(**more)
        self._most, self._patience, self._hurry = options.max_connections, options.head_seconds, None

    def connection_made(self, transport):
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
        self._watch()

    def data_received(self, data):
        super().data_received(data)
        self._watch()

    def on_response_complete(self):
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc):
        super().connection_lost(exc)
        self._watch()

    def _watch(self):
        """Close the connection in a while, unless a request is in work; live sessions are no longer ours."""
        answered = self.cycle is None or self.cycle.response_complete
        if answered and self in self.connections:
            self._hurry = self._hurry or self.loop.call_later(self._patience, self.transport.close)
        elif self._hurry:
            self._hurry.cancel()
            self._hurry = None
