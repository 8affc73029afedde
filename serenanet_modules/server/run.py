"""A server from its socket to its end."""

import asyncio
import functools
import ipaddress
import signal
import socket
import time

import uvicorn

from serenanet_modules.errors import UserError
from serenanet_modules.server.protocol import Protocol

LAST_WORDS = 10.0  # seconds that live sessions have for their final text
MESSAGE = 2**20  # largest message of a live session: half a minute of audio


def listen(host, port):
    """An open socket.

    Raises
    ------
    UserError
        For a host that is not this machine's, and a port that is taken, not ours to take, or none.
    """
    try:
        if not 0 <= port < 2**16:
            raise OverflowError("ports are numbers from 0 to 65535")
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.create_server(address[:2], family=family, backlog=2048)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # its connections have it too: answers are small
        return listener
    except (OSError, OverflowError, UnicodeError) as error:  # UnicodeError of a name that none can have
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{host} port {port}: cannot be used ({reason}); choose another --port or --host") from None


def is_loopback(host):
    """Whether only this machine can reach a host.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "example.org")]
    [True, True, True, False, False]
    """
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Server(uvicorn.Server):
    """A uvicorn server that on SIGTERM or SIGINT refuses what is new and finishes what it has begun.

    Parameters
    ----------
    app : FastAPI
        From `make_app`.
    log_level : str
    """

    def __init__(self, app, log_level="info"):
        self._service = app.state.service
        protocol = functools.partial(Protocol, self._service.options)
        settings = {"log_config": None, "access_log": False}  # `observed` has lines of its own
        super().__init__(uvicorn.Config(app, log_level=log_level, http=protocol, ws_max_size=MESSAGE, **settings))

    async def shutdown(self, sockets=None):
        """Live sessions end first: to uvicorn, they are connections to be cut."""
        self._service.stop()
        until = time.monotonic() + LAST_WORDS
        while self._service.live and time.monotonic() < until:
            await asyncio.sleep(0.05)
        await super().shutdown(sockets)


def serve(app, listener):
    """Run until a signal ends it; then return, for a server that was told to end has not failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)  # uvicorn raises what it caught once more when it is done
    Server(app).run(sockets=[listener])
