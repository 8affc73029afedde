"""`serenanet serve` computes as its options say: in eight bits, or each recording by itself."""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from starlette.testclient import TestClient

from serenanet_modules import cli
from serenanet_modules.cli import serve as command
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runtime.quantised import Int8Linear
from serenanet_modules.server import run
from tests.support.serving import Held, post, until


@pytest.fixture
def served(tiny, monkeypatch):
    """``served("--quantize", "int8")``: a client of what the command would serve, and the held recogniser in it."""
    opened, threads = command.opened, torch.get_num_threads()
    models, apps = [], []

    def holding(arguments):
        models.append(Held(opened(arguments)))
        return models[-1]

    def caught(app, listener):
        listener.close()
        apps.append(app)

    def serving(*options):
        assert cli.main(["serve", f"tiny={tiny[1]}", "--port", "0", "--device", "cpu", *options]) == 0
        return TestClient(apps[-1]), models[-1]

    monkeypatch.setattr(command, "opened", holding)
    monkeypatch.setattr(run, "serve", caught)
    yield serving
    torch.set_num_threads(threads)


def said(client, clip):
    """Words, times and confidences of an answer, as they were sent."""
    options = {"response_format": "verbose_json", "timestamp_granularities[]": "word"}
    answer = post(client, clip.read_bytes(), clip.name, data=options)
    assert answer.status_code == 200, answer.text
    return json.loads(answer.text)["words"]


def test_eight_bits(served, tiny, clips, transcripts):
    """Answers are those of the int8 model, whose confidences are not those of float32."""
    client, held = served("--quantize", "int8")
    held.go.set()
    assert any(isinstance(part, Int8Linear) for part in held.modules["model"].modules())
    own = Recognizer.from_folder(tiny[1], "cpu", computing={"quantize": "int8"})
    with client:
        found = [[(w["word"], w["confidence"]) for w in said(client, clip)] for clip in clips[:3]]
    expected = [[(w.text, pytest.approx(w.confidence, abs=1e-4)) for w in own.transcribe([c])[0].words] for c in clips]
    assert found == expected[:3]
    assert found != [[(w.text, w.confidence) for w in t.words] for t in transcripts[:3]]


@pytest.mark.parametrize("options", [("--reproducible",), ()])
def test_each_recording_by_itself(served, clips, options):
    """With the option the network reads one at a time, though requests come together; answers are bitwise equal."""
    client, held = served(*options)
    rows, model = [], held.modules["model"]
    hook = model.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    with client, ThreadPoolExecutor(len(clips)) as pool:
        together = [pool.submit(said, client, clip) for clip in clips]
        assert held.began.wait(60)
        until(lambda: _waiting(client) == len(clips) - held.sizes[0], "the others to wait", 60)
        held.go.set()
        together = [answer.result() for answer in together]
        assert max(held.sizes) > 1  # requests did share a batch of the server
        assert (max(rows) == 1) == bool(options)
        if options:
            assert [said(client, clip) for clip in clips] == together
    hook.remove()


def _waiting(client):
    lines = client.get("/metrics").text.splitlines()
    return float(next(line for line in lines if line.startswith("serenanet_queue_length ")).split()[1])
