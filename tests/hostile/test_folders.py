"""A result folder with any byte of any file changed, or a file of another run, is refused by the file's name."""

import functools
import json
import random
import shutil
import tempfile
from pathlib import Path

import pytest
import torch
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from serenanet_modules.errors import UserError
from serenanet_modules.runs import opening, whole
from serenanet_modules.runs.opening import open_run
from serenanet_modules.runs.whole import FILE, WEIGHTS, seal
from tests.support.battery import all_hold, is_found
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.refusals import sentence

SMALL = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64"), ("car", "null")]
TEXTS = {"a": "mama anakula ng'ombe wa baba", "b": "baba anakula ng'ombe wa mama yetu hodi"}
MODEL = (
    "hyperparams.yaml",
    WEIGHTS,
    "save/units/units.json",
    "save/units/units.model",
    "save/words.txt",
    "result.json",
)


@functools.cache
def sealed(name):
    """A folder as a run leaves it."""
    folder = Path(tempfile.mkdtemp()) / name
    make_random_result(folder, preset("serenanet/demo"), *SMALL, texts=[TEXTS[name]])
    (folder / "save/words.txt").write_text(f"{name}\n", encoding="utf-8")
    (folder / "result.json").write_text(json.dumps({"experiment": name}), encoding="utf-8")
    seal(folder)
    return folder


CHANGES = st.tuples(
    st.sampled_from(MODEL), st.sampled_from(["byte", "cut", "grown", "other run's"]), st.integers(0, 2**30)
)


def a_change_is_seen(case):
    """Whatever it is, and wherever: no text comes of it."""
    name, how, seed = case
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(sealed("a"), Path(scratch) / "run")
        data = (folder / name).read_bytes()
        at = rng.randrange(len(data))
        changed = {
            "byte": data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :],
            "cut": data[:at],
            "grown": data + b"\n",
            "other run's": (sealed("b") / name).read_bytes(),
        }[how]
        (folder / name).write_bytes(changed)
        try:
            open_run(folder, "cpu")
        except UserError as error:
            sentence(error, folder)
        else:
            assert changed == data, (name, how)


def test_changed_files():
    all_hold("changed files of a model", CHANGES, a_change_is_seen)


KINDS = (torch.int8, torch.uint8, torch.int16, torch.int64, torch.bool, torch.complex64, torch.float8_e4m3fn)
NUMBERS = st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6), st.booleans())


def of_another_kind(case):
    """Weights that are no real numbers, in a folder that no run has sealed."""
    kind, number, all_of_them = case
    with tempfile.TemporaryDirectory() as scratch:
        folder = shutil.copytree(sealed("a"), Path(scratch) / "run")
        (folder / FILE).unlink()
        weights = load_file(folder / WEIGHTS)
        real = [name for name, tensor in weights.items() if tensor.is_floating_point()]
        for name in real if all_of_them else [real[number % len(real)]]:
            weights[name] = weights[name].to(kind)
        save_file(weights, folder / WEIGHTS)
        with pytest.raises(UserError) as caught:
            open_run(folder, "cpu")
        sentence(caught.value, folder / WEIGHTS)


def test_kinds_of_numbers():
    all_hold("kinds of weights", NUMBERS, of_another_kind)


@pytest.mark.parametrize(
    ("place", "name", "fault", "strategy", "check"),
    [
        (whole, "sha256", lambda path: len(path.read_bytes()), CHANGES, a_change_is_seen),
        (opening, "check_files", lambda *_: None, CHANGES, a_change_is_seen),
        (opening, "_kind", lambda tensor: "numbers", NUMBERS, of_another_kind),
    ],
    ids=["sizes", "no sums", "kinds"],
)
def test_planted_faults(monkeypatch, place, name, fault, strategy, check):
    if name == "sha256":  # a folder whose sums are its files' sizes
        monkeypatch.setattr(place, name, fault)
        sealed.cache_clear()
    monkeypatch.setattr(place, name, fault)
    assert is_found(strategy, check)
    sealed.cache_clear()
