"""``/v1/audio/transcriptions`` and ``/v1/models``, as OpenAI's API defines them."""

import asyncio
import logging
from typing import Annotated

import anyio
from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from fastapi.security import HTTPBearer

from serenanet_modules.data import codes
from serenanet_modules.decoding.spoken import AUTO
from serenanet_modules.errors import UserError
from serenanet_modules.inference import formats
from serenanet_modules.server import shapes, uploads
from serenanet_modules.server.errors import APIError, body
from serenanet_modules.server.form import Form
from serenanet_modules.server.guard import MULTIPART, GuardedRoute, UploadRoute
from serenanet_modules.server.wishes import FIELDS

MEDIA = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
CLIENT_GONE = 499  # what nginx calls it; seen in metrics only
FORMATS = {"text": "txt", "srt": "srt", "vtt": "vtt"}
EVENTS = "text/event-stream"
PULSE = 1.0  # seconds between events of a transcription that goes on: proxies cut what is silent for a minute

log = logging.getLogger(__name__)

TOKEN = [Depends(HTTPBearer(auto_error=False))]  # for the API's description; what checks it is the route's class

uploading = APIRouter(route_class=UploadRoute, dependencies=TOKEN)
models = APIRouter(route_class=GuardedRoute, dependencies=TOKEN)


@uploading.post("/v1/audio/transcriptions", response_model=shapes.Transcription | shapes.VerboseTranscription)
async def transcribe(request: Request, form: Annotated[Form, MULTIPART]):
    """Transcribe a recording."""
    service, chosen = request.app.state.service, request.app.state.service.model(form.model)
    granularities, include = form.granularities + form.more_granularities, form.include + form.more_include
    asked = {name: getattr(form, name) for name in ("speakers", *FIELDS)} | {"language": _told(chosen, form.language)}
    _check_format(form.response_format, granularities or include or form.nbest > 1, form.stream)
    with chosen.batcher.expecting():
        ready = await anyio.to_thread.run_sync(
            _prepared, chosen, asked, form.file.file, service.options, limiter=service.decoding
        )
        job = chosen.batcher.submit(*ready)

    def shape(transcript):
        parts = granularities or ("segment",), include
        return shapes.verbose(transcript, transcript.language or chosen.language, chosen.recognizer.units, *parts)

    if form.stream and form.response_format == "verbose_json":
        return StreamingResponse(_events(service, chosen, job, shape), media_type=EVENTS)
    transcript = await _unless_gone(request, _ready(service, chosen, job))
    if form.response_format in FORMATS:
        text = formats.write(transcript, FORMATS[form.response_format])
        return PlainTextResponse(text, media_type=MEDIA[form.response_format])
    if form.stream:
        return PlainTextResponse(shapes.events(transcript), media_type=EVENTS)
    found = shapes.transcription(transcript) if form.response_format == "json" else shape(transcript)
    return JSONResponse(found.model_dump(exclude_none=True))


def _prepared(model, asked, file, options):
    """What the model's batcher is given of an upload."""
    recognise = model.recognising(asked)
    return uploads.read(file, options.max_seconds, options.timeout), recognise


def _told(model, language):
    """What a model is to be told that is spoken, None for nothing new; what it does not transcribe is refused."""
    own = model.language
    if language in (None, "", AUTO):
        return None
    if own == AUTO:
        return language
    if codes.language(language) != codes.language(own):
        message = f"this model transcribes {own!r}, not {language!r}; leave language out, or ask for another model"
        raise APIError(400, message, "language", "unsupported_language")


def _check_format(response_format, details, stream):
    """Refuse what does not fit the format."""
    if details and response_format != "verbose_json":
        message = f"timestamp_granularities, nbest, include: need response_format verbose_json, not {response_format}"
        raise APIError(400, message, "response_format", "invalid_value")
    if stream and response_format in FORMATS:
        message = f"stream needs response_format json or verbose_json, not {response_format}"
        raise APIError(400, message, "stream", "invalid_value")


async def _ready(service, model, job):
    """The transcript, within the time that there is for it.

    Raises
    ------
    APIError
        400 where the recogniser refuses the audio, 500 where it fails, 503 where it is too slow.
    """
    limit = service.patience_seconds
    try:
        with anyio.fail_after(limit):
            return await model.batcher.result(job)
    except TimeoutError:
        message = f"the transcription was not ready after {limit:.0f} s; try again, or send shorter audio"
        raise APIError(503, message, code="timeout", retry_after=service.retry_after) from None
    except UserError as error:
        raise APIError(400, str(error), "file", "invalid_audio") from None
    except Exception as error:
        log.error("a transcription failed", exc_info=error)
        message = "the recogniser failed on this audio; the server's log says why"
        raise APIError(500, message, code="failed") from None


async def _events(service, model, job, shape):
    """Yield how far a transcription is, again and again, and then its `shape` or what went wrong."""
    with service.admission.kept():
        work = asyncio.ensure_future(_ready(service, model, job))
        try:
            while not (await asyncio.wait({work}, timeout=PULSE))[0]:
                yield shapes.progress(job.share)
            yield shapes.done(shape(work.result()))
        except APIError as error:
            yield shapes.failed(body(error.status_code, error.detail, error.param, error.code))
        finally:
            work.cancel()


async def _unless_gone(request, work):
    """The result of `work`, which is cancelled when the client goes."""
    result = APIError(CLIENT_GONE, "the client did not wait for the answer")
    async with anyio.create_task_group() as group:

        async def watch():
            while (await request.receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            result = await work
        except APIError as error:
            result = error
        group.cancel_scope.cancel()
    if isinstance(result, APIError):
        raise result
    return result


@models.get("/v1/models")
async def list_models(request: Request):
    """The models that are served."""
    service, started = request.app.state.service, request.app.state.started
    return {"object": "list", "data": [shapes.model(found, service, started) for found in service.models.values()]}


@models.get("/v1/models/{name:path}")
async def get_model(request: Request, name: str):
    """A model, by its name."""
    service = request.app.state.service
    return shapes.model(service.model(name), service, request.app.state.started)
