"""What is noted of each request: its number, a line in the log, figures. Nothing that anybody said is among them."""

import contextvars
import json
import logging
import re
import time
import uuid

from h11 import LocalProtocolError
from starlette.requests import ClientDisconnect

HEADER = "X-Request-ID"
GIVEN = re.compile(rb"[\x21-\x7e]{1,128}")  # what another's number may be
GONE = 499  # what proxies note of a client that has hung up
NORMAL = 1000  # what a WebSocket closes with

log = logging.getLogger(__name__)
number = contextvars.ContextVar("number", default=None)


class Observed:
    """ASGI middleware that numbers, counts and times requests and live sessions.

    A number is the client's own ``X-Request-ID``, or a new one; it comes back with the answer, and stands in all lines
    of the log that are about the request. A request whose client is gone just ends.

    Parameters
    ----------
    app : ASGI application
    metrics : Metrics
    """

    def __init__(self, app, metrics):
        self.app, self.metrics = app, metrics

    async def __call__(self, scope, receive, send):
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        own, status, began = _number(scope), 500, time.perf_counter()
        number.set(own)

        async def noted(message):
            nonlocal status
            status = message.get("status", status)
            if message["type"] == "websocket.accept":
                status = GONE  # until it is closed from here
            if message["type"] == "websocket.close":
                status = message.get("code", NORMAL)
            if message["type"] in ("http.response.start", "websocket.http.response.start", "websocket.accept"):
                message["headers"] = [*message.get("headers", ()), (HEADER.lower().encode(), own.encode())]
            await send(message)

        try:
            await self.app(scope, receive, noted)
        except (ClientDisconnect, LocalProtocolError):  # it has hung up, or what it sent is no HTTP any more
            status = GONE
        finally:
            self._note(scope, status, time.perf_counter() - began)

    def _note(self, scope, status, seconds):
        if scope["type"] == "http":
            self.metrics.request(scope, status, seconds)
        about = {"method": scope.get("method", "WS"), "path": scope["path"], "status": status}
        about |= {"seconds": round(seconds, 4), "client": (scope.get("client") or ("",))[0]}
        text = "%(client)s %(method)s %(path)s %(status)s, %(seconds).3f s"
        log.info(text, about, extra={"about": about})


def _number(scope):
    """What a request is called: what its client or a proxy calls it, if that is a word, or a name of ours."""
    given = dict(scope["headers"]).get(HEADER.lower().encode(), b"")
    return given.decode() if GIVEN.fullmatch(given) else uuid.uuid4().hex


class Lines(logging.Formatter):
    """A record as a line: text, or an object of JSON.

    Parameters
    ----------
    kind : str
        ``text`` or ``json``.
    """

    def __init__(self, kind):
        super().__init__("%(asctime)s %(levelname)s %(message)s")
        self._json = kind == "json"

    def format(self, record):
        about = getattr(record, "about", {})
        if not self._json:
            return super().format(record) + f" [{number.get()}]" * (number.get() is not None)
        line = {"time": self.formatTime(record), "level": record.levelname, "message": record.getMessage(), **about}
        line |= {"request_id": number.get()} if number.get() else {}
        line |= {"exception": self.formatException(record.exc_info)} if record.exc_info else {}
        return json.dumps(line, ensure_ascii=False)

    def formatTime(self, record, datefmt=None):
        """In UTC, as ISO 8601."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03}Z"


def without_clients_faults(record):
    """Leave out where uvicorn read a client's bytes that are no UTF-8: that is no failure of the server."""
    if record.name.startswith("uvicorn") and record.exc_info and isinstance(record.exc_info[1], UnicodeDecodeError):
        record.exc_info, record.levelno, record.levelname = None, logging.INFO, "INFO"
    return True


def log_to_stderr(kind):
    """Let all of this process's loggers write lines of one kind to the standard error output.

    Parameters
    ----------
    kind : str
        ``text`` or ``json``.
    """
    handler = logging.StreamHandler()
    handler.addFilter(without_clients_faults)
    handler.setFormatter(Lines(kind))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
