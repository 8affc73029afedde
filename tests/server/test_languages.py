"""A Whisper on a server: its language is heard, told by the operator, or by a client."""

import pytest

from serenanet_modules.inference.recognizer import Recognizer
from tests.support.serving import post, refused
from tests.support.whispers import make_whisper

pytest.importorskip("transformers")
VERBOSE = {"response_format": "verbose_json"}


@pytest.fixture(scope="module")
def whisper(tmp_path_factory):
    return make_whisper(tmp_path_factory.mktemp("whisper"))


def test_heard_or_told_by_the_client(serve, whisper, clips):
    """Each has the text and the language that the recogniser alone has."""
    listening, sound = Recognizer.from_folder(whisper), clips[0].read_bytes()
    client, (alone,) = serve({"whisper": listening}), listening.transcribe([clips[0]])
    for more in ({}, {"language": "auto"}):
        found = post(client, sound, data=VERBOSE | more).json()
        assert (found["text"], found["language"]) == (alone.text, alone.language)
    for name in ("sw", "english"):
        found = post(client, sound, data=VERBOSE | {"language": name}).json()
        (alone,) = Recognizer.from_folder(whisper, language=name).transcribe([clips[0]])
        assert (found["text"], found["language"]) == (alone.text, alone.language) and alone.language in ("sw", "en")
    answer = post(client, sound, data={"language": "xx"})
    assert "has no language 'xx'; it has en sw" in refused(answer, 400, "invalid_value")


def test_told_by_the_operator(serve, whisper, clips):
    client = serve({"whisper": Recognizer.from_folder(whisper, language="sw")})
    assert post(client, clips[0].read_bytes(), data=VERBOSE | {"language": "swahili"}).json()["language"] == "sw"
    assert "transcribes 'sw'" in refused(
        post(client, clips[0].read_bytes(), data={"language": "en"}), 400, "unsupported_language"
    )
    assert client.get("/v1/models").json()["data"][0]["language"] == "sw"
