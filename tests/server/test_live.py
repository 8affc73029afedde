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
from serenanet_modules.inference.endpointing import NONE, Rules
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.server import app
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.serving import STREAM, Counting, until

FINISH = {"type": "finish"}
SMALL = [("d_model", "24"), ("n_mels", "40"), ("features.n_fft", "512"), ("encoder.n_layers", "2")]
FAST = [
    *[("encoder.n_layers", "1"), ("encoder.n_heads", "2"), ("encoder.d_ffn", "32"), ("encoder.look_aheads", "[3, 0]")],
    *[("encoder.left_context", "8"), ("frontend.filters", "8"), ("units", "char"), *SMALL[:3]],
]


@pytest.fixture
def streaming(serve, monkeypatch):
    """A client of a server whose model streams."""
    monkeypatch.setattr(app, "LiveStream", Counting)
    return serve


def pcm(clip):
    return (load(clip) * 2**15).round().clip(-(2**15), 2**15 - 1).astype("<i2").tobytes()


def ending(socket, closing, code):
    """The error and the close code that end a session; what came before, by type."""
    before, message = {}, socket.receive_json()
    while message["type"] in ("partial", "final", "done"):
        before[message["type"]] = message
        message = socket.receive_json()
    assert message["type"] == "error" and message["error"]["code"] == code and message["error"]["message"]
    with pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == closing
    return before


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
        done = socket.receive_json()
        assert (message["type"], message["id"], done["type"]) == ("final", 0, "done")
        for found in (message, done):
            assert found["text"] == expected.text and found["segments"][0]["text"] == expected.text
            assert [w["start"] for w in found["words"]] == [w.start for w in expected.words]
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 1000


def test_a_model_that_streams(serve, clips, tmp_path):
    """What is heard piece by piece is what the model hears in the whole recording."""
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *SMALL)
    recognizer, data = Recognizer.from_folder(folder), pcm(clips[0])
    (expected,) = recognizer.transcribe([np.frombuffer(data, "<i2").astype(np.float32) / 2**15])
    client = serve(recognizer)
    assert expected.text and client.get("/v1/models").json()["data"][0]["streaming"] is True
    with client.websocket_connect(STREAM) as socket:
        for at in range(0, len(data), 7001):
            socket.send_bytes(data[at : at + 7001])
        socket.send_json(FINISH)
        messages = [socket.receive_json()]
        while messages[-1]["type"] != "done":
            messages.append(socket.receive_json())
    *partial, final, done = messages
    assert {message["type"] for message in partial} == {"partial"} and partial[-1]["id"] == final["id"] == 0
    assert final["type"] == "final" and final["text"] == done["text"] == expected.text
    assert (final["start"], final["end"]) == (expected.segments[0].start, expected.segments[0].end)
    assert [word["word"] for word in final["words"]] == [word.text for word in expected.words]


def test_sentences(serve, clips, tmp_path):
    """Each is a final by itself, partial texts are of the open one; together they are all that there is."""
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *SMALL)
    recognizer, samples = Recognizer.from_folder(folder), np.concatenate([load(clip) for clip in clips[:3]])
    (expected,) = recognizer.transcribe([samples], piece_seconds=2.0)
    assert len(expected.segments) > 2
    settings = "rule1_min_trailing_silence=inf&rule2_min_trailing_silence=inf&rule3_min_utterance_length=2"
    data, client = (samples * 2**15).round().clip(-(2**15), 2**15 - 1).astype("<i2").tobytes(), serve(recognizer)
    with client.websocket_connect(f"{STREAM}?{settings}") as socket:
        for at in range(0, len(data), 7001):
            socket.send_bytes(data[at : at + 7001])
        socket.send_json(FINISH)
        messages = [socket.receive_json()]
        while messages[-1]["type"] != "done":
            messages.append(socket.receive_json())
    finals, number = [message for message in messages if message["type"] == "final"], 0
    assert [final["id"] for final in finals] == [*range(len(finals))] and len(finals) == len(expected.segments)
    assert " ".join(final["text"] for final in finals) == messages[-1]["text"]
    assert sum((final["words"] for final in finals), []) == messages[-1]["words"]
    for message in messages[:-1]:
        assert message["id"] == number
        number += message["type"] == "final"


def test_settings_of_a_session(serve, monkeypatch):
    """They reach the stream; what is unknown, twice there or no value is named."""
    given = []

    class Told(Counting):
        def __init__(self, *arguments, **more):
            super().__init__(*arguments, **more)
            given.append(self.given)

    monkeypatch.setattr(app, "LiveStream", Told)
    usual = Rules(rule2_min_trailing_silence=0.5)
    for client, query, expected in (
        (serve(rules=usual), "", (usual, None, None)),
        (serve(rules=usual), "?look_ahead=480&rule1_min_trailing_silence=3", (Rules(3.0, 0.5), 480, None)),
        (serve(rules=usual), "?enable_endpoint_detection=false", (NONE, None, None)),
        (serve(rules=NONE), "", (NONE, None, None)),
        (serve(rules=NONE), "?enable_endpoint_detection=true", (Rules(), None, None)),
        (serve(rules=NONE), "?rule1_min_trailing_silence=3", (Rules(3.0), None, None)),
    ):
        with client.websocket_connect(STREAM + query) as socket:
            socket.send_json(FINISH)
            assert socket.receive_json()["type"] == "done" and given[-1] == expected
    for query, name, code in (
        ("?lookahead=480", "lookahead", "unknown_parameter"),
        ("?look_ahead=much", "look_ahead", "invalid_value"),
        ("?look_ahead=1&look_ahead=2", "look_ahead", "invalid_value"),
        ("?enable_endpoint_detection=perhaps", "enable_endpoint_detection", "invalid_value"),
        ("?rule1_min_trailing_silence=nan", None, "invalid_value"),
    ):
        with client.websocket_connect(STREAM + query) as socket:
            ending(socket, 1003, code)
        with client.websocket_connect(STREAM + query) as socket:
            assert socket.receive_json()["error"]["param"] == name


def test_a_look_ahead(serve, tmp_path):
    """One that the model has is taken, another is refused without a word about the server's folders."""
    folder = make_random_result(tmp_path / "run", preset("fast_conformer_streaming"), *FAST)
    client = serve(Recognizer.from_folder(folder))
    with client.websocket_connect(STREAM + "?look_ahead=0") as socket:
        socket.send_json(FINISH)
        assert socket.receive_json()["type"] == "done"
    with client.websocket_connect(STREAM + "?look_ahead=81") as socket:
        message = socket.receive_json()["error"]["message"]
    assert message.startswith("a look-ahead of 81 ms is not") and str(tmp_path) not in message


def test_messages_that_come_meanwhile_are_read_together(live, recognizer, clips, monkeypatch):
    """Many small messages cost no more steps than the network has time for; none is lost."""
    go, sizes, data = threading.Event(), [], pcm(clips[0])

    class Slow(Counting):
        def feed(self, samples):
            sizes.append(len(samples))
            go.wait(60)
            return super().feed(samples)

    monkeypatch.setattr(app, "LiveStream", Slow)
    with live() as address, connect(address.replace("http", "ws") + STREAM) as socket:
        for at in range(0, 25 * 640, 640):
            socket.send(data[at : at + 640])
        until(lambda: sizes, "the first message to be read", 60)
        time.sleep(0.2)  # the others arrive, too
        go.set()
        socket.send(json.dumps(FINISH))
        while (message := json.loads(socket.recv(60)))["type"] in ("partial", "final"):
            pass
    assert message["type"] == "done" and sum(sizes) == 25 * 320 and len(sizes) <= 5


@pytest.mark.parametrize(
    "text",
    ["no json", "[]", '{"type": "stop"}', '{"type": "finish", "flush": true}', "7", "[" * 100_000, '{"a":' * 100_000],
)
def test_other_messages(streaming, clips, text):
    """However deep, they end the session with a reason, behind what was heard."""
    with streaming().websocket_connect(STREAM) as socket:
        socket.send_bytes(pcm(clips[0]))
        socket.send_text(text)
        assert ending(socket, 1003, "invalid_message")["done"]["text"]


def test_a_model_that_cannot_stream(serve, monkeypatch):
    """It says so, here and in the list of models."""

    def refuse(*_):
        raise UserError("the encoder reads the whole recording; use a causal one")

    monkeypatch.setattr(app, "LiveStream", refuse)
    client = serve()
    assert client.get("/v1/models").json()["data"][0]["streaming"] is False
    with client.websocket_connect(STREAM) as socket:
        ending(socket, 1003, "cannot_stream")


def test_what_can_stream_is_named(serve):
    """To whoever asks a model that reads whole recordings for a stream."""
    with serve().websocket_connect(STREAM) as socket:
        error = socket.receive_json()["error"]
    assert error["code"] == "cannot_stream" and error["message"].startswith("this model cannot stream: ")
    assert "; to stream, train ssm.yaml, " in error["message"]


def test_too_much_or_nothing(streaming, recognizer, clips):
    """The sentence that a limit ends is said, with its words, before the reason."""
    data = pcm(clips[0])
    for options, closing, heard in (
        ({"max_seconds": 1.0}, "audio_too_long", data[:32000]),
        ({"idle_seconds": 0.2}, "idle", data),
    ):
        (expected,) = recognizer.transcribe([np.frombuffer(heard, "<i2").astype(np.float32) / 2**15])
        with streaming(**options).websocket_connect(STREAM) as socket:
            socket.send_bytes(data)
            before = ending(socket, 1008, closing)
        for found in (before["final"], before["done"]):
            assert (found["text"], found["duration"]) == (expected.text, pytest.approx(expected.duration))
            assert [word["word"] for word in found["words"]] == [word.text for word in expected.words] != []


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
        assert third.receive_json()["type"] == "done"


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
        assert [socket.receive_json()["type"] for _ in range(2)] == ["final", "done"]
    with pytest.raises(WebSocketDenialResponse) as denied:
        client.websocket_connect(STREAM).__enter__()
    assert denied.value.status_code == 503


def test_hotwords_and_other_texts(serve, clips, tmp_path):
    """As parameters of the address; a final lists what `transcribe` lists."""
    folder = make_random_result(tmp_path / "run", preset("conmamba_causal/small"), *SMALL)
    recognizer, data = Recognizer.from_folder(folder), pcm(clips[0])
    wishing = recognizer.wishing(hotwords=(("baba", 120.0),), nbest=2)
    (expected,) = wishing.transcribe([np.frombuffer(data, "<i2").astype(np.float32) / 2**15])
    with serve(recognizer).websocket_connect(f"{STREAM}?hotwords=baba&hotword_weight=30&nbest=2") as socket:
        socket.send_bytes(data)
        socket.send_json(FINISH)
        while (message := socket.receive_json())["type"] == "partial":
            pass
    listed = [alternative["text"] for alternative in message["segments"][0]["alternatives"]]
    assert listed == [alternative.text for alternative in expected.segments[0].alternatives] and len(listed) == 2


@pytest.mark.parametrize("asked", ["hotwords=,", "hotwords=saa&hotword_weight=0", "nbest=0", "nbest=x"])
def test_wishes_that_cannot_be(streaming, asked):
    with streaming().websocket_connect(f"{STREAM}?{asked}") as socket:
        ending(socket, 1003, "invalid_value")
