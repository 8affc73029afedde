"""The FastAPI application."""

import contextlib
import time

from fastapi import FastAPI, Request, Response

import serenanet_modules
from serenanet_modules.errors import UserError
from serenanet_modules.inference.endpointing import LiveStream
from serenanet_modules.server import corrections, errors, live, page, transcriptions
from serenanet_modules.server.guard import GuardedRoute
from serenanet_modules.server.observed import Observed
from serenanet_modules.server.options import Options
from serenanet_modules.server.service import Service


def make_app(recognizers, options=None):
    """Put recognisers behind OpenAI's transcription API, a WebSocket and a page.

    Parameters
    ----------
    recognizers : dict of str to Recognizer
        By the names that clients ask for; the first is the usual one.
    options : Options, optional

    Returns
    -------
    FastAPI
        Its lifespan ends the threads that run the networks, when what waits is done.

    Raises
    ------
    UserError
        For a language model that cannot be used, and a folder of corrections that cannot be made.
    """
    options = options or Options()
    if options.corrections is not None:
        _make(options.corrections)
    service = Service(recognizers, options, LiveStream)
    app = FastAPI(
        title="SerenaNet",
        version=serenanet_modules.__version__,
        description="Speech recognition; `/v1/audio/transcriptions` is OpenAI's. Live audio goes to the WebSocket "
        "`/v1/audio/stream`.",
        lifespan=_lifespan,
        docs_url=None,  # `page` has one that needs no other server
        redoc_url=None,
    )
    app.state.service, app.state.started = service, int(time.time())
    errors.install(app)
    app.add_middleware(Observed, metrics=service.metrics)
    app.add_middleware(Below, path=options.root_path)
    routers = transcriptions.uploading, transcriptions.models, corrections.exporting, corrections.saving
    for router in (*routers, live.router, page.router):
        app.include_router(router)
    app.add_api_route("/healthz", _health, methods=["GET"])
    app.router.add_api_route("/metrics", _metrics, methods=["GET"], route_class_override=GuardedRoute)
    return app


def _make(folder):
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f"--corrections {folder}: the folder cannot be made ({error.strerror}); give another") from None


class Below:
    """ASGI middleware for an application that a proxy shows below a path, whether it cuts that path off or not."""

    def __init__(self, app, path):
        self.app, self.path = app, path

    async def __call__(self, scope, receive, send):
        await self.app(scope | {"root_path": self.path} if self.path else scope, receive, send)


@contextlib.asynccontextmanager
async def _lifespan(app):
    yield
    app.state.service.close()


async def _health(request: Request, response: Response):
    """Whether requests are taken."""
    stopping = request.app.state.service.stopping
    response.status_code = 503 if stopping else 200
    return {"status": "stopping" if stopping else "ok"}


async def _metrics(request: Request):
    """Figures for Prometheus."""
    text, media_type = request.app.state.service.metrics.text()
    return Response(text, media_type=media_type)
