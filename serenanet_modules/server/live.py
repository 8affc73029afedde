"""Live audio over a WebSocket, ``/v1/audio/stream``.

The client sends audio as binary messages of any length, 16-bit little-endian samples of one channel at 16 kHz, and at
the end the text message ``{"type": "finish"}``. The server sends JSON:

- ``{"type": "partial", "text": …}`` when the text so far has changed,
- ``{"type": "final", …}`` after ``finish``, with what verbose_json has, then closes with 1000,
- ``{"type": "error", "error": {…}}``, in the shape of the HTTP API, then closes with

  ==== ==================================================================================
  1003 the model cannot stream, or a message is neither audio nor ``finish``
  1008 more audio than allowed, or nothing for too long
  1011 the server failed
  1013 too many live sessions
  ==== ==================================================================================

Where the server wants a token, programs send it as ``Authorization: Bearer …``. Browsers cannot; they offer two
subprotocols, ``serenanet`` and ``bearer.`` with the token in base64url without padding. Without a token, only pages of
this server may connect. A wrong token or page is refused before the connection is there, with 401 or 403.

When the server ends, an open session gets its ``final``.
"""

import base64
import json
import logging

import anyio
import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.errors import UserError
from serenanet_modules.server import errors, shapes
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.guard import check_client

SUBPROTOCOL, BEARER = "serenanet", "bearer."
TOGETHER = 2**20  # bytes of messages that the network reads at once when they come faster than it reads
ARRIVED = 0.002  # seconds that messages which have arrived need to be read
DONE, UNSUPPORTED, POLICY, FAILED, LATER = 1000, 1003, 1008, 1011, 1013

log = logging.getLogger(__name__)
router = APIRouter()


class _Refusal(APIError):
    """An `APIError` that closes a connection with a code of its own."""

    def __init__(self, closing, status, message, code):
        super().__init__(status, message, code=code)
        self.closing = closing


@router.websocket("/v1/audio/stream")
async def stream(socket: WebSocket):
    """One live session, from the handshake to the end."""
    service = socket.app.state.service
    try:
        check_client(socket.headers, service.options, _from_subprotocol(socket.scope["subprotocols"]))
        if error := service.closing():
            raise error
    except APIError as error:
        return await socket.send_denial_response(errors.response(error))
    await socket.accept(SUBPROTOCOL if SUBPROTOCOL in socket.scope["subprotocols"] else None)
    try:
        await _attend(socket, service)
    except WebSocketDisconnect:
        pass  # the client left; there is nobody to tell


async def _attend(socket, service):
    session = Session(socket, service)
    try:
        if len(service.live) >= service.options.max_live:
            raise _Refusal(LATER, 429, f"{len(service.live)} live sessions are open already; try again later", "busy")
        service.live.add(session)
        await session.run()
        await socket.close(DONE)
    except _Refusal as error:
        await _refuse(socket, error, error.closing)
    except WebSocketDisconnect:
        raise
    except Exception:
        log.exception("a live session failed")
        await _refuse(socket, APIError(500, "the recogniser failed; the server's log says why", code="failed"), FAILED)
    finally:
        service.live.discard(session)


async def _refuse(socket, error, closing):
    await socket.send_json({"type": "error", **errors.body(error.status_code, error.detail, error.param, error.code)})
    await socket.close(closing)


class Session:
    """The messages of one connection.

    Parameters
    ----------
    socket : WebSocket
        Accepted.
    service : Service
    """

    def __init__(self, socket, service):
        self._socket, self._service = socket, service
        self._left = int(service.options.max_seconds * SAMPLE_RATE)
        self._odd, self._stopping, self._waiting = b"", False, None

    async def run(self):
        """Read audio until the client has finished, and send what is heard."""
        service, said = self._service, ""
        try:
            stream = await self._network(service.open_stream)
        except UserError as error:
            raise _Refusal(UNSUPPORTED, 400, str(error), "cannot_stream") from None
        async for samples in self._audio():
            text = await self._network(stream.feed, samples)
            if text != said:
                await self._socket.send_json({"type": "partial", "text": text})
                said = text
        transcript = await self._network(stream.finish)
        shape = shapes.verbose(transcript, service.language, service.recognizer.units)
        await self._socket.send_json({"type": "final", **shape.model_dump(exclude_none=True)})

    def stop(self):
        """Take what was sent so far for all."""
        self._stopping = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _network(self, function, *arguments):
        return await anyio.to_thread.run_sync(function, *arguments, limiter=self._service.streaming)

    async def _audio(self):
        """Yield float samples (N,) until ``finish``, each time those of all messages that have come."""
        idle, finished = self._service.options.idle_seconds, False
        while not finished and not self._stopping:
            data, finished = await self._next(idle)
            if data is None:
                if self._stopping:
                    return
                raise _Refusal(POLICY, 408, f"nothing was sent for {idle:g} s", "idle")
            more = data
            while more is not None and not finished and len(data) < TOGETHER:
                more, finished = await self._next(ARRIVED)
                data += more or b""
            if data:
                yield self._samples(data)

    async def _next(self, seconds):
        """The bytes of a message, None if there is none for so long; and whether it is ``finish``."""
        message = None
        with anyio.move_on_after(seconds) as self._waiting:
            message = await self._socket.receive()
        if message is None:
            return None, False
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        if message.get("bytes") is None:
            _check_finish(message["text"])
            return b"", True
        return message["bytes"], False

    def _samples(self, data):
        """16-bit samples as floats; half a sample waits for its other half."""
        data = self._odd + data
        whole = len(data) // 2 * 2
        self._odd, self._left = data[whole:], self._left - whole // 2
        if self._left < 0:
            most = self._service.options.max_seconds
            raise _Refusal(POLICY, 413, f"a live session may have {most:g} s of audio", "audio_too_long")
        return np.frombuffer(data[:whole], "<i2").astype(np.float32) / 2**15


def _check_finish(text):
    try:
        finish = json.loads(text)["type"] == "finish"
    except (ValueError, KeyError, TypeError):
        finish = False
    if not finish:
        message = 'send audio as binary messages, and {"type": "finish"} as the only text'
        raise _Refusal(UNSUPPORTED, 400, message, "invalid_message")


def _from_subprotocol(offered):
    """The token that a browser sends, as an Authorization header."""
    for name in offered:
        if name.startswith(BEARER):
            given = name.removeprefix(BEARER)
            try:
                return "Bearer " + base64.urlsafe_b64decode(given + "=" * (-len(given) % 4)).decode("latin-1")
            except ValueError:
                return None
    return None
