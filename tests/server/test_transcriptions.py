"""OpenAI's own client against a live server: it cannot tell whose it is."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from urllib.request import urlopen

import numpy as np
import pytest
import soundfile
import torch

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.inference import formats
from serenanet_modules.inference.alternatives import unsaid
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.speakers import naming
from serenanet_modules.inference.transcript import Alternative, Insertion, Transcript
from serenanet_modules.lobes.speaker_encoder import SpeakerEncoder
from serenanet_modules.runs.speaker_weights import STATE, VARIABLE
from serenanet_modules.server.shapes import verbose
from tests.support.serving import URL, Held, post, refused, until

openai = pytest.importorskip("openai", reason="OpenAI's client is not installed")


@pytest.fixture(scope="module")
def client(live):
    with (
        live() as address,
        openai.OpenAI(base_url=f"{address}/v1", api_key="any", max_retries=0) as client,
    ):
        yield client


def transcribe(client, clip, **options):
    return client.audio.transcriptions.create(file=clip, model="tiny", **options)


def test_json(client, clips, transcripts):
    """The text is the recogniser's, by any way of giving a file and by the name that OpenAI's model has."""
    expected = transcripts[0]
    answer = transcribe(client, clips[0])
    assert answer.text == expected.text and answer.usage.seconds == pytest.approx(expected.duration)
    with open(clips[0], "rb") as file:
        assert client.audio.transcriptions.create(file=file, model="whisper-1", language="sw").text == expected.text
    assert transcribe(client, ("no suffix", clips[0].read_bytes()), prompt="x", temperature=0.5).text == expected.text


@pytest.mark.parametrize("name, written", [("text", "txt"), ("srt", "srt"), ("vtt", "vtt")])
def test_texts(client, clips, transcripts, name, written):
    """What `serenanet transcribe --format` writes."""
    assert transcribe(client, clips[1], response_format=name) == formats.write(transcripts[1], written)


def test_verbose_json(client, clips, transcripts, recognizer):
    """All that OpenAI's type has, with the recogniser's times; tokens are the units that spell the text."""
    expected = transcripts[2]
    answer = transcribe(client, clips[2], response_format="verbose_json", timestamp_granularities=["word", "segment"])
    assert (answer.text, answer.language, answer.model_extra["task"]) == (expected.text, "sw", "transcribe")
    assert answer.duration == pytest.approx(expected.duration)
    words = [(word.word, word.start, word.end, word.confidence) for word in answer.words]
    assert words == [(word.text, word.start, word.end, word.confidence) for word in expected.words] and words
    assert [segment.text for segment in answer.segments] == [segment.text for segment in expected.segments]
    for i, segment in enumerate(answer.segments):
        assert segment.id == i and segment.seek == round(100 * segment.start) and segment.start < segment.end
        assert recognizer.units.decode(segment.tokens) == segment.text
        assert -math.inf < segment.avg_logprob <= 0 and segment.compression_ratio > 0
        assert segment.temperature == segment.no_speech_prob == 0


def test_granularities(client, clips):
    """Segments are what comes by default; words alone come without them."""
    segments = transcribe(client, clips[0], response_format="verbose_json")
    assert segments.segments and segments.words is None
    words = transcribe(client, clips[0], response_format="verbose_json", timestamp_granularities=["word"])
    assert words.words and words.segments is None


def test_subtitles_beside_the_rest(client, clips, transcripts):
    answer = transcribe(client, clips[0], response_format="verbose_json", include=["vtt"])
    assert answer.segments and answer.model_extra["vtt"] == formats.write(transcripts[0], "vtt")
    assert "srt" not in answer.model_extra


def test_stream(client, clips, recognizer, tmp_path):
    """The client's own events: a delta for each segment, which joined are the text."""
    samples = np.concatenate([load(clip) for clip in clips])
    soundfile.write(tmp_path / "long.wav", samples, SAMPLE_RATE, subtype="FLOAT")
    (expected,) = recognizer.transcribe([samples])
    *deltas, done = transcribe(client, tmp_path / "long.wav", stream=True)
    assert {delta.type for delta in deltas} == {"transcript.text.delta"} and done.type == "transcript.text.done"
    assert len(deltas) == len(expected.segments) > 1
    assert "".join(delta.delta for delta in deltas) == done.text == expected.text
    with pytest.raises(openai.BadRequestError, match="stream needs response_format") as raised:
        transcribe(client, clips[0], stream=True, response_format="srt")
    assert raised.value.param == "stream"


def test_many_at_once(live, recognizer, clips, transcripts):
    """Twenty requests at a time each get their own text, and go through the network together."""
    held, order = Held(recognizer), [i % len(clips) for i in range(20)]
    with live(held) as address, openai.OpenAI(base_url=f"{address}/v1", api_key="any") as client:
        with ThreadPoolExecutor(len(order)) as pool:
            texts = pool.map(lambda i: transcribe(client, clips[i]).text, order)
            assert held.began.wait(60)
            rest = f"serenanet_queue_length {len(order) - held.sizes[0]}.0\n".encode()
            until(lambda: rest in urlopen(f"{address}/metrics").read(), "the others to wait", 60)
            held.go.set()
            assert list(texts) == [transcripts[i].text for i in order]
    assert len(held.sizes) == 2 and sum(held.sizes) == len(order)


def test_models(client):
    (model,) = client.models.list()
    seen = {"max_upload_bytes"}  # which follows the disk
    assert client.models.retrieve("tiny").model_dump(exclude=seen) == model.model_dump(exclude=seen)
    assert (model.id, model.object, model.language) == ("tiny", "model", "sw") and model.created > 0
    with pytest.raises(openai.NotFoundError, match="there is no model 'other'"):
        client.models.retrieve("other")


@pytest.mark.parametrize(
    "options, error, param",
    [
        ({"model": "gpt"}, openai.NotFoundError, "model"),
        ({"language": "en"}, openai.BadRequestError, "language"),
        ({"response_format": "yaml"}, openai.BadRequestError, "response_format"),
        ({"temperature": 3}, openai.BadRequestError, "temperature"),
        ({"timestamp_granularities": ["word"]}, openai.BadRequestError, "response_format"),
        ({"include": ["logprobs"]}, openai.BadRequestError, "include[]"),
        ({"extra_body": {"timestamp_granularities": "words"}}, openai.BadRequestError, "timestamp_granularities"),
        ({"file": b"no audio"}, openai.BadRequestError, "file"),
        ({"file": b""}, openai.BadRequestError, "file"),
    ],
)
def test_refusals(client, clips, options, error, param):
    """The client raises the exception for the status, and it names the parameter."""
    with pytest.raises(error) as raised:
        client.audio.transcriptions.create(**{"file": clips[0], "model": "tiny", **options})
    assert raised.value.param == param and raised.value.type == "invalid_request_error"


@pytest.mark.parametrize("brackets", ["[]", ""])
def test_lists_with_and_without_brackets(serve, clips, brackets):
    client = serve()
    data = {f"timestamp_granularities{brackets}": ["word", "segment"], f"include{brackets}": ["srt"]}
    answer = post(client, clips[0].read_bytes(), data={**data, "response_format": "verbose_json"}).json()
    assert answer["words"] and answer["segments"] and answer["srt"] and "vtt" not in answer


@pytest.mark.parametrize(
    ("fields", "name", "code", "words"),
    [
        ({"zebra": "Juma"}, "zebra", "unknown_parameter", "known are file, model"),
        ({"timestamp_granularitys[]": "word"}, "timestamp_granularitys[]", "unknown_parameter", "did you mean"),
        ({"File": "x"}, "File", "unknown_parameter", "did you mean 'file'"),
        ({"languages[]": "sw"}, "languages[]", "unknown_parameter", "did you mean 'language'"),
        ({"language": ["sw", "en"]}, "language", "invalid_value", "more than once"),
        ({"x" * 300: "1"}, "x" * 100, "unknown_parameter", "is unknown"),
    ],
)
def test_fields_that_are_none(serve, clips, fields, name, code, words):
    """Named, also where there is no file."""
    client = serve()
    for answer in (post(client, clips[0].read_bytes(), data=fields), client.post(URL, data=fields)):
        assert words in refused(answer, 400, code)
        assert answer.json()["error"]["param"] == name


def test_parameters_of_an_address_that_are_none(serve, clips):
    """No route drops one in silence."""
    client = serve()
    for answer in (
        post(client, clips[0].read_bytes(), params={"language": "en"}),
        client.get("/v1/models?limit=3"),
        client.get("/v1/models/tiny", params={"x": "y"}),
        client.get("/metrics?name=x"),
    ):
        assert "the query parameter" in refused(answer, 400, "unknown_parameter")


@pytest.mark.parametrize("language", ["sw", "sw-KE", "SW_ke", "swahili", "Swahili", "swa", "swh", "auto", ""])
def test_languages_by_name(serve, clips, transcripts, language):
    answer = post(serve(), clips[0].read_bytes(), data={"language": language})
    assert answer.status_code == 200 and answer.json()["text"] == transcripts[0].text


@pytest.mark.parametrize("language", ["english", "eng", "en", "swedish", "swan"])
def test_other_languages(serve, clips, language):
    refused(post(serve(), clips[0].read_bytes(), data={"language": language}), 400, "unsupported_language")


def test_other_refusals_have_the_same_shape(serve):
    """Paths and methods that are not there, and bodies that are no form."""
    client = serve()
    refused(client.get("/v1/nowhere"), 404)
    refused(client.get(URL), 405)
    refused(client.post(URL, json={"file": "x"}), 400, "invalid_value")
    refused(client.post(URL, data={"file": "x"}), 400, "invalid_value")
    for content, kind in ((b"--x\r\na b\r\n", "; boundary=x"), (b"--x\r\n", "")):
        headers = {"Content-Type": f"multipart/form-data{kind}"}
        refused(client.post(URL, content=content, headers=headers), 400)


def test_docs_and_health(serve):
    """The API describes itself, with the parameter whose name is no Python name."""
    client = serve()
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.get("/docs").status_code == 200
    assert "timestamp_granularities[]" in client.get("/openapi.json").text


def test_hotwords_and_other_texts(serve, recognizer, clips):
    """As the recogniser does it alone, beside a request that asks for neither."""
    wishing = recognizer.wishing(hotwords=(("saa", 150.0),), nbest=3)
    (expected,), client = wishing.transcribe([clips[0]]), serve()
    asked = {"hotwords": " Saa,\n", "hotword_weight": "50", "nbest": "3", "response_format": "verbose_json"}
    lists = {"timestamp_granularities[]": ["word", "segment"]}
    found = post(client, clips[0].read_bytes(), data=asked | lists).json()
    assert found["text"] == expected.text != recognizer.transcribe([clips[0]])[0].text
    for told, parts in ((found["segments"], expected.segments), (found["words"], expected.words)):
        assert [part["alternatives"] for part in told] == [[asdict(a) for a in part.alternatives] for part in parts]
    assert {"score"} == found["segments"][0]["alternatives"][0].keys() - found["words"][0]["alternatives"][0].keys()
    assert "alternatives" not in post(client, clips[0].read_bytes(), data={"response_format": "verbose_json"}).text


def test_hotwords_of_a_speech_llm(serve, speech_llm_folder, clips):
    """They stand in the prompt of the request that asks for them, and of no other."""
    model = Recognizer.from_folder(speech_llm_folder)
    plain, told = model.transcribe(clips[0]).text, model.wishing(hotwords=(("saa", 1.0),)).transcribe(clips[0]).text
    client = serve(model)
    assert post(client, clips[0].read_bytes(), data={"hotwords": "Saa"}).json()["text"] == told != plain
    assert post(client, clips[0].read_bytes()).json()["text"] == plain


def test_words_that_other_texts_have_between(recognizer):
    """Of a segment whose best text is empty."""
    place = Insertion(0, 0.0, 3.0, (Alternative("", 0.6), Alternative("saa", 0.4)))
    segment = replace(unsaid([0.0, 3.0]), insertions=(place,))
    told = verbose(Transcript("", 3.0, (segment,)), "sw", recognizer.units).model_dump(exclude_none=True)
    assert told["segments"][0]["text"] == "" and told["segments"][0]["insertions"] == [
        {
            "position": 0, "start": 0.0, "end": 3.0,
            "alternatives": [{"text": "", "confidence": 0.6}, {"text": "saa", "confidence": 0.4}],
        }
    ]  # fmt: skip


def test_speakers(serve, recognizer, clips, transcripts, tmp_path, monkeypatch):
    """As `transcribe --speakers` names them: in segments, words and subtitles, beside a request that asks for none."""
    torch.save({STATE: SpeakerEncoder().state_dict()}, tmp_path / "pretrained.pt")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "pretrained.pt"))
    expected, client = naming(2)(transcripts[0], {"": clips[0]}), serve()
    lists = {"timestamp_granularities[]": ["word", "segment"], "response_format": "verbose_json"}
    found = post(client, clips[0].read_bytes(), data=lists | {"speakers": "2"}).json()
    assert found["text"] == expected.text
    assert [segment["speaker"] for segment in found["segments"]] == [segment.speaker for segment in expected.segments]
    assert {word["speaker"] for word in found["words"]} == set(expected.speakers)
    subtitles = post(client, clips[0].read_bytes(), data={"response_format": "vtt", "speakers": "auto"}).text
    assert "<v speaker 1>" in subtitles
    assert "speaker" not in post(client, clips[0].read_bytes(), data=lists).text
    few = post(client, clips[0].read_bytes(), data={"speakers": "20"})
    assert "too short for so many" in refused(few, 400, "invalid_audio")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "none.pt"))
    assert "none.pt" in refused(post(serve(), clips[0].read_bytes(), data={"speakers": "2"}), 400, "invalid_value")


@pytest.mark.parametrize(
    ("fields", "name", "words"),
    [
        *(({"speakers": wrong}, "speakers", "from 1 to 20, or auto") for wrong in ("0", "21", "two", "٢")),
        ({"hotwords": ","}, "hotwords", "holds no word"),
        ({"hotwords": ",".join("a" * (k % 99 + 1) + "n" * (k // 99) for k in range(1001))}, "hotwords", "1000 at most"),
        ({"hotwords": "saa", "hotword_weight": "nan"}, "hotword_weight", "above 0"),
        ({"hotwords": "saa", "hotword_weight": "101"}, "hotword_weight", "100"),
        ({"nbest": "0", "response_format": "verbose_json"}, "nbest", "from 1 to"),
        ({"nbest": "101", "response_format": "verbose_json"}, "nbest", "from 1 to"),
        ({"nbest": "2"}, "response_format", "verbose_json"),
    ],
)
def test_wishes_that_cannot_be(serve, clips, fields, name, words):
    answer = post(serve(), clips[0].read_bytes(), data=fields)
    assert words in refused(answer, 400, "invalid_value") and answer.json()["error"]["param"] == name
