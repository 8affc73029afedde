"""Several models, a proxy in front, the log, and limits that follow the machine."""

import asyncio
import errno
import http.client
import json
import logging
import os
import shutil
import threading
from collections import namedtuple
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest

from serenanet_modules import cli
from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.server import observed, transcriptions
from serenanet_modules.server.batcher import Batcher
from tests.support.serving import STREAM, URL, Held, post, refused, until
from tests.support.tiny import ROOT

Disk = namedtuple("Disk", "total used free")
VERBOSE = {"response_format": "verbose_json", "stream": "true"}


class Another:
    """The recogniser under another language, which says everything twice."""

    def __init__(self, recognizer):
        self._recognizer, self.settings = recognizer, {**recognizer.settings, "locale": "lg"}

    def __getattr__(self, name):
        return getattr(self._recognizer, name)

    def transcripts(self, sources, *options):
        for found in self._recognizer.transcripts(sources, *options):
            yield replace(found, text=f"{found.text} {found.text}")


# --- several models ---------------------------------------------------------------------------------------------------


def test_several_models(serve, recognizer, clips, transcripts):
    """Each by its name and language; the first where none is named; both are listed; live audio chooses, too."""
    client, text = serve({"first": recognizer, "second": Another(recognizer)}), transcripts[0].text
    content = clips[0].read_bytes()
    listed = client.get("/v1/models").json()["data"]
    assert [(model["id"], model["language"]) for model in listed] == [("first", "sw"), ("second", "lg")]
    assert client.get("/v1/models/second").json()["language"] == "lg"
    for name, expected in (("first", text), ("second", f"{text} {text}"), ("whisper-1", text), ("", text)):
        assert post(client, content, data={"model": name}).json()["text"] == expected
    assert post(client, content, data={"model": "second", "language": "lg"}).status_code == 200
    refused(post(client, content, data={"model": "first", "language": "lg"}), 400, "unsupported_language")
    assert "'first' or 'second'" in refused(post(client, content, data={"model": "third"}), 404, "model_not_found")
    with client.websocket_connect(f"{STREAM}?model=third") as socket:
        assert socket.receive_json()["error"]["code"] == "model_not_found"


@pytest.mark.parametrize(
    "models, words", [(["a/x", "b/x"], "b/x: another model has the same name"), (["=x"], "=x: has no name")]
)
def test_names_of_models(capsys, models, words):
    assert cli.main(["serve", "--port", "0", *models]) == 2
    assert words in capsys.readouterr().err


# --- a proxy ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["", "/asr"])
def test_behind_a_proxy(serve, clips, transcripts, prefix):
    """Whether it cuts off its own path or not."""
    client = serve(root_path="/asr")
    assert client.get(f"{prefix}/").status_code == client.get(f"{prefix}/page/main.js").status_code == 200
    answer = client.post(prefix + URL, files={"file": ("a.mp3", clips[0].read_bytes())})
    assert answer.json()["text"] == transcripts[0].text
    assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/asr"}]


@pytest.mark.parametrize("path", ["asr", "/asr/"])
def test_bad_root_paths(capsys, path):
    assert cli.main(["serve", "--port", "0", "nowhere", "--root-path", path]) == 2
    assert "must begin with / and not end with it" in capsys.readouterr().err


def test_the_unit_file_starts_a_server(capsys):
    """Its command is one that `serenanet` understands, and it runs as nobody that owns anything."""
    unit = (ROOT / "contrib" / "serenanet.service").read_text(encoding="utf-8")
    settings = dict(line.split("=", 1) for line in unit.splitlines() if "=" in line and not line.startswith("#"))
    program, *arguments = settings["ExecStart"].split()
    assert program.endswith("/serenanet")
    assert cli.main([*arguments, "--port", "0"]) == 2
    assert "/srv/serenanet/model: there is no such folder" in capsys.readouterr().err
    assert settings["DynamicUser"] == "yes" and settings["PrivateTmp"] == "yes"


# --- the log ----------------------------------------------------------------------------------------------------------


def test_the_log_is_json_with_numbers(serve, recognizer, clips, caplog):
    """Every request has one, the client's own where it is a word; what fails in it is found by it."""

    class Failing(Another):
        def transcripts(self, sources, *options):
            if any(len(source) != SAMPLE_RATE for source in sources):
                raise RuntimeError("broken")
            yield from recognizer.transcripts(sources, *options)

    formatter = observed.Lines("json")
    lines = []

    class Kept(logging.Handler):
        def emit(self, record):
            lines.append(json.loads(formatter.format(record)))

    handler, root = Kept(), logging.getLogger("serenanet_modules.server")
    root.addHandler(handler)
    caplog.set_level(logging.INFO)
    try:
        client = serve(Failing(recognizer))
        answer = post(client, clips[0].read_bytes(), headers={"X-Request-ID": "abc-1"})
        refused(answer, 500, "failed")
        other = client.get("/healthz", headers={"X-Request-ID": "a b"})
    finally:
        root.removeHandler(handler)
    assert answer.headers["X-Request-ID"] == "abc-1" and len(other.headers["X-Request-ID"]) == 32
    failed, asked, health = (line for line in lines if "request_id" in line)
    assert "RuntimeError: broken" in failed["exception"] and failed["request_id"] == asked["request_id"] == "abc-1"
    assert (asked["method"], asked["path"], asked["status"]) == ("POST", URL, 500) and asked["seconds"] > 0
    assert health["request_id"] == other.headers["X-Request-ID"]
    text = observed.Lines("text").format(logging.makeLogRecord({"msg": "x", "levelname": "INFO"}))
    assert text.endswith("INFO x")


# --- room and time ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "error", "told"),
    [("uvicorn.error", UnicodeDecodeError, False)]
    + [
        (name, error, True)
        for name, error in (("uvicorn.error", ValueError), ("serenanet_modules.x", UnicodeDecodeError))
    ],
)
def test_a_clients_bytes_leave_no_traceback(name, error, told):
    """Of a message of a live session that is no UTF-8, as uvicorn's logger says it; failures of our own have theirs."""
    error = error("utf-8", b"\xff", 0, 1, "invalid") if error is UnicodeDecodeError else error("x")
    record = logging.makeLogRecord(
        {"name": name, "msg": "x", "levelname": "ERROR", "exc_info": (type(error), error, None)}
    )
    assert observed.without_clients_faults(record)
    assert (type(error).__name__ in observed.Lines("text").format(record)) == told


def test_the_limit_follows_the_disk(serve, clips, monkeypatch):
    """An eighth of what is free, or less where the operator says so; a disk that fills up is a refusal."""
    client, content = serve(), clips[0].read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(0, 0, 8 * len(content)))
    assert client.get("/v1/models").json()["data"][0]["max_upload_bytes"] == len(content)
    refused(post(client, content), 413, "upload_too_large")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Disk(0, 0, 8 * len(content) + 80_000))
    assert post(client, content).status_code == 200
    refused(post(serve(max_upload_bytes=1000), content), 413, "upload_too_large")

    for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # a disk, a quota, a limit of the service

        def full(*_, number=number):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(transcriptions.uploads, "read", full)
        refused(post(client, content), 507, "disk_full")


def events(lines):
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


def test_progress(serve, recognizer, clips, transcripts, monkeypatch):
    """None while it waits, then a share; then all that verbose_json has; what is refused at once is no event."""
    monkeypatch.setattr(transcriptions, "PULSE", 0.01)
    held = Held(recognizer)
    client = serve(held)
    threading.Timer(0.3, held.go.set).start()
    with client.stream("POST", URL, files={"file": ("a", clips[0].read_bytes())}, data=VERBOSE) as answer:
        *told, done = events(answer.iter_lines())
    assert told and {event["type"] for event in told} == {"transcript.progress"}
    shares = [event["share"] or 0.0 for event in told]
    assert shares == sorted(shares) and 0 <= shares[-1] <= 1
    assert done["type"] == "transcript.text.done" and done["text"] == transcripts[0].text and done["segments"]
    bad = client.post(URL, files={"file": ("a", b"no audio")}, data=VERBOSE)
    refused(bad, 400, "invalid_audio")


def test_the_wait_for_others_is_no_delay_of_ones_own(serve, recognizer, clips):
    """What waits has as much longer as the audio before it lasts."""
    client = serve(Held(recognizer), timeout=0.2)
    service = client.app.state.service
    service.model().recognizer.go.set()
    service.model().batcher._in_work = [Waiting(1000.0)]
    assert service.patience_seconds == pytest.approx(1000.2)
    assert post(client, clips[0].read_bytes()).status_code == 200


class Waiting:
    gone = False

    def __init__(self, seconds):
        self.seconds = seconds


def test_a_cancelled_job_stops_in_the_middle():
    """The network reads no more of what nobody waits for."""
    steps, go = [], threading.Event()

    def recognise(sources, heard):
        for step in range(1000):
            go.wait(60)
            heard.update(0.001)
            steps.append(step)
        return [None] * len(sources)

    async def main():
        batcher = Batcher(recognise, 10.0)
        job = batcher.submit(np.zeros(SAMPLE_RATE, np.float32))
        waiting = asyncio.ensure_future(batcher.result(job))
        while not batcher._in_work:
            await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert batcher.seconds == 0
        batcher.close()

    asyncio.run(main())
    assert steps == []


def test_a_client_that_leaves_its_events(live, recognizer, clips):
    """Frees its place, though the answer had begun."""
    fields = "".join(f'--x\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in VERBOSE.items())
    head = f'{fields}--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body = head.encode() + clips[0].read_bytes() + b"\r\n--x--\r\n"

    def asked(address):
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=30)
        connection.request("POST", URL, body, {"Content-Type": "multipart/form-data; boundary=x"})
        return connection, connection.getresponse()

    with live(held := Held(recognizer), max_queue=1) as address:
        connection, answer = asked(address)
        assert b"progress" in answer.readline() and asked(address)[1].status == 429
        answer.close()
        connection.close()
        until(lambda: asked(address)[1].status == 200, "the place to be free", 30)
        held.go.set()
