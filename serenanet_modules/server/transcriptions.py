"""``/v1/audio/transcriptions`` and ``/v1/models``, as OpenAI's API defines them."""

from typing import Annotated, Literal

import anyio
from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from fastapi.responses import JSONResponse, PlainTextResponse
from fastapi.security import HTTPBearer

from serenanet_modules.data import codes
from serenanet_modules.errors import UserError
from serenanet_modules.inference import formats
from serenanet_modules.server import shapes, uploads
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.guard import GuardedRoute, UploadRoute

ALIAS = "whisper-1"  # programs that were written for OpenAI's server ask for this one
MEDIA = {"text": "text/plain", "srt": "text/plain", "vtt": "text/vtt"}
CLIENT_GONE = 499  # what nginx calls it; seen in metrics only
FORMATS = {"text": "txt", "srt": "srt", "vtt": "vtt"}

Granularity, Subtitles = Literal["word", "segment"], Literal["srt", "vtt"]

TOKEN = [Depends(HTTPBearer(auto_error=False))]  # for the API's description; what checks it is the route's class

uploading = APIRouter(route_class=UploadRoute, dependencies=TOKEN)
models = APIRouter(route_class=GuardedRoute, dependencies=TOKEN)


@uploading.post("/v1/audio/transcriptions", response_model=shapes.Transcription | shapes.VerboseTranscription)
async def transcribe(
    request: Request,
    file: Annotated[UploadFile, File(description="audio of any rate, channel count and format")],
    model: Annotated[str | None, Form(description=f"the server's model or {ALIAS}, which stands for it")] = None,
    language: Annotated[
        str | None, Form(description="the model's own, by code or name, or auto; another one is refused")
    ] = None,
    prompt: Annotated[str | None, Form(description="has no effect")] = None,
    response_format: Annotated[Literal["json", "text", "srt", "verbose_json", "vtt"], Form()] = "json",
    temperature: Annotated[float, Form(ge=0, le=1, description="has no effect: nothing is drawn at random")] = 0,
    granularities: Annotated[
        list[Granularity] | None,
        Form(alias="timestamp_granularities[]", description="of verbose_json; segment by default"),
    ] = None,
    more_granularities: Annotated[list[Granularity] | None, Form(alias="timestamp_granularities")] = None,
    include: Annotated[
        list[Subtitles] | None,
        Form(alias="include[]", description="of verbose_json: subtitles beside the rest"),
    ] = None,
    more_include: Annotated[list[Subtitles] | None, Form(alias="include")] = None,
    stream: Annotated[bool, Form(description="json as server-sent events, a delta for each segment")] = False,
):
    """Transcribe a recording."""
    service = request.app.state.service
    granularities, include = (granularities or []) + (more_granularities or []), (include or []) + (more_include or [])
    _check(service, model, language)
    _check_format(response_format, granularities or include, stream)
    options = service.options
    samples = await anyio.to_thread.run_sync(
        uploads.read, file.file, options.max_seconds, options.timeout, limiter=service.decoding
    )
    transcript = await _unless_gone(request, service.batcher.transcribe(samples))
    if response_format in FORMATS:
        return PlainTextResponse(formats.write(transcript, FORMATS[response_format]), media_type=MEDIA[response_format])
    if stream:
        return PlainTextResponse(shapes.events(transcript), media_type="text/event-stream")
    if response_format == "json":
        shape = shapes.transcription(transcript)
    else:
        parts = granularities or ("segment",), include
        shape = shapes.verbose(transcript, service.language, service.recognizer.units, *parts)
    return JSONResponse(shape.model_dump(exclude_none=True))


def _check(service, model, language):
    """Refuse what does not fit the model."""
    _check_model(service, model or ALIAS)
    own = service.language
    if language and codes.language(language) not in (codes.language(own), "auto"):
        raise APIError(400, f"the model transcribes {own!r} and not {language!r}", "language", "unsupported_language")


def _check_format(response_format, details, stream):
    """Refuse what does not fit the format."""
    if details and response_format != "verbose_json":
        message = f"timestamps and what to include are for response_format verbose_json, and not for {response_format}"
        raise APIError(400, message, "response_format", "invalid_value")
    if stream and response_format != "json":
        message = f"what is streamed is of response_format json, and not of {response_format}"
        raise APIError(400, message, "stream", "invalid_value")


async def _unless_gone(request, work):
    """The result of `work`, which is cancelled when the client goes; a `UserError` is the client's fault."""
    result = APIError(CLIENT_GONE, "the client did not wait for the answer")
    async with anyio.create_task_group() as group:

        async def watch():
            while (await request.receive())["type"] != "http.disconnect":
                pass
            group.cancel_scope.cancel()

        group.start_soon(watch)
        try:
            result = await work
        except UserError as error:
            result = APIError(400, str(error), "file", "invalid_audio")
        except Exception:
            result = APIError(500, "the recogniser failed on this audio; the server's log says why", code="failed")
        group.cancel_scope.cancel()
    if isinstance(result, APIError):
        raise result
    return result


def _check_model(service, name):
    own = service.options.name
    if name not in (own, ALIAS):
        raise APIError(404, f"there is no model {name!r} here; ask for {own!r}", "model", "model_not_found")


@models.get("/v1/models")
async def list_models(request: Request):
    """The one model that is served."""
    return {"object": "list", "data": [shapes.model(request.app.state.service, request.app.state.started)]}


@models.get("/v1/models/{name:path}")
async def get_model(request: Request, name: str):
    """The model, by its name."""
    _check_model(request.app.state.service, name)
    return shapes.model(request.app.state.service, request.app.state.started)
