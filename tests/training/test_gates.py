"""What a run keeps of its gates over dev."""

import json

import numpy as np
import pytest
import soundfile
import torch

from serenanet_modules.data.alignment import cepstra, with_differences
from serenanet_modules.data.manifest import Utterance
from serenanet_modules.lobes.ctc_model import CTCModel
from serenanet_modules.lobes.encoders.rotary import RotaryTransformerEncoder
from serenanet_modules.lobes.features import LogMel
from serenanet_modules.lobes.frontends.athm import ATHM
from serenanet_modules.lobes.spectral import SpectralModel
from serenanet_modules.training import gates
from serenanet_modules.training.gates import write_gates


@pytest.fixture(name="rows")
def _rows(tmp_path):
    """Three utterances of noise, of two sets; the last one has no text."""
    rows = []
    for i, (seconds, text) in enumerate(((1.0, "a b"), (0.7, "c"), (1.3, ""))):
        noise = 0.1 * np.random.default_rng(i).standard_normal(int(16000 * seconds))
        soundfile.write(tmp_path / f"u{i}.flac", noise, 16000)
        rows.append(Utterance(f"u{i}", f"u{i}.flac", seconds, text, "", "s", "sw", f"dev-{i % 2}"))
    return rows


def model_of(*resolutions):
    torch.manual_seed(0)
    frontend = ATHM(128, 16, resolutions, gate_size=8, output_stride=4)
    acoustic = SpectralModel(LogMel(), frontend, RotaryTransformerEncoder(16, n_heads=2, n_layers=1, d_ffn=32))
    with torch.no_grad():
        acoustic.features.mean.fill_(-16.0)
        acoustic.features.std.fill_(3.0)
    return CTCModel(acoustic, 7).eval()


def test_what_is_kept_is_what_the_gate_says(rows, tmp_path):
    """Weights of each frame to a 255th, cepstra that give back those of alignments; those without a text are not."""
    model, file = model_of(1, 2, 4), tmp_path / "gates.npz"
    write_gates(file, model, rows, tmp_path, torch.device("cpu"))
    content = np.load(file, allow_pickle=False)
    about, start = json.loads(str(content["about"])), 0
    assert about["milliseconds"] == [10.0, 20.0, 40.0]
    assert sorted((u["id"], u["set"], u["locale"]) for u in about["utterances"]) == [
        ("u0", "dev-0", "sw"),
        ("u1", "dev-1", "sw"),
    ]
    for told in about["utterances"]:
        wav = torch.from_numpy(soundfile.read(tmp_path / f"{told['id']}.flac", dtype="float32")[0]).unsqueeze(0)
        with torch.no_grad():
            x, lengths = model.acoustic.features(wav, torch.tensor([wav.shape[1]]))
            gate = model.acoustic.frontend(x, lengths).extras.pictures["gate"].values[0]
        part = slice(start, start + told["frames"])
        start = part.stop
        assert told["frames"] == int(lengths)
        np.testing.assert_allclose(content["gate"][part] / 255, gate, atol=0.51 / 255)
        kept = with_differences(torch.from_numpy(content["cepstra"][part]).float())
        torch.testing.assert_close(kept, cepstra(x[0]), atol=0.02, rtol=0.01)
    assert start == len(content["gate"]) == len(content["cepstra"])


def test_the_same_utterances_are_chosen_whatever_the_order(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(gates, "COUNT", 1)
    chosen = []
    for number, order in enumerate((rows, rows[::-1])):
        file = tmp_path / f"{number}.npz"
        write_gates(file, model_of(1, 4), order, tmp_path, torch.device("cpu"))
        chosen.append([u["id"] for u in json.loads(str(np.load(file)["about"]))["utterances"]])
    assert chosen[0] == chosen[1] and len(chosen[0]) == 1


def test_without_a_choice_of_resolutions_or_texts_there_is_no_file(rows, tmp_path):
    file = tmp_path / "gates.npz"
    write_gates(file, model_of(2), rows, tmp_path, torch.device("cpu"))
    write_gates(file, model_of(1, 2, 4), rows[2:], tmp_path, torch.device("cpu"))
    assert not file.exists()
