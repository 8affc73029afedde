"""What needs confidences refuses models that have none, before any audio is read; what has times says so."""

from argparse import Namespace
from pathlib import Path

import pytest
from torch import nn

from serenanet_modules.cli import main
from serenanet_modules.inference import pseudo_labels, ranking
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.server import run
from tests.support.folders import make_random_speech_llm
from tests.support.language_models import speech_llm
from tests.support.refusals import refusal
from tests.support.tiny import SAMPLE, read_tsv, write_tsv


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
    said = "run: has no CTC head, which places words: their times and confidences say nothing; take another model"
    refusal(lambda: use(recogniser(speech_llm(ctc=False))), said)
    recogniser(speech_llm()).check_sure()


@pytest.fixture(scope="module", name="folders")
def _folders(tmp_path_factory):
    """By whether there is a CTC head: a speech LLM."""
    made, none = tmp_path_factory.mktemp("llms"), (("ctc_head", "false"), ("ctc_weight", "0"), ("draft", "false"))
    return {head: make_random_speech_llm(made / str(head), *(() if head else none)) for head in (True, False)}


def warned_of(capsys, folders):
    """The folders of which it is said that words have no places, as often as it is."""
    said, told = "has no CTC head, which places words: their times and confidences say nothing", capsys.readouterr().err
    return [f for f in folders.values() for _ in range(told.count(f"warning: {f}: {said}"))]


@pytest.mark.parametrize("more", [("--format", "txt"), ("--format", "json"), ("--format", "srt")])
def test_times_without_a_ctc_head(folders, more, capsys):
    """Formats that have times come with a warning, plain text does not; a CTC head places words."""
    clip = next((SAMPLE / "clips").iterdir())
    assert main(["transcribe", str(folders[False]), str(clip), *more]) == 0
    assert warned_of(capsys, folders) == ([] if more[1] == "txt" else [folders[False]])
    assert recogniser(speech_llm()).places_words


def test_a_server_without_a_ctc_head(folders, monkeypatch, capsys):
    """Each model that the server has is warned of once, before it listens; one with a CTC head is not."""
    monkeypatch.setattr(run, "serve", lambda app, listener: listener.close())
    assert main(["serve", *(f"{head}={folder}" for head, folder in folders.items()), "--port", "0"]) == 0
    assert warned_of(capsys, folders) == [folders[False]]


def test_a_measurement_without_a_ctc_head(folders, tmp_path, capsys):
    """The table of confidences is warned of."""
    write_tsv(tmp_path / "few.tsv", read_tsv(SAMPLE / "test.tsv")[:1])
    for head, folder in folders.items():
        assert main(["evaluate", str(folder), str(tmp_path / "few.tsv"), "--data-folder", str(SAMPLE / "clips")]) == 0
        assert warned_of(capsys, folders) == ([] if head else [folder])
