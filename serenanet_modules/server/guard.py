"""What is asked of a request before its body is read, and while it is."""

import contextlib
import hmac
import ipaddress
import shutil
import socket
import tempfile
from urllib.parse import urlsplit

import anyio
from fastapi import Form, Request
from fastapi.routing import APIRoute

from serenanet_modules.runtime.faults import ROOM
from serenanet_modules.server.errors import APIError
from serenanet_modules.server.fields import check_names

SLOWEST = 2000  # bytes per second of an upload
TEXT = 32 * 2**20  # bytes of a body without audio
SHARE = 8  # an upload may take an eighth of what is free: it lies there twice for a moment, and then decoded
MULTIPART = Form(media_type="multipart/form-data")  # what the form of an `UploadRoute`, a model, is sent as
LINGER = 4  # times the largest upload that is read and thrown away, so that its sender gets to see the refusal


class GuardedRoute(APIRoute):
    """A route for clients that may use the server: those with its token or, where it has none, its own page."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def guarded(request):
            check_client(request.headers, request.app.state.service.options)
            check_names(request.query_params, names(self.dependant.query_params), "the query parameter")
            return await handle(request)

        return guarded


class TextRoute(GuardedRoute):
    """A guarded route whose requests are JSON, bounded in size and time."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def bounded(request):
            service = request.app.state.service
            return await handle(Request(request.scope, limited(request.receive, service, request.headers, TEXT)))

        return bounded


class UploadRoute(GuardedRoute):
    """A guarded route whose requests bring audio, and are bounded in number, size and time."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def bounded(request):
            service = request.app.state.service
            with service.admission, on_disk():
                most = room(service.options)
                received = Request(request.scope, limited(request.receive, service, request.headers, most))
                async with received.form() as form:  # which the handler then has from there
                    check_names(form, form_names(self.dependant), "the form field")
                    return await handle(received)

        return bounded


def room(options):
    """Bytes that an upload may have: its share of what is free on the disk, on which it lies until it is decoded."""
    free = shutil.disk_usage(tempfile.gettempdir()).free // SHARE
    return free if options.max_upload_bytes is None else min(free, options.max_upload_bytes)


@contextlib.contextmanager
def on_disk():
    """Let a full disk be a refusal."""
    try:
        yield
    except OSError as error:
        if error.errno not in ROOM:
            raise
        message = "the server's disk is full; send less at a time, or try again later"
        raise APIError(507, message, "file", "disk_full", hang_up=True) from None


def form_names(dependant):
    """Those of a route's form, whose fields are those of a model."""
    (form,) = dependant.body_params
    return [field.alias or name for name, field in form.field_info.annotation.model_fields.items()]


def names(fields):
    """Those that a route knows, of its fields as FastAPI has them."""
    return [field.alias for field in fields]


def check_client(headers, options, authorization=None):
    """Refuse who has no token; where there is none, pages of other servers.

    A browser lets any page send requests to any server, and says in ``Origin`` whose page it was. It takes a server for
    the page's own when the page's name now leads to that server's address (DNS rebinding), so a name must be known
    besides; an address cannot be rebound. Other programs send no ``Origin``.

    Parameters
    ----------
    headers : Headers
    options : Options
    authorization : str, optional
        Where the header is missing.
    """
    if options.token is not None:
        return check_token(headers.get("authorization") or authorization, options.token)
    origin, host = headers.get("origin"), headers.get("host", "")
    if origin is None:
        return
    if origin.partition("://")[2] != host:
        raise APIError(
            403, "requests from other web pages need a token; start this server with --token", code="foreign_origin"
        )
    if not _is_known(host, options.hosts):
        message = f"without a token this server refuses the host {host!r}; start it with --token or --allow-host"
        raise APIError(403, message, code="unknown_host")


def _is_known(host, hosts):
    """Whether a Host header is an address, or a name of this machine."""
    try:
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
        return True
    except ValueError:
        name = host.partition(":")[0].lower()
    own = socket.gethostname().lower()
    return name in {"localhost", own, f"{own}.local", *map(str.lower, hosts)} or name.endswith(".localhost")


def check_token(authorization, token):
    """Refuse what is not ``Bearer`` and the token, in a time that says nothing about how much of it was right.

    Parameters
    ----------
    authorization : str or None
        The header, whose bytes are read as Latin-1, as ASGI's are.
    token : str
    """
    scheme, _, given = (authorization or "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise APIError(401, "the token is missing or wrong; send 'Authorization: Bearer TOKEN'", code="invalid_api_key")


def limited(receive, service, headers, most):
    """An ASGI ``receive`` that refuses a body of more than ``most`` bytes or too slow a one, as soon as it is known.

    Some of the rest of a large one is read before the refusal: clients that find their connection closed while they
    still send report that and not the answer.
    """
    announced, seen, early, ended = headers.get("content-length", ""), 0, 0, False
    too_large = announced.isascii() and announced.isdigit() and int(announced) > most
    message = f"the upload is larger than {size(most)}; send less at a time"
    refusal = APIError(413, message, "file", "upload_too_large", hang_up=True)
    until = anyio.current_time() + service.options.idle_seconds

    async def arriving():
        nonlocal seen, ended, early
        early = early if service.stopping else seen
        with service.patience(until + seen / SLOWEST, seen - early):
            message = await receive()
            seen += len(message.get("body", b""))
            ended = not message.get("more_body")
            return message
        raise service.closing() or APIError(
            408, "the upload is too slow; send a smaller file", "file", "upload_too_slow", hang_up=True
        )

    async def counted():
        nonlocal too_large
        if ended:
            return await receive()  # comes when the client has gone
        if too_large and headers.get("expect", "").lower() == "100-continue":
            raise refusal  # a client that asks first has sent nothing yet
        message = await arriving()
        too_large = too_large or seen > most
        while too_large and message.get("more_body") and seen < LINGER * most:
            message = await arriving()
        if too_large:
            raise refusal
        return message

    return counted


def size(count):
    """A number of bytes for people.

    Examples
    --------
    >>> size(26214400), size(1000)
    ('25 MB', '1000 bytes')
    """
    return f"{count / 2**20:.3g} MB" if count >= 2**20 else f"{count} bytes"


class Admission:
    """How many requests are inside; a context manager that refuses one too many.

    `kept` is one for what has been inside before.

    Parameters
    ----------
    refusal : callable
        Given the number that is inside, the error for another one, or None.
    """

    def __init__(self, refusal):
        self.refusal, self.count = refusal, 0

    def __enter__(self):
        if error := self.refusal(self.count):
            raise error
        self.count += 1

    def __exit__(self, *_):
        self.count -= 1

    @contextlib.contextmanager
    def kept(self):
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1
