"""What a run keeps of a few utterances for plots."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from serenanet_modules.data.manifest import Utterance
from serenanet_modules.lobes.blocks.chunking import DynamicChunking
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.encoders.conmamba import ConMambaEncoder
from serenanet_modules.lobes.encoders.hmamba import ChunkedEncoder
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.heads.car import CAR
from serenanet_modules.lobes.spectral import SpectralModel
from serenanet_modules.training.examples import COUNT, LONGEST, UNITS, write_examples

DURATIONS = (1.0, 3.9, 9.0, 4.3, 14.0)


@pytest.fixture(name="write")
def _write(tmp_path):
    """A function that writes the examples of some utterances with a model of so many units."""

    def write(durations=DURATIONS, n_units=7, resolutions=(1, 2, 4), stride=4, car=True, sure=1.0):
        torch.manual_seed(0)
        rows = []
        for i, seconds in enumerate(durations):
            noise = 0.1 * np.random.default_rng(i).standard_normal(int(16000 * seconds))
            soundfile.write(tmp_path / f"u{i}.flac", noise, 16000)
            rows.append(Utterance(f"u{i}", f"u{i}.flac", seconds, f"text {i}", "", "s", "sw", "dev"))
        frontend = ATHM(128, 16, resolutions, gate_size=8, output_stride=stride)
        acoustic = SpectralModel(LogMel(), frontend, RotaryTransformerEncoder(16, n_heads=2, n_layers=1, d_ffn=32))
        model = CTCModel(acoustic, n_units, CAR(16, n_units, d_model=8) if car else None).eval()
        with torch.no_grad():
            model.decoder.weight *= sure
            acoustic.features.mean.fill_(-16.0)
            acoustic.features.std.fill_(3.0)
        units = SimpleNamespace(pieces=["<blank>", *(f"p{i}" for i in range(1, n_units))], blank_id=0)
        path = tmp_path / "examples.npz"
        write_examples(path, model, rows, tmp_path, units, torch.device("cpu"))
        return path, model, rows

    return write


def test_the_examples_are_what_the_model_says(write):
    """Those nearest to four seconds; weights and probabilities as the model gives them, to a 255th."""
    path, model, rows = write()
    content = np.load(path, allow_pickle=False)
    about = json.loads(str(content["about"]))
    assert [u["id"] for u in about["utterances"]] == ["u1", "u3"] and len(about["utterances"]) == COUNT
    assert all(u["resolutions"] == [1, 2, 4] for u in about["utterances"]) and about["blank"] == "<blank>"
    assert [u["seconds"] for u in about["utterances"]] == [3.9, 4.3]
    wav = torch.from_numpy(soundfile.read(path.parent / "u1.flac", dtype="float32")[0])
    with torch.no_grad():
        mel, _ = model.acoustic.features(wav[None], torch.tensor([len(wav)]))
        output = model(wav[None], torch.tensor([len(wav)]))
    assert content["mel_0"].shape == mel.shape[1:] and content["mel_0"].min() == 0 and content["mel_0"].max() == 255
    np.testing.assert_allclose(content["gate_0"] / 255, output.extras.pictures["gate"].values[0], atol=1 / 255)
    columns = [int(name.strip("p")) if name != "<blank>" else 0 for name in about["utterances"][0]["units"]]
    for name, x in (("decoder", output.decoder), ("car", output.car)):
        np.testing.assert_allclose(content[f"{name}_0"] / 255, x[0, :, columns].exp(), atol=1 / 255)


def test_the_file_stays_small(write):
    """Long utterances, fine frames and many units are cut: noise, which nothing compresses, stays below 300 kB."""
    path = write(durations=(30.0, 40.0), n_units=500, stride=1, sure=20.0)[0]
    content = np.load(path)
    assert len(content["mel_0"]) == len(content["decoder_0"]) == 100 * LONGEST
    assert json.loads(str(content["about"]))["utterances"][0]["seconds"] == LONGEST
    assert content["decoder_0"].shape[1] == UNITS
    assert 150_000 < path.stat().st_size < 300_000


def test_parts_that_a_model_lacks(write):
    """One resolution has no gate worth showing; no CAR, no CAR."""
    names = set(np.load(write(durations=(2.0,), resolutions=[2], car=False)[0]).files)
    assert names == {"about", "mel_0", "decoder_0"}


def test_chunks_are_those_of_the_encoder(write):
    """Where they begin and how probable that was, a frame each."""
    path, model, rows = write(durations=(2.0,))
    encoders = [ConMambaEncoder(16, n_layers=1, d_ffn=16, kernel_size=3, d_state=4) for _ in range(2)]
    parts = encoders[0], DynamicChunking(16, max_gap=3), encoders[1]
    model.acoustic.encoder = ChunkedEncoder(*parts).eval()
    units = SimpleNamespace(pieces=[f"p{i}" for i in range(7)], blank_id=0)
    write_examples(path, model, rows, path.parent, units, torch.device("cpu"))
    wav = torch.from_numpy(soundfile.read(path.parent / "u0.flac", dtype="float32")[0])
    with torch.no_grad():
        pictures = model(wav[None], torch.tensor([len(wav)])).extras.pictures
    content, starts = np.load(path), pictures["start"].values[0].int().tolist()
    assert content["start_0"].tolist() == starts and content["start_0"].sum() > 1
    np.testing.assert_allclose(content["chunk_0"] / 255, pictures["chunk"].values[0], atol=1 / 255)
    assert len(content["chunk_0"]) == len(content["decoder_0"])
