"""What is seen at ``/`` and ``/docs``: plain HTML, CSS and JavaScript, from this server only."""

from pathlib import Path

from fastapi import APIRouter, Response

from serenanet_modules.server.errors import APIError

FILES = Path(__file__).parent
MEDIA = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; media-src blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def index():
    return _file(FILES / "index.html")


@router.get("/docs")
async def docs():
    return _file(FILES / "docs.html")


@router.get("/page/{name}")
async def part(name: str):
    known = {path.name: path for path in FILES.iterdir() if path.suffix in MEDIA}
    if name not in known:
        raise APIError(404, f"the page has no {name!r}")
    return _file(known[name])


def _file(path):
    return Response(path.read_bytes(), media_type=MEDIA[path.suffix], headers=HEADERS)
