"""What the server refuses, and that nothing it is sent takes it down."""

import http.client
import itertools
import random
import socket
import struct
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest

from serenanet_modules.server import uploads
from tests.support.serving import URL, Held, post, refused, sound, until

# --- token ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given", [None, "secret", "Bearer", "Bearer wrong", "Basic secret", "Bearer secre", "Bearer s\xe9"]
)
def test_wrong_tokens(serve, clips, given):
    """Refused before the body is read, everywhere but at what shows nothing."""
    client = serve(token="secret")
    headers = {} if given is None else {"Authorization": given.encode("latin-1")}
    for response in (
        post(client, clips[0].read_bytes(), headers=headers),
        client.get("/v1/models", headers=headers),
        client.get("/metrics", headers=headers),
    ):
        refused(response, 401, "invalid_api_key")
        assert response.headers["WWW-Authenticate"] == "Bearer"
    assert client.get("/healthz").status_code == client.get("/").status_code == 200


def test_the_right_token(serve, clips, transcripts):
    headers, token = {"Authorization": "bearer  a/b=?"}, "a/b=?"
    response = post(serve(token=token), clips[0].read_bytes(), headers=headers)
    assert response.json()["text"] == transcripts[0].text


# --- size and duration ------------------------------------------------------------------------------------------------


def test_too_many_bytes(serve, clips):
    """With and without an announced length; what just fits is taken."""
    client = serve(max_upload_bytes=100_000)
    refused(post(client, bytes(100_000)), 413, "upload_too_large")

    def chunks():
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield from (bytes(10_000) for _ in range(20))

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    refused(client.post(URL, content=chunks(), headers=headers), 413, "upload_too_large")
    assert post(client, clips[0].read_bytes()).status_code == 200


def test_the_sender_of_too_much_sees_why(live, clips):
    """On a real connection the refusal arrives, whatever is still being sent; one that goes on for ever is cut off."""
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    with live(max_upload_bytes=100_000) as address:
        for announced in (True, False):
            connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
            body = head + bytes(300_000) if announced else iter([head] + [bytes(30_000)] * 10)
            connection.request("POST", URL, body, {"Content-Type": "multipart/form-data; boundary=x"})
            assert connection.getresponse().status == 413
            connection.close()
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)
        with pytest.raises(OSError):
            endless = itertools.chain([head], itertools.repeat(bytes(30_000)))
            connection.request("POST", URL, endless, {"Content-Type": "multipart/form-data; boundary=x"})
        connection.close()


def test_too_long(serve, tmp_path):
    """Told while decoding: a flac of two hours of silence is small, and a wav header may say anything."""
    client = serve(max_seconds=5.0)
    assert post(client, sound(tmp_path / "a.wav", 4.9)).status_code == 200
    assert "longer than 5 s" in refused(post(client, sound(tmp_path / "b.wav", 5.1)), 413, "audio_too_long")
    bomb = sound(tmp_path / "c.flac", 7200, 1000)
    assert len(bomb) < 200_000
    refused(post(client, bomb), 413, "audio_too_long")
    header = bytearray(sound(tmp_path / "d.wav", 1))
    struct.pack_into("<II", header, 24, 1000, 2000)  # samples and bytes per second: 16 s
    refused(post(client, bytes(header)), 413, "audio_too_long")


# --- queue and time ---------------------------------------------------------------------------------------------------


def test_a_full_queue(serve, recognizer, clips, transcripts):
    """One too many is told to come back; those inside get their answers, and then there is room again."""
    held = Held(recognizer)
    client = serve(held, max_queue=3)
    with ThreadPoolExecutor(3) as pool:
        inside = [pool.submit(post, client, clips[i].read_bytes()) for i in range(3)]
        service = client.app.state.service
        while service.admission.count < 3:
            time.sleep(0.01)
        response = post(client, clips[0].read_bytes())
        refused(response, 429, "queue_full")
        assert int(response.headers["Retry-After"]) >= 1
        held.go.set()
        assert [job.result().json()["text"] for job in inside] == [t.text for t in transcripts[:3]]
    assert post(client, clips[0].read_bytes()).status_code == 200


def test_too_slow(serve, recognizer, clips):
    held = Held(recognizer)
    client = serve(held, timeout=0.3)
    response = post(client, clips[0].read_bytes())
    refused(response, 503, "timeout")
    assert int(response.headers["Retry-After"]) >= 1
    held.go.set()


def test_after_the_signal(serve, clips):
    """What is new is refused, and health says so."""
    client = serve()
    client.app.state.service.stop()
    refused(post(client, clips[0].read_bytes()), 503, "shutting_down")
    assert client.get("/healthz").status_code == 503


# --- files ------------------------------------------------------------------------------------------------------------


def test_names_are_ours_and_files_are_gone(serve, clips, tmp_path, monkeypatch):
    """The client's file name never reaches the file system, and nothing stays there."""
    seen, blocks = [], uploads.blocks
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(uploads, "blocks", lambda path: seen.append(path) or blocks(path))
    client, big = serve(max_seconds=60), sound(tmp_path / "big.wav", 50, 48000)  # beyond what is kept in memory
    (tmp_path / "big.wav").unlink()
    for content in (clips[0].read_bytes(), b"no audio", big):
        for name in ("../../evil.wav", "/etc/passwd", "a\0b", "x" * 5000):
            assert post(client, content, name).status_code in (200, 400)
    assert len(seen) >= 6 and not list(tmp_path.iterdir())
    for path in seen:
        assert path.parent == tmp_path and path.name.startswith("serenanet-")


def test_damaged_files(serve, clips, transcripts, tmp_path):
    """Whatever is done to a file, the answer is a transcript or a refusal, and the server works on."""
    client, rng = serve(max_seconds=60.0), random.Random(0)
    files = [clips[0].read_bytes()]
    for name, rate in (("a.wav", 8000), ("a.flac", 44100), ("a.ogg", 48000)):
        files.append(sound(tmp_path / name, 0.5, rate, 2))
    files.append(b"\x1aE\xdf\xa3" + rng.randbytes(500))  # what ffmpeg reads
    for content in files:
        for _ in range(12):
            damaged = bytearray(content[: rng.randrange(1, len(content) + 1)])
            for _ in range(rng.randrange(20)):
                damaged[rng.randrange(min(200, len(damaged)))] = rng.randrange(256)
            response = post(client, bytes(damaged))
            if response.status_code != 200:
                refused(response, response.status_code, response.json()["error"]["code"])
                assert response.status_code in (400, 413)
    assert post(client, clips[0].read_bytes()).json()["text"] == transcripts[0].text


def test_a_client_that_leaves(live, recognizer, clips):
    """In the middle of its upload, or before its answer: its place is free again."""
    held = Held(recognizer)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    form += clips[0].read_bytes() + b"\r\n--x--\r\n"
    head = f"POST {URL} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n"
    head = f"{head}Content-Length: {len(form)}\r\n\r\n".encode()
    with live(held, max_queue=1) as address:
        host, port = urlsplit(address).netloc.split(":")

        def ask(content):
            connection = socket.create_connection((host, int(port)), timeout=60)
            connection.sendall(head + content)
            return connection

        def answered():
            with ask(form) as connection:
                return b" 200 " in connection.recv(1000).split(b"\r\n")[0]

        def leaves():
            with ask(form):
                return held.began.wait(1)

        ask(form[:500]).close()
        until(leaves, "the place of the first to be free", 60)
        held.go.set()
        until(answered, "that of the second to be free", 60)
