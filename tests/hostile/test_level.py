"""A recording at any level and on any offset is the same sound to random models."""

import functools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import strategies as st

from serenanet_modules.data.audio import load
from serenanet_modules.data.sources import Piece
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.lobes import features
from tests.support.battery import all_hold, is_found
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import SAMPLE

PRESETS = ("serenanet/demo", "conmamba_causal/small")
LEVELS = st.tuples(
    st.sampled_from(PRESETS), st.floats(-30, 12), st.one_of(st.just(0.0), st.floats(-0.1, 0.1)), st.integers(0, 5)
)


@functools.cache
def recogniser(name):
    folder = Path(tempfile.mkdtemp()) / "run"
    small = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64"), ("car", "null")]
    return Recognizer.from_folder(
        make_random_result(folder, preset(name), *small[: 4 if "demo" in name else 2], blank=10.0)
    )


@functools.cache
def clip(number):
    samples = load(sorted((SAMPLE / "clips").iterdir())[number])[: 2 * 16000]
    return samples / np.abs(samples).max() * 0.2  # unclipped at +12 dB on an offset of 0.1


def posteriors(name, samples):
    """Probabilities (T, V)."""
    _, (log_probs,), _ = recogniser(name).posteriors([Piece(0.0, samples)])
    return log_probs.exp()


@functools.cache
def wanted(name, number):
    return posteriors(name, clip(number))


def the_same_sound(case):
    """Frames differ by less than a twentieth of their probability, in the mean."""
    name, decibel, offset, number = case
    louder = (clip(number) * 10 ** (decibel / 20) + offset).astype(np.float32)
    assert (posteriors(name, louder) - wanted(name, number)).abs().sum(1).mean() / 2 < 0.05


def test_levels():
    all_hold("levels and offsets", LEVELS, the_same_sound)


def test_planted_faults(monkeypatch):
    """Features of a level that never changes."""
    constant = lambda power, valid, state=(None, None): (torch.full_like(power, 1e-3), state)  # noqa: E731
    monkeypatch.setattr(features, "running_level", constant)
    assert is_found(LEVELS, the_same_sound)


@pytest.mark.parametrize("name", PRESETS)
def test_silence_has_no_text(name):
    for offset in (0.0, 0.1):
        assert recogniser(name).transcribe([np.full(16000, offset, np.float32)])[0].text == ""
