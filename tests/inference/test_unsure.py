"""What needs confidences refuses models that have none, before any audio is read."""

from argparse import Namespace
from pathlib import Path

import pytest
from torch import nn

from serenanet_modules.inference import pseudo_labels, ranking
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.language_models import speech_llm
from tests.support.refusals import refusal


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
