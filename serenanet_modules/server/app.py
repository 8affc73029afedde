"""The FastAPI application."""

import contextlib
import time

import numpy as np
from fastapi import FastAPI, Request, Response

import serenanet_modules
from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.errors import UserError
from serenanet_modules.inference.endpointing import LiveStream
from serenanet_modules.server import errors, live, page, transcriptions
from serenanet_modules.server.guard import GuardedRoute
from serenanet_modules.server.metrics import Observed
from serenanet_modules.server.options import Options
from serenanet_modules.server.service import Service


def make_app(recognizer, options=None):
    """Put a recogniser behind OpenAI's transcription API, a WebSocket and a page.

    Parameters
    ----------
    recognizer : Recognizer
    options : Options, optional

    Returns
    -------
    FastAPI
        Its lifespan ends the thread that runs the network, when what waits is done.

    Raises
    ------
    UserError
        For a language model that cannot be used.
    """
    options = options or Options()
    # the language model is tried, and the first request does not wait for what is set up at first use
    recognizer.transcribe([np.zeros(SAMPLE_RATE, np.float32)], lm=options.lm)
    service = Service(recognizer, options, LiveStream, _can_stream(recognizer))
    app = FastAPI(
        title="SerenaNet",
        version=serenanet_modules.__version__,
        description="Speech recognition; `/v1/audio/transcriptions` is OpenAI's. Live audio goes to the WebSocket "
        "`/v1/audio/stream`.",
        lifespan=_lifespan,
    )
    app.state.service, app.state.started = service, int(time.time())
    errors.install(app)
    app.add_middleware(Observed, metrics=service.metrics)
    for router in (transcriptions.uploading, transcriptions.models, live.router, page.router):
        app.include_router(router)
    app.add_api_route("/healthz", _health, methods=["GET"])
    app.router.add_api_route("/metrics", _metrics, methods=["GET"], route_class_override=GuardedRoute)
    return app


def _can_stream(recognizer):
    try:
        LiveStream(recognizer)
    except UserError:
        return False
    return True


@contextlib.asynccontextmanager
async def _lifespan(app):
    yield
    app.state.service.batcher.close()


async def _health(request: Request, response: Response):
    """Whether requests are taken."""
    stopping = request.app.state.service.stopping
    response.status_code = 503 if stopping else 200
    return {"status": "stopping" if stopping else "ok"}


async def _metrics(request: Request):
    """Figures for Prometheus."""
    text, media_type = request.app.state.service.metrics.text()
    return Response(text, media_type=media_type)
