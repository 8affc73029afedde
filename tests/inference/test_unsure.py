"""What needs confidences refuses models that have none, before any audio is read; what writes times says so."""

from argparse import Namespace
from pathlib import Path

import pytest
from torch import nn

from serenanet_modules.cli import main
from serenanet_modules.inference import pseudo_labels, ranking
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_random_speech_llm
from tests.support.language_models import speech_llm
from tests.support.refusals import refusal
from tests.support.tiny import SAMPLE


def recogniser(model):
    """A `Recognizer` of a model and no more."""
    modules = nn.ModuleDict({"model": model})
    return Recognizer(Namespace(folder="run", modules=modules, units=None, settings={}), "cpu")


@pytest.mark.parametrize(
    "use",
    [
        lambda found: next(ranking.items(found, ["none.wav"])),
        lambda found: pseudo_labels.label(found, [], 0.9, None, Path("none.csv")),
    ],
    ids=["rank", "pseudo-label"],
)
def test_a_speech_llm_without_a_ctc_head(use):
    refusal(lambda: use(recogniser(speech_llm(ctc=False))), "run: gives no confidences", "take another")
    recogniser(speech_llm()).check_sure()


@pytest.mark.parametrize("more", [("--format", "txt"), ("--format", "json"), ("--format", "srt")])
def test_times_without_a_ctc_head(more, tmp_path, capsys):
    """Formats that have times come with a warning, plain text does not; a CTC head places words."""
    without = (("ctc_head", "false"), ("ctc_weight", "0"), ("draft", "false"))
    folder, clip = tmp_path / "llm", next((SAMPLE / "clips").iterdir())
    make_random_speech_llm(folder, *without)
    assert main(["transcribe", str(folder), str(clip), *more]) == 0
    warned = f"warning: {folder}: has no CTC head, which places words" in capsys.readouterr().err
    assert warned == (more[1] != "txt")
    assert recogniser(speech_llm()).places_words
