"""The protocol of live sessions."""

import base64
import json
import threading
import time

import numpy as np
import pytest
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect
from websockets.sync.client import connect

from serenanet_modules.data.audio import load
from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.server import app
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.serving import STREAM, Counting, until

FINISH = {"type": "finish"}


@pytest.fixture
def streaming(serve, monkeypatch):
    """A client of a server whose model streams."""
    monkeypatch.setattr(app, "Streamer", Counting)
    return serve


def pcm(clip):
    return (load(clip) * 2**15).round().clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


def ending(socket, closing, code):
    """The error and the close code that end a session."""
    message = socket.receive_json()
    while message["type"] == "partial":
        message = socket.receive_json()
    assert message["type"] == "error" and message["error"]["code"] == code and message["error"]["message"]
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == closing


@pytest.mark.parametrize("size", [999, 16000, 10**9])
def test_a_session(streaming, recognizer, clips, size):
    """Partial texts when they change, then the transcript of all samples, wherever messages are cut."""
    data, client = pcm(clips[0]), streaming()
    expected = recognizer.transcribe([np.frombuffer(data, "<i2").astype(np.float32) / 2**15])[0]
    with client.websocket_connect(STREAM) as socket:
        for at in range(0, len(data), size):
            socket.send_bytes(data[at : at + size])
        socket.send_json(FINISH)
        said = []
        while (message := socket.receive_json())["type"] == "partial":
            said.append(message["text"])
        assert said == sorted(set(said), key=said.index) and said[-1] == f"{len(data) // 2000} thousand"
        assert message["type"] == "final" and message["text"] == expected.text
        assert [w["start"] for w in message["words"]] == [w.start for w in expected.words]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1000


def test_a_model_that_streams(serve, clips, tmp_path):
    """What is heard piece by piece is what the model hears in the whole recording."""
    small = [("d_model", "24"), ("n_mels", "40"), ("features.n_fft", "512"), ("encoder.n_layers", "2")]
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *small, ("encoder.d_ffn", "32"))
    recognizer, data = Recognizer.from_folder(folder), pcm(clips[0])
    (expected,) = recognizer.transcribe([np.frombuffer(data, "<i2").astype(np.float32) / 2**15])
    client = serve(recognizer)
    assert expected.text and client.get("/v1/models").json()["data"][0]["streaming"] is True
    with client.websocket_connect(STREAM) as socket:
        for at in range(0, len(data), 7001):
            socket.send_bytes(data[at : at + 7001])
        socket.send_json(FINISH)
        messages = [socket.receive_json()]
        while messages[-1]["type"] == "partial":
            messages.append(socket.receive_json())
    assert len(messages) > 1 and messages[-1]["text"] == expected.text
    assert [word["word"] for word in messages[-1]["words"]] == [word.text for word in expected.words]


def test_messages_that_come_meanwhile_are_read_together(live, recognizer, clips, monkeypatch):
    """Many small messages cost no more steps than the network has time for; none is lost."""
    go, sizes, data = threading.Event(), [], pcm(clips[0])

    class Slow(Counting):
        def feed(self, samples):
            sizes.append(len(samples))
            go.wait(60)
            return super().feed(samples)

    monkeypatch.setattr(app, "Streamer", Slow)
    with live() as address, connect(address.replace("http", "ws") + STREAM) as socket:
        for at in range(0, 25 * 640, 640):
            socket.send(data[at : at + 640])
        until(lambda: sizes, "the first message to be read", 60)
        time.sleep(0.2)  # the others arrive, too
        go.set()
        socket.send(json.dumps(FINISH))
        while (message := json.loads(socket.recv(60)))["type"] == "partial":
            pass
    assert message["type"] == "final" and sum(sizes) == 25 * 320 and len(sizes) <= 5


@pytest.mark.parametrize("text", ["no json", "[]", '{"type": "stop"}', "7"])
def test_other_messages(streaming, text):
    with streaming().websocket_connect(STREAM) as socket:
        socket.send_text(text)
        ending(socket, 1003, "invalid_message")


def test_a_model_that_cannot_stream(serve, monkeypatch):
    """It says so, here and in the list of models."""

    def refuse(recognizer):
        raise UserError("the encoder reads the whole recording; use a causal one")

    monkeypatch.setattr(app, "Streamer", refuse)
    client = serve()
    assert client.get("/v1/models").json()["data"][0]["streaming"] is False
    with client.websocket_connect(STREAM) as socket:
        ending(socket, 1003, "cannot_stream")


def test_too_much_or_nothing(streaming):
    with streaming(max_seconds=1.0).websocket_connect(STREAM) as socket:
        socket.send_bytes(bytes(32002))
        ending(socket, 1008, "audio_too_long")
    with streaming(idle_seconds=0.05).websocket_connect(STREAM) as socket:
        ending(socket, 1008, "idle")


def test_too_many_sessions(streaming):
    """A place is free again when a session ends, however it ends."""
    client = streaming(max_live=1)
    with client.websocket_connect(STREAM):
        with client.websocket_connect(STREAM) as second:
            ending(second, 1013, "busy")
    while client.app.state.service.live:
        pass
    with client.websocket_connect(STREAM) as failing:
        failing.send_bytes(bytes(2 * 10**6 + 2))
        ending(failing, 1011, "failed")
    with client.websocket_connect(STREAM) as third:
        third.send_json(FINISH)
        assert third.receive_json()["type"] in ("final", "error")


def _subprotocols(token):
    return ["serenanet", "bearer." + base64.urlsafe_b64encode(token.encode()).decode().rstrip("=")]


def test_tokens(streaming):
    """By header for programs, by subprotocol for browsers; without, there is no connection at all."""
    client = streaming(token="a/b=?")
    with client.websocket_connect(STREAM, headers={"Authorization": "Bearer a/b=?"}):
        pass
    with client.websocket_connect(STREAM, subprotocols=_subprotocols("a/b=?")) as socket:
        assert socket.accepted_subprotocol == "serenanet"
    for wrong in ([], ["serenanet"], _subprotocols("other"), ["serenanet", "bearer.!"]):
        with pytest.raises(WebSocketDenialResponse) as denied:
            client.websocket_connect(STREAM, subprotocols=wrong).__enter__()
        assert denied.value.status_code == 401 and denied.value.json()["error"]["code"] == "invalid_api_key"


def test_pages_of_other_servers(streaming):
    """Without a token a browser must have the page from here, under a name that leads here by right."""
    client = streaming(hosts=("TestServer",))
    with client.websocket_connect(STREAM, headers={"Origin": "http://testserver"}):
        pass
    for options, origin, code in (
        ({"hosts": ("testserver",)}, "http://evil.example", "foreign_origin"),
        ({"hosts": ("testserver",)}, "null", "foreign_origin"),
        ({}, "http://testserver", "unknown_host"),
    ):
        with pytest.raises(WebSocketDenialResponse) as denied:
            streaming(**options).websocket_connect(STREAM, headers={"Origin": origin}).__enter__()
        assert denied.value.status_code == 403 and denied.value.json()["error"]["code"] == code


def test_the_end_of_the_server(streaming, clips):
    """An open session gets its transcript, a new one is refused."""
    client = streaming()
    with client.websocket_connect(STREAM) as socket:
        socket.send_bytes(pcm(clips[0]))
        assert socket.receive_json()["type"] == "partial"
        client.portal.call(client.app.state.service.stop)
        assert socket.receive_json()["type"] == "final"
    with pytest.raises(WebSocketDenialResponse) as denied:
        client.websocket_connect(STREAM).__enter__()
    assert denied.value.status_code == 503
