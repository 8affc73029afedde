"""`serenanet serve` from its first line to its end."""

import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest

from serenanet_modules import cli
from serenanet_modules.errors import UserError
from serenanet_modules.server import run, service
from tests.support.serving import URL, until
from tests.support.tiny import ROOT


def test_a_server_and_its_end(tiny, clips, transcripts, tmp_path):
    """SIGTERM: what has begun to arrive is still answered, what is new is not, and the status is 0."""
    command = [sys.executable, "-m", "serenanet_modules.cli", "serve", f"demo={tiny[1]}", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as server:
        try:
            name, port = re.match(r"(\S+) at http://127\.0\.0\.1:(\d+) ", server.stdout.readline()).groups()
            with urlopen(f"http://127.0.0.1:{port}/v1/models") as answer:
                assert name == json.load(answer)["data"][0]["id"] == "demo"
            body = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            body += clips[0].read_bytes() + b"\r\n--x--\r\n"
            head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            with socket.create_connection(("127.0.0.1", int(port))) as connection:
                connection.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:1000])
                until(lambda: _inside(port), "the request to be seen", 60)
                server.send_signal(signal.SIGTERM)
                until(lambda: _is_closed(port), "the server to refuse connections", 60)
                connection.sendall(body[1000:])
                answer = connection.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 200") and transcripts[0].text.encode() in answer
            assert server.wait(60) == 0
        finally:
            server.kill()


@pytest.mark.parametrize("drips", [False, True])
def test_an_upload_that_stops_does_not_hold_the_end_up(live, monkeypatch, drips):
    """After the signal, half an upload gets a short while, and a reason; also one that goes on byte by byte."""
    monkeypatch.setattr(service, "LAST_BYTES", 1e9)
    with live(idle_seconds=60.0) as address:
        host, port = urlsplit(address).netloc.split(":")
        connection = socket.create_connection((host, int(port)), timeout=30)
        head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        connection.sendall(f"{head}Content-Length: 1000000\r\n\r\n--x".encode())
        until(lambda: _inside(port), "the request to be seen", 60)
        threading.Thread(target=_drip, args=(connection,), daemon=True).start() if drips else None
    answer = connection.makefile("rb").read()  # the server has ended by then
    connection.close()
    assert answer.startswith(b"HTTP/1.1 503") and b"shutting_down" in answer


def _drip(connection):
    with contextlib.suppress(OSError):
        while True:
            connection.sendall(b"-")
            time.sleep(0.2)


def test_answers_are_not_held_back():
    """The socket hands small packets on at once; what is accepted on it does too."""
    with run.listen("127.0.0.1", 0) as listener, socket.create_connection(listener.getsockname()):
        accepted, _ = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def _inside(port):
    """Whether uvicorn has handed the request on; a request of its own has then been through after it."""
    with urlopen(f"http://127.0.0.1:{port}/healthz") as answer:
        return answer.status == 200


def _is_closed(port):
    try:
        socket.create_connection(("127.0.0.1", int(port))).close()
    except ConnectionRefusedError:
        return True
    return False


@pytest.mark.parametrize("host, port", [("127.0.0.1", None), ("no.such.host.invalid", 0), ("127.0.0.1", 99999)])
def test_places_that_are_not_free(host, port):
    """One sentence for a port that is taken, a host that is nobody's, and no port at all."""
    with run.listen("127.0.0.1", 0) as taken, pytest.raises(UserError, match="choose another --port or --host"):
        run.listen(host, taken.getsockname()[1] if port is None else port)


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere"], "nowhere: there is no such folder"),
        (["nowhere", "--token", ""], "--token: is empty"),
        (["nowhere", "--corrections", "nobody/saved"], "--corrections nobody/saved: its parent folder does not exist"),
        (["nowhere", "--corrections", __file__], "test_run.py: is no folder; give another name"),
        (["nowhere", "--token", "sécret"], "the token must be one or more ASCII"),
        (["nowhere", "--max-seconds", "-1"], "'-1' is not a number above 0"),
        (["nowhere", "--max-queue", "none"], "'none' is not a number from 1"),
    ],
)
def test_bad_command_lines(capsys, arguments, words):
    assert cli.main(["serve", "--port", "0", *arguments]) == 2
    error = capsys.readouterr().err
    assert words in error and error.count("\n") == 1


def test_bad_language_models(tiny, capsys, tmp_path):
    """Found before the first request."""
    assert cli.main(["serve", "--port", "0", str(tiny[1]), "--lm", str(tmp_path / "no.arpa")]) == 2
    assert "no.arpa: no such language model" in capsys.readouterr().err
