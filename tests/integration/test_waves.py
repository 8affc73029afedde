"""A model that reads the waveform, without features, statistics and masks, through all that knows acoustic models."""

import numpy as np
import pytest
import torch
from speechbrain.inference.ASR import EncoderASR

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.export.command import export
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from tests.support.folders import babble
from tests.support.tiny import FILES, Run, command, decoded, heard, weights
from tests.support.waves import WaveModel

LAYER = """
acoustic_model: !new:tests.support.waves.WaveModel
    d_model: !ref <d_model>
d_model: 32
features: null
frontend: null
encoder: null
pessl: null
spec_augment: null
car:
    d_model: 16
    d_state: 4
preparation:
    frame_rate: 50
"""


@pytest.fixture(scope="module", name="layer")
def _layer(tmp_path_factory):
    path = tmp_path_factory.mktemp("waves") / "waves.yaml"
    path.write_text(LAYER, encoding="utf-8")
    return path


@pytest.fixture(scope="module", name="run")
def _run(corpus, layer, tmp_path_factory):
    """A whole job of two epochs, which learns so little that it says something."""
    folder, more = tmp_path_factory.mktemp("waves") / "run", ("--number_of_epochs", 2, "--lr", 1e-5, "--beam_size", 0)
    return Run(command(corpus, folder, *more, hparams=(*FILES, layer), model=()), folder, [babble]).done()


@pytest.fixture(name="recognizer")
def _recognizer(run, monkeypatch):
    monkeypatch.setenv("SERENANET_TRUST", "tests.support.waves")
    return Recognizer.from_folder(run.folder)


def test_it_trains(run):
    """By the same losses, but those of parts that it lacks; nothing is fitted before."""
    assert run.result["epochs"] == 2 and run.result["parameters"]["down"] > 0
    assert set(run.result["history"][0]["train"]) == {"loss", "ctc", "car_kl", "car_l2"}
    assert not (run.folder / "save/statistics.pt").exists()
    assert {name.split(".")[1] for name in weights(run.folder)} == {"acoustic", "decoder", "car"}
    content = np.load(run.folder / "examples.npz")
    assert "decoder_0" in content and "mel_0" not in content


def test_it_transcribes_with_times(run, recognizer, corpus):
    """What the evaluation read; each token lies in frames of 20 ms."""
    rows = decoded(run.folder, "test")
    found = recognizer.transcribe(heard(corpus, run.folder, rows), piece_seconds=30.0)
    assert [transcript.text for transcript in found] == [row["decoder/greedy"] for row in rows]
    tokens = [token for transcript in found for token in transcript.tokens]
    assert tokens and all(token.start == pytest.approx(0.02 * round(token.start / 0.02), abs=1e-6) for token in tokens)


def test_it_streams(recognizer, corpus):
    """Pieces give the text and times of the whole."""
    samples = load(sorted((corpus / "clips").iterdir())[0])
    (whole,) = recognizer.transcribe([samples], piece_seconds=30.0)
    streamer = Streamer(recognizer)
    assert streamer.look_ahead == pytest.approx(0.02)
    for piece in np.array_split(samples, 17):
        streamer.feed(piece)
    found = streamer.finish()
    assert found.text == whole.text and found.text
    assert [(t.text, t.start) for t in found.tokens] == [(t.text, t.start) for t in whole.tokens]


@pytest.mark.parametrize("to", ["torchscript", "onnx"])
def test_it_exports(run, recognizer, tmp_path, to):
    """`export` compares the file with the model."""
    lines = []
    export(run.folder, to, out=tmp_path, say=lines.append)
    assert "largest difference" in lines[0]
    assert '"frame_seconds": 0.02' in next(tmp_path.glob("model.json")).read_text()


def test_speechbrain_opens_it(run, recognizer, corpus):
    """EncoderASR hears the same."""
    clip = sorted((corpus / "clips").iterdir())[0]
    asr = EncoderASR.from_hparams(source=str(run.folder))
    (ours,) = recognizer.transcribe([clip], piece_seconds=30.0)
    assert asr.transcribe_file(str(clip)) == ours.text != ""


def test_batch_mates_and_padding_change_nothing():
    """As of every acoustic model."""
    torch.manual_seed(0)
    model, lengths = WaveModel(16).eval(), torch.tensor([SAMPLE_RATE, 5003, 1])
    wavs = torch.randn(3, SAMPLE_RATE + 777)
    together = model(wavs, lengths)
    for row, n in enumerate(lengths.tolist()):
        alone = model(wavs[row : row + 1, :n], torch.tensor([n]))
        frames = int(alone.lengths)
        assert together.lengths[row] == frames and together.edges[row, frames] >= n
        torch.testing.assert_close(together.hidden[row, :frames], alone.hidden[0], rtol=1e-5, atol=1e-5)


def test_masks_are_refused(train, layer):
    """One sentence, before the first step."""
    spec_augment = ("--spec_augment", "!new:serenanet_modules.data.SpecAugment")
    run = train("--number_of_epochs", 1, *spec_augment, hparams=(*FILES, layer), model=())
    assert run.wait() == 2
    assert "'spec_augment' masks features, of which WaveModel has none; set it to null" in run.output
