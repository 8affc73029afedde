"""What becomes of corrected transcripts, and of audio."""

import json
import logging
import os
import tempfile

import pytest

from serenanet_modules.data import custom
from serenanet_modules.data.annotations import formats as annotations
from serenanet_modules.inference import formats
from serenanet_modules.inference.transcript import Segment, Transcript, Word
from serenanet_modules.server import app
from tests.support.serving import STREAM, URL, Counting, post, refused

EXPORT, KEEP = "/v1/export", "/v1/corrections"
WORDS = [{"word": "saa", "start": 0.1, "end": 0.4, "confidence": 0.5}, {"word": "mbili", "start": 0.5, "end": 0.9}]
EDITED = {
    "duration": 1.5,
    "segments": [
        {"start": 0.1, "end": 0.9, "text": "saa mbili", "words": WORDS},
        {"start": 1.0, "end": 1.2, "text": " ", "words": []},
    ],
}


def keep(client, clip, edited=EDITED, name="../Mahojiano ya kijiji.MP3", **options):
    files = {"file": ("a", clip.read_bytes())}
    return client.post(KEEP, files=files, data={"name": name, "transcript": json.dumps(edited)}, **options)


@pytest.mark.parametrize("name", formats.SUFFIXES)
def test_every_format(serve, name):
    """As `serenanet transcribe` writes it; nothing in it tells of the server's folders."""
    answer = serve().post(EXPORT, json={**EDITED, "format": name, "name": "/x/clip.mp3"})
    words = (Word("saa", 0.1, 0.4, 0.5), Word("mbili", 0.5, 0.9, 1.0))
    expected = Transcript("saa mbili", 1.5, (Segment("saa mbili", 0.1, 0.9, 0.75, words, ()),))
    written = formats.write(expected, name, "/clip.mp3" if name == "eaf" else "clip.mp3")
    assert answer.status_code == 200
    same = [line for line in written.splitlines() if "DATE=" not in line]
    assert [line for line in answer.text.splitlines() if "DATE=" not in line] == same
    assert os.getcwd() not in answer.text


@pytest.mark.parametrize("words", [[], WORDS[:1]], ids=["none", "another's"])
@pytest.mark.parametrize("name", ["srt", "vtt", "ctm", "words", "textgrid", "eaf"])
def test_no_text_is_lost(serve, name, words):
    """Of a segment without words, or with words that are not its text's: those of the text share its time."""
    segment = {"start": 0.5, "end": 1.3, "text": "saa mbili", "words": words}
    answer = serve().post(EXPORT, json={"duration": 1.5, "segments": [segment], "format": name, "name": "x.mp3"})
    assert answer.status_code == 200 and "saa" in answer.text and "mbili" in answer.text
    if name == "ctm":
        assert [line.split()[2:5] for line in answer.text.splitlines()] == [
            ["0.500", "0.300", "saa"],
            ["0.800", "0.500", "mbili"],
        ]


@pytest.mark.parametrize(
    "change, words",
    [
        ({"format": "docx"}, "format"),
        ({"segments": [{"start": 1, "end": 0.5, "text": "x"}]}, "from 1 to 0.5 s"),
        ({"segments": [{"start": 0, "end": 99, "text": "x"}]}, "of 1.5 s"),
        ({"segments": [{"start": 0, "end": 1e9, "text": "x"}]}, "less than"),
        ({"segments": [{"start": 0, "end": 1, "text": "x", "tokens": []}]}, "tokens"),
        ({"duration": "NaN"}, "duration"),
    ],
)
def test_what_cannot_be_exported(serve, change, words):
    message = refused(serve().post(EXPORT, json={"format": "txt", **EDITED, **change}), 400, "invalid_value")
    assert words in message


def test_a_body_is_bounded(serve, monkeypatch):
    monkeypatch.setattr("serenanet_modules.server.guard.TEXT", 1000)
    edited = {"format": "txt", "duration": 1, "segments": [{"start": 0, "end": 1, "text": "x" * 2000}]}
    refused(serve().post(EXPORT, json=edited), 413, "upload_too_large")


def test_what_is_kept_is_a_corpus(serve, clips, tmp_path):
    """The audio as it came and an ELAN file of what is said; the same recording again takes its place."""
    client = serve(corrections=tmp_path / "made")  # by the server
    tmp_path = tmp_path / "made"
    assert client.get("/v1/models").json()["data"][0]["corrections"] is True
    first = keep(client, clips[0])
    other = keep(client, clips[1])
    changed = {**EDITED, "segments": [{"start": 0.1, "end": 0.9, "text": "saa  tatu"}]}
    again = keep(client, clips[0], changed, name="another name.mp3")
    assert [answer.status_code for answer in (first, other, again)] == [201, 201, 201]
    assert first.json() == again.json() != other.json()
    assert first.json()["audio"].startswith("Mahojiano_ya_kijiji-") and first.json()["audio"].endswith(".mp3")
    assert (tmp_path / first.json()["audio"]).read_bytes() == clips[0].read_bytes()
    assert len(list(tmp_path.iterdir())) == 4
    (document,) = annotations.read(tmp_path / first.json()["annotations"])
    assert [tier.name for tier in document.tiers] == ["phrases"]
    found = custom.candidates(tmp_path, "sw", shares={"train": 1})
    assert {(c.text, c.path.name) for c in found} == {
        ("saa tatu", first.json()["audio"]),
        ("saa mbili", other.json()["audio"]),
    }
    assert {(c.start, round(c.end, 3)) for c in found} == {(0.0, 1.4)}  # with room around the words


def test_times_that_are_kept(serve, clips, tmp_path):
    """A person's own as they are; else with room around the words, as far as what nobody has checked leaves it."""
    client = serve(corrections=tmp_path)
    parts = [(0.1, 0.2, {"checked": False}), (0.3, 0.5, {}), (0.7, 0.8, {"cut": True}), (1.0, 1.4, {"checked": False})]
    segments = [{"start": start, "end": end, "text": f"saa {start}", **more} for start, end, more in parts]
    assert keep(client, clips[0], {"duration": 1.5, "segments": segments}).status_code == 201
    found = {c.text: (c.start, c.end) for c in custom.candidates(tmp_path, "sw", shares={"train": 1})}
    assert found == {"saa 0.3": pytest.approx((0.25, 0.6), abs=1e-3), "saa 0.7": pytest.approx((0.7, 0.8), abs=1e-3)}
    asked = {"format": "tsv", "duration": 1.5, "segments": segments}
    assert client.post("/v1/export", json=asked).text.count("saa") == 2


def test_what_is_not_kept(serve, clips, tmp_path):
    """Nothing without the option; then neither what is no audio, nor what has no text or another's name."""
    refused(keep(serve(), clips[0]), 404, "no_corrections")
    client = serve(corrections=tmp_path)
    refused(keep(client, clips[0], name="x.exe"), 400, "invalid_value")
    refused(keep(client, clips[0], {"duration": 1, "segments": []}), 400, "invalid_value")
    refused(keep(client, clips[0], {"duration": 1, "segments": [{}]}), 400, "invalid_value")
    late = {"duration": 1e6, "segments": [{"start": 1e5, "end": 1e5 + 1, "text": "saa"}]}
    assert "the recording has" in refused(keep(client, clips[0], late), 400, "invalid_value")
    (tmp_path / "x").write_text("no audio")
    refused(keep(client, tmp_path / "x"), 400, "invalid_audio")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    refused(keep(serve(corrections=tmp_path, token="secret"), clips[0]), 401, "invalid_api_key")


def test_audio_is_never_kept(serve, clips, tmp_path, monkeypatch, caplog):
    """Whatever became of a request, no file of it is left, and neither a word nor a file's name is in the log."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(app, "LiveStream", Counting)
    client, content = serve(max_seconds=60.0, corrections=None), clips[0].read_bytes()
    text = post(client, content, "Juma.mp3").json()["text"]
    for name, sent in (("whole", content * 40), ("half", content[: len(content) // 2]), ("none", b"no audio")):
        post(client, sent, f"{name}-Juma.mp3")
    client.post(URL, files={"file": ("Juma.mp3", content)}, data={"response_format": "verbose_json", "stream": "true"})
    client.post(EXPORT, json={**EDITED, "format": "eaf", "name": "Juma.mp3"})
    keep(client, clips[0], name="Juma.mp3")
    with client.websocket_connect(STREAM) as socket:
        socket.send_bytes(bytes(32_000))
        socket.send_json({"type": "finish"})
        while socket.receive_json()["type"] != "done":
            pass
    assert not list(tmp_path.iterdir())
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("serenanet")]
    assert sum(URL in line for line in lines) == 5 and sum(STREAM in line for line in lines) == 1
    assert text and not any(word in line for line in lines for word in (text, "Juma", "mbili"))
