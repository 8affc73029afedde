"""Live audio over a WebSocket, ``/v1/audio/stream``.

The client sends audio as binary messages of any length, 16-bit little-endian samples of one channel at 16 kHz, and at
the end the text message ``{"type": "finish"}``. The server sends JSON:

- ``{"type": "partial", "id": …, "text": …}`` when the text of the open sentence has changed,
- ``{"type": "final", "id": …, "start": …, "end": …, …}`` when a sentence is over, with what verbose_json has of it; the
  next has the next number, from 0 on, and its partial texts begin anew,
- ``{"type": "done", …}`` when the audio is over, whatever has ended it: all of it, as verbose_json, behind a ``final``
  of what was heard of an open sentence. After ``finish`` the server then closes with 1000; else comes
- ``{"type": "error", "error": {…}}``, in the shape of the HTTP API, and it closes with

  ==== ==================================================================================
  1003 the model cannot stream, a message is neither audio nor ``finish``, or a parameter is none
  1008 more audio than allowed, or nothing for too long
  1011 the server failed
  1013 too many live sessions
  ==== ==================================================================================

In OpenAI's realtime events a partial is ``conversation.item.input_audio_transcription.delta``, a final ``….completed``.

Parameters of the address, such as ``/v1/audio/stream?look_ahead=480``: ``model``, where there are several;
``look_ahead`` in milliseconds, of models that have several; ``enable_endpoint_detection``,
``rule1_min_trailing_silence``, ``rule2_min_trailing_silence`` and ``rule3_min_utterance_length``, sherpa-onnx's names
for what ends a sentence (`inference.endpointing`); ``hotwords``, words that are expected, with commas between, and
``hotword_weight``; ``nbest``, how many texts a ``final`` lists; ``digits``, numbers as digits.

Where the server wants a token, programs send it as ``Authorization: Bearer …``. Browsers cannot; they offer two
subprotocols, ``serenanet`` and ``bearer.`` with the token in base64url without padding. Without a token, only pages of
this server may connect. A wrong token or page is refused before the connection is there, with 401 or 403.

When the server ends, an open session gets its ``final`` and ``done``.
"""

import base64
import json
import logging

import anyio
import numpy as np
from fastapi import APIRouter, WebSocket, WebSocketDisconnect

from serenanet_modules.config.keys import truth
from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.errors import UserError
from serenanet_modules.inference.endpointing import Rules
from serenanet_modules.server import errors, shapes
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.fields import check_names
from serenanet_modules.server.guard import check_client
from serenanet_modules.server.wishes import FIELDS

SUBPROTOCOL, BEARER = "serenanet", "bearer."
TOGETHER = 2**20  # bytes of messages that the network reads at once when they come faster than it reads
ARRIVED = 0.002  # seconds that messages which have arrived need to be read
DONE, UNSUPPORTED, POLICY, FAILED, LATER = 1000, 1003, 1008, 1011, 1013

PARAMETERS = {"model": str, "look_ahead": int, "enable_endpoint_detection": truth} | FIELDS
PARAMETERS |= dict.fromkeys(vars(Rules()), float)

log = logging.getLogger(__name__)
router = APIRouter()


class _Refusal(APIError):
    """An `APIError` that closes a connection with a code of its own."""

    def __init__(self, closing, status, message, code, param=None):
        super().__init__(status, message, param, code)
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
        self._socket, self._service, self._model, self._sentences = socket, service, None, []
        self._left = int(service.options.max_seconds * SAMPLE_RATE)
        self._odd, self._stopping, self._waiting = b"", False, None

    async def run(self):
        """Read audio until the client has finished, and send what is heard."""
        stream = await self._opened()
        refusal = None
        try:
            await self._listen(stream)
        except _Refusal as error:  # which ends the audio; what was heard before is not lost
            refusal = error
        await self._say(await self._network(stream.finish))
        await self._send("done", self._shape(stream.transcript(self._sentences)))
        if refusal is not None:
            raise refusal

    async def _opened(self):
        service, given = self._service, self._socket.query_params
        try:
            check_names(given, PARAMETERS, "the query parameter")
            settings = {name: _value(name, text) for name, text in given.items()}
            self._model = service.model(settings.pop("model", None))
            return await self._network(self._model.open_stream, settings)
        except APIError as error:
            raise _Refusal(UNSUPPORTED, error.status_code, error.detail, error.code, error.param) from None
        except UserError as error:
            code = "invalid_value" if self._model.can_stream else "cannot_stream"
            message = str(error).removeprefix(f"{self._model.recognizer.folder}: ")
            raise _Refusal(UNSUPPORTED, 400, message, code) from None

    async def _listen(self, stream):
        said = ""
        async for samples in self._audio():
            if sentences := await self._network(stream.feed, samples):
                await self._say(sentences)
                said = ""
            if stream.text != said:
                said = stream.text
                await self._send("partial", {"id": len(self._sentences), "text": said})

    async def _say(self, sentences):
        for sentence in sentences:
            (segment,) = sentence.segments
            place = {"id": len(self._sentences), "start": segment.start, "end": segment.end}
            await self._send("final", place | self._shape(sentence))
            self._sentences.append(sentence)

    def _shape(self, transcript):
        shape = shapes.verbose(transcript, self._model.language, self._model.recognizer.units)
        return shape.model_dump(exclude_none=True)

    async def _send(self, kind, content):
        await self._socket.send_json({"type": kind, **content})

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
                raise _Refusal(POLICY, 408, f"nothing was sent for {idle:g} s; send silence too", "idle")
            more, refusal = data, None
            try:
                while more is not None and not finished and len(data) < TOGETHER:
                    more, finished = await self._next(ARRIVED)
                    data += more or b""
            except _Refusal as error:  # of a message behind some audio
                refusal = error
            if len(samples := self._samples(data)):
                yield samples
            if len(self._odd) > 1:
                most = self._service.options.max_seconds
                refusal = _Refusal(
                    POLICY, 413, f"a live session ends after {most:g} s of audio; open another one", "audio_too_long"
                )
            if refusal is not None:
                raise refusal

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
        """16-bit samples as floats, no more than are allowed; half a sample waits for its other half."""
        data = self._odd + data
        whole = min(len(data) // 2, self._left)
        self._odd, self._left = data[2 * whole :], self._left - whole
        return np.frombuffer(data[: 2 * whole], "<i2").astype(np.float32) / 2**15


def _value(name, text):
    """A parameter's value."""
    try:
        value = PARAMETERS[name](text)
    except ValueError:
        value = None
    if value is None:
        raise APIError(400, f"{name}: {text!r} is no valid value", name, "invalid_value")
    return value


def _check_finish(text):
    try:
        finish = json.loads(text) == {"type": "finish"}
    except (ValueError, RecursionError):
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
