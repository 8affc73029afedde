"""What is asked of a request before its body is read, and while it is."""

import hmac

import anyio
from fastapi import Request
from fastapi.routing import APIRoute

from serenanet_modules.inference.server.errors import APIError

LINGER = 4  # times the largest upload that is read and thrown away, so that its sender gets to see the refusal


class GuardedRoute(APIRoute):
    """A route that wants the token, where the server has one."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def guarded(request):
            check_token(request.headers.get("authorization"), request.app.state.service.options.token)
            return await handle(request)

        return guarded


class UploadRoute(GuardedRoute):
    """A guarded route whose requests are bounded in number, size and time."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def bounded(request):
            service = request.app.state.service
            limit = service.options.timeout
            with service.admission:
                try:
                    with anyio.fail_after(limit):
                        receive = limited(request.receive, service.options.max_upload_bytes, request.headers)
                        return await handle(Request(request.scope, receive))
                except TimeoutError:
                    message = f"the transcription was not ready after {limit:g} s; try again, or send shorter audio"
                    raise APIError(503, message, code="timeout", retry_after=service.retry_after) from None

        return bounded


def check_token(authorization, token):
    """Refuse what is not ``Bearer`` and the token, in a time that says nothing about how much of it was right.

    Parameters
    ----------
    authorization : str or None
        The header, whose bytes are read as Latin-1, as ASGI's are.
    token : str or None
    """
    if token is None:
        return
    scheme, _, given = (authorization or "").partition(" ")
    right = hmac.compare_digest(given.strip().encode("latin-1"), token.encode())
    if scheme.lower() != "bearer" or not right:
        raise APIError(401, "this server wants its token as 'Authorization: Bearer TOKEN'", code="invalid_api_key")


def limited(receive, most, headers):
    """An ASGI ``receive`` that refuses a body of more than `most` bytes as soon as it is known to be one.

    Some of the rest is read before the refusal: clients that find their connection closed while they still send report
    that and not the answer.
    """
    announced, seen = headers.get("content-length", ""), 0
    too_large = announced.isascii() and announced.isdigit() and int(announced) > most
    message = f"the upload is larger than {size(most)}; send less at a time"
    refusal = APIError(413, message, "file", "upload_too_large", hang_up=True)

    async def counted():
        nonlocal seen, too_large
        if too_large and headers.get("expect", "").lower() == "100-continue":
            raise refusal  # a client that asks first has sent nothing yet
        message = await receive()
        seen += len(message.get("body", b""))
        too_large = too_large or seen > most
        while too_large and message.get("more_body") and seen < LINGER * most:
            message = await receive()
            seen += len(message.get("body", b""))
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
