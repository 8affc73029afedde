"""A Whisper learns on: adapters on its encoder, its own units and sizes; then the result folder needs it no more."""

import shutil

import pytest

from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.presets import preset
from tests.support.tiny import Run, command, decoded, weights
from tests.support.whispers import make_whisper

pytest.importorskip("transformers")


@pytest.fixture(scope="module", name="run")
def _run(corpus, tmp_path_factory):
    """A whole job of two epochs, whose source is gone afterwards."""
    folder = tmp_path_factory.mktemp("whisper")
    source = make_whisper(folder / "source", seconds=2.0, sharpness=2.0)
    model = ["--pretrained", str(source), "--lora.r", "2", "--attention_beam_size", "2"]
    arguments = command(corpus, folder / "run", "--number_of_epochs", 2, hparams=preset("whisper"), model=model)
    run = Run(arguments, folder / "run").done()
    shutil.rmtree(source)
    return run


def test_it_learns(run):
    """By its attention decoder alone, with its own units; adapters are merged."""
    first, last = run.result["history"]
    assert last["train"]["loss"] < first["train"]["loss"]
    assert set(first["train"]) == {"loss", "attention", "accuracy"}
    assert run.result["units"]["kind"] == "whisper"
    assert not [name for name in weights(run.folder) if "lora" in name or name.startswith("model.decoder")]


def test_the_table_counts_what_learns(run):
    """Of an encoder with adapters these alone."""
    lines = [line.replace(",", "").split() for line in run.output.splitlines()]
    table = {line[0]: tuple(map(int, line[1:])) for line in lines if len(line) == 3 and line[2].isdecimal()}
    (encoder, adapters), (everything, learns) = table["encoder"], table["total"]
    assert 0 < adapters < encoder // 5 and everything - learns == encoder - adapters
    assert run.result["trained_parameters"] == learns


def test_it_transcribes_what_its_evaluation_read(run, corpus):
    rows = decoded(run.folder, "test")
    assert {"attention/greedy", "attention/beam"} <= set(rows[0])
    recognizer = Recognizer.from_folder(run.folder)
    found = recognizer.transcribe(corpus / "clips" / f"{row['id']}.mp3" for row in rows)
    assert [transcript.text for transcript in found] == [row["attention/beam"] for row in rows]
    english = Recognizer.from_folder(run.folder, language="en").run.decoders.attention.prefix
    assert english != recognizer.run.decoders.attention.prefix
    with pytest.raises(UserError, match="has no language 'de'"):
        Recognizer.from_folder(run.folder, language="de")
