"""What strangers on a network do to a server, on real connections: it refuses them, and serves the others meanwhile."""

import contextlib
import http.client
import random
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
import soundfile
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from serenanet_modules.data.audio import blocks
from serenanet_modules.server import app
from tests.support.serving import STREAM, URL, Counting, post, refused, sound

FORM = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
UPLOAD = (
    f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: %d\r\n\r\n"
)


def dial(address):
    host, port = urlsplit(address).netloc.split(":")
    return socket.create_connection((host, int(port)), timeout=30)


def answer(connection):
    """All that the server sends until it hangs up, which it must."""
    received = b""
    with contextlib.suppress(ConnectionError):
        while data := connection.recv(1 << 16):
            received += data
    return received


def trickle(connection, bites, pause=0.05):
    """Send bite after bite, until the server hangs up or there is no more."""
    with contextlib.suppress(ConnectionError):
        for bite in bites:
            connection.sendall(bite)
            time.sleep(pause)


def healthy(address):
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
    connection.request("GET", "/healthz")
    return connection.getresponse().status == 200


# --- slow ones --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        (),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n",),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n", *[b"A: b\r\n"] * 200),
        (b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /"),
        (b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 999\r\n\r\n", *[b"x"] * 200),
    ],
)
def test_slow_heads(live, sent):
    """Nothing, half a head, one line after the other, half a second head, and a body that nobody wants."""
    with live(head_seconds=0.5) as address, dial(address) as connection:
        began = time.monotonic()
        trickle(connection, sent)
        answer(connection)
        assert time.monotonic() - began < 9, "the sender decided when it ended"
        assert healthy(address)


def test_slow_bodies(live, clips, transcripts):
    """Both that stop and that hardly go on are told so, and hold their place no longer."""
    with live(idle_seconds=0.5, max_queue=1) as address:
        for bites in ([FORM], [FORM, *[b"x"] * 200]):
            with dial(address) as connection:
                trickle(connection, [(UPLOAD % 10_000).encode(), *bites])
                received = answer(connection)
            assert received.startswith(b"HTTP/1.1 408 ") and b"upload_too_slow" in received
        body = FORM + clips[0].read_bytes() + b"\r\n--x--\r\n"
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        connection.request("POST", URL, body, {"Content-Type": "multipart/form-data; boundary=x"})
        assert transcripts[0].text in connection.getresponse().read().decode()


# --- many -------------------------------------------------------------------------------------------------------------


def test_two_hundred_at_once_half_of_them_garbage(live, clips, transcripts):
    """Every honest one of 100 gets its own text."""
    rng = random.Random(0)
    upload = (UPLOAD % 10**6).encode() + FORM
    garbage = [
        lambda: rng.randbytes(2000),
        lambda: b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),  # TLS
        lambda: b"GET /" + b"a" * 100_000,
        lambda: b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000,
        lambda: b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        lambda: b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nzz",
        lambda: upload + rng.randbytes(rng.randrange(3000)),
        lambda: f"GET {STREAM} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n".encode(),
    ]

    def throw(i):
        with dial(address) as connection:
            trickle(connection, [garbage[i % len(garbage)]()], 0.5)

    def ask(i):
        body = FORM + clips[i % len(clips)].read_bytes() + b"\r\n--x--\r\n"
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=120)
        connection.request("POST", URL, body, {"Content-Type": "multipart/form-data; boundary=x"})
        response = connection.getresponse()
        return response.status, response.read().decode()

    with live(max_queue=200) as address, ThreadPoolExecutor(200) as pool:
        thrown = [pool.submit(throw, i) for i in range(100)]
        asked = [pool.submit(ask, i) for i in range(100)]
        for i, job in enumerate(asked):
            status, text = job.result()
            assert status == 200 and f'"text":"{transcripts[i % len(clips)].text}"' in text
        for job in thrown:
            job.result()
        assert healthy(address)


def test_too_many_connections(live):
    """One more is closed at once; when one has gone there is room again."""
    with live(max_connections=3) as address:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(dial(address))
            time.sleep(0.2)
            with dial(address) as connection:
                assert answer(connection) == b""
        time.sleep(0.2)
        assert healthy(address)


# --- pages of others --------------------------------------------------------------------------------------------------


def test_uploads_of_other_pages(serve, clips):
    """Without a token, a page from elsewhere may not even ask; the server's own and programs may."""
    client, sent = serve(), clips[0].read_bytes()
    for origin, host, code in (
        ("http://evil.example", "127.0.0.1:8000", "foreign_origin"),
        ("null", "127.0.0.1:8000", "foreign_origin"),
        ("http://127.0.0.1:9000", "127.0.0.1:8000", "foreign_origin"),
        ("http://evil.example:8000", "evil.example:8000", "unknown_host"),  # DNS rebinding
        ("http://127.0.0.1.evil.example", "127.0.0.1.evil.example", "unknown_host"),
        ("http://x@127.0.0.1", "x@127.0.0.1", None),
        ("http://[::1]:8000", "[::1]:8000", None),
        ("http://localhost:8000", "localhost:8000", None),
        ("https://192.168.1.5", "192.168.1.5", None),
        (None, "evil.example", None),
    ):
        headers = {"Host": host} | ({} if origin is None else {"Origin": origin})
        response = post(client, sent, headers=headers)
        assert "access-control-allow-origin" not in response.headers
        if code is None:
            assert response.status_code == 200, origin
        else:
            refused(response, 403, code)
    headers = {"Origin": "http://evil.example:8000", "Host": "evil.example:8000"}
    assert post(serve(hosts=("evil.example",)), sent, headers=headers).status_code == 200
    assert post(serve(token="x"), sent, headers={**headers, "Authorization": "Bearer x"}).status_code == 200
    response = client.options(URL, headers={"Origin": "http://evil.example", "Access-Control-Request-Method": "POST"})
    assert response.status_code == 405 and "access-control-allow-origin" not in response.headers


# --- headers and paths ------------------------------------------------------------------------------------------------


def test_nothing_sent_becomes_a_header_or_a_path(live, clips):
    """Line ends in names come back inside of JSON, if at all; no path leads out of the page."""
    evil = "a\r\nSet-Cookie: x=1\r\n\r\n<script>"
    with live() as address:
        for name, value in (("model", evil), ("language", evil), ("response_format", evil), ("include[]", evil)):
            field = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
            body = field + FORM + clips[0].read_bytes() + b"\r\n--x--\r\n"
            with dial(address) as connection:
                connection.sendall((UPLOAD % len(body)).replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n").encode())
                connection.sendall(body)
                head, _, rest = answer(connection).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 4") and b"Set-Cookie" not in head
            assert b"application/json" in head and b"\n" not in rest
        for path in (
            "/page/../guard.py",
            "/page/%2e%2e/guard.py",
            "/page//etc/passwd",
            "/page/..%2f..%2fapp.py",
            "/../../../etc/passwd",
            "/page/%00",
            "/v1/models/../../etc/passwd",
            "/v1/models/a%0d%0aX-A:%20b",
        ):
            with dial(address) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                head, _, rest = answer(connection).partition(b"\r\n\r\n")
            assert (
                head.startswith(b"HTTP/1.1 404 ")
                and b"X-A" not in head
                and b"root:" not in rest
                and b"import" not in rest
            )


# --- live sessions ----------------------------------------------------------------------------------------------------


def test_live_sessions_that_send_too_much(live, monkeypatch):
    """In one message, in one that unfolds, or what is no message at all: closed, and its place is free again."""
    monkeypatch.setattr(app, "LiveStream", Counting)
    with live(max_live=1) as address:
        stream = address.replace("http", "ws") + STREAM
        for data in (bytes(2 * 2**20), bytes(200 * 2**20)):
            with connect(stream, max_size=None) as session, pytest.raises(ConnectionClosed) as closed:
                session.send(data)
                while True:
                    session.recv(timeout=30)
            assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
        for frame in (
            b"\x82\xff" + struct.pack(">Q", 2**62) + bytes(4),  # announces four exabytes
            b"\x82\x05hello",  # not masked
            b"\xff" * 100,
        ):
            with connect(stream) as session:
                session.socket.sendall(frame)
                with pytest.raises(ConnectionClosed):
                    while True:
                        session.recv(timeout=30)
        with connect(stream) as session:
            session.send(bytes(32_000))
            assert "partial" in session.recv(timeout=30)
        with pytest.raises(InvalidStatus):
            connect(stream, origin="http://evil.example")


# --- audio ------------------------------------------------------------------------------------------------------------


def test_headers_that_claim_too_much(serve, clips, transcripts, tmp_path):
    """Memory follows what is there: a wav of 4 GB, of any rate, of a thousand channels."""
    client = serve(max_seconds=60.0)
    whole = sound(tmp_path / "a.wav", 1, 16000)
    for at, kind, value in (
        (40, "<I", 0xFFFFFFFF),
        (40, "<I", 0xFFFFFFF0),
        (24, "<I", 0x7FFFFFFF),
        (24, "<I", 1),
        (24, "<I", 0),
        (22, "<H", 1024),
        (22, "<H", 0xFFFF),
        (22, "<H", 0),
        (34, "<H", 0),
    ):
        content = bytearray(whole)
        struct.pack_into(kind, content, at, value)
        response = post(client, bytes(content))
        if response.status_code != 200:
            assert response.status_code in (400, 413), (at, value, response.text)
            assert refused(response, response.status_code, response.json()["error"]["code"])
    assert post(client, clips[0].read_bytes()).json()["text"] == transcripts[0].text


def test_blocks_are_bounded(tmp_path, monkeypatch):
    """However many channels a second has: with eight at 655,350 Hz, half a minute is 630 MB."""
    asked, read = [], soundfile.SoundFile.read
    monkeypatch.setattr(
        soundfile.SoundFile, "read", lambda file, frames, **more: asked.append(frames) or read(file, frames, **more)
    )
    sound(tmp_path / "a.flac", 1, 655350, 8)
    assert sum(map(len, blocks(tmp_path / "a.flac"))) == 16000
    assert asked[0] * 8 * 4 <= 32 * 2**20  # bytes
