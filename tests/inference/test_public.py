"""The package's public names, and what its one class takes."""

import subprocess
import sys

import numpy as np
import pytest

import serenanet_modules
from serenanet_modules import Recognizer, Transcript, UserError
from serenanet_modules.data.audio import SAMPLE_RATE, load
from tests.support.tiny import ROOT


def test_public_names():
    """All are there, and the page of Python lists them."""
    page = (ROOT / "docs/ecosystem.md").read_text(encoding="utf-8")
    for name in serenanet_modules.__all__:
        assert getattr(serenanet_modules, name) is not None and f"`{name}`" in page
    assert set(serenanet_modules.__all__) <= set(dir(serenanet_modules))
    with pytest.raises(AttributeError, match="has no attribute 'Recogniser'"):
        serenanet_modules.Recogniser  # noqa: B018


def test_the_import_is_cheap():
    """Neither torch nor numpy is loaded before a name is asked for."""
    code = "import sys, serenanet_modules; print([m for m in ('torch', 'numpy', 'speechbrain') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout == "[]\n"


def test_one_source_is_one_transcript(recognizer, clips):
    """A path, text or not, an array, and a pair with its rate; several are a list."""
    (expected,) = recognizer.transcribe([clips[0]])
    samples = load(clips[0])
    assert isinstance(expected, Transcript) and expected.text
    for source in (clips[0], str(clips[0]), samples, (samples, SAMPLE_RATE), samples.astype(np.float64)):
        assert recognizer.transcribe(source) == expected
    assert recognizer.transcribe((clips[0], clips[0])) == [expected, expected]
    with pytest.raises(UserError, match="none.mp3"):
        recognizer.transcribe("none.mp3")


def test_overrides_are_honoured(tiny, recognizer, clips):
    """Decoding goes by them: the output that is read, the beam, and the weights of the language model."""
    found = Recognizer.from_folder(tiny[1], overrides={"scoring": "car", "beam_size": 7, "lm_weight": 0.125})
    assert found.decoder().name == "car/greedy" and recognizer.decoder().name == "decoder/greedy"
    beam = found.decoder("auto")
    assert (beam.beam_size, beam.lm_weight) == (7, 0.125) and beam.lm_weight != recognizer.decoder("auto").lm_weight
    assert found.transcribe(clips[0]) != recognizer.transcribe(clips[0])


@pytest.mark.parametrize(
    "overrides, told",
    [
        ({"lr": 0.1}, "there is no 'lr' to override here; there are .*scoring"),
        ({"beam_size": -1}, "'beam_size' must be between 0 and 1000"),
        ({"scoring": "best"}, "'scoring' must be one of"),
        ({"attention_beam_size": 3}, "there is no 'attention_beam_size'"),
    ],
)
def test_overrides_that_cannot_be(tiny, overrides, told):
    with pytest.raises(UserError, match=told):
        Recognizer.from_folder(tiny[1], overrides=overrides)
