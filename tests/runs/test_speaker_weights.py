"""Weights of the speaker encoder: read out of a file or a wheel, as data alone, or refused in a sentence."""

import os
import pickle
import sys
import zipfile

import pytest
import torch

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.speaker_encoder import SpeakerEncoder
from serenanet_modules.runs.speaker_weights import FILE, PACKAGE, STATE, VARIABLE, speaker_encoder


@pytest.fixture
def state():
    torch.manual_seed(0)
    return SpeakerEncoder().state_dict()


def test_file_wheel_and_installed_package_are_the_same_weights(state, tmp_path, monkeypatch):
    package = tmp_path / PACKAGE
    package.mkdir()
    (package / "__init__.py").write_text("raise SystemExit('must not be run')")
    more = {"similarity_weight": torch.ones(1)}  # as the public file has
    torch.save({"step": 1, STATE: state | more}, package / FILE)
    with zipfile.ZipFile(tmp_path / "x.whl", "w") as wheel:
        wheel.write(package / FILE, f"{PACKAGE}/{FILE}")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    found = [speaker_encoder(package / FILE), speaker_encoder(tmp_path / "x.whl")]
    monkeypatch.delenv(VARIABLE, raising=False)
    found.append(speaker_encoder())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "x.whl"))
    found.append(speaker_encoder())
    for encoder in found:
        assert not encoder.training
        for name, value in encoder.state_dict().items():
            assert torch.equal(value, state[name])
    assert PACKAGE not in sys.modules


def test_what_is_no_such_file(state, tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(UserError, match="pip install --no-deps resemblyzer"):
        speaker_encoder()
    torch.save({STATE: state | {"linear.bias": torch.zeros(3)}}, tmp_path / "shape.pt")
    torch.save({STATE: state | {"linear.bias": torch.full((256,), torch.nan)}}, tmp_path / "nan.pt")
    torch.save([1], tmp_path / "list.pt")
    (tmp_path / "code.pt").write_bytes(pickle.dumps(os.getcwd))
    (tmp_path / "text.pt").write_text("weights")
    (tmp_path / "stop.pt").write_bytes(b"\x80\x02.")
    torch.save({STATE: state | {"linear.bias": torch.zeros(256).to_sparse()}}, tmp_path / "sparse.pt")
    with zipfile.ZipFile(tmp_path / "packed.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "text.pt", "archive/data.pkl")
    (tmp_path / "x.whl").write_text("no archive")
    zipfile.ZipFile(tmp_path / "empty.whl", "w").close()
    files = ("shape.pt", "nan.pt", "list.pt", "code.pt", "text.pt", "stop.pt", "sparse.pt", "packed.pt")
    for name in (*files, "x.whl", "empty.whl", "none.pt"):
        with pytest.raises(UserError, match=name):
            speaker_encoder(tmp_path / name)
