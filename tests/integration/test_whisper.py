"""A Whisper learns on, whole or in part, with its own units and sizes; then the result folder needs it no more."""

import re
import shutil
from typing import NamedTuple

import pytest
import torch

from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs.origin import open_origin
from tests.support.presets import preset
from tests.support.tiny import Run, command, decoded, heard, weights
from tests.support.whispers import make_whisper

pytest.importorskip("transformers")


WAYS = {  # options, and which weights learn by them; the adapters' layers are those of the preset
    "all": ((), ""),
    "adapters": (("--lora.r", "2"), r"(?!acoustic\.encoder\.)|.*\.[qv]_proj\.weight$"),
    "encoder frozen": (("--freeze", "encoder"), r"attention\."),
}


class Learned(NamedTuple):
    """A finished run, how it learned, and the weights that it began with, by our names."""

    run: Run
    way: str
    before: dict


@pytest.fixture(scope="module", name="learned", params=WAYS)
def _learned(request, corpus, tmp_path_factory):
    """A whole job of two epochs, whose source is gone afterwards."""
    folder, (options, _) = tmp_path_factory.mktemp("whisper"), WAYS[request.param]
    source = make_whisper(folder / "source", seconds=2.0, sharpness=2.0)
    model = ["--pretrained", str(source), *options, "--attention_beam_size", "2"]
    arguments = command(corpus, folder / "run", "--number_of_epochs", 2, hparams=preset("whisper"), model=model)
    run, before = Run(arguments, folder / "run").done(), open_origin(str(source)).tensors
    shutil.rmtree(source)
    return Learned(run, request.param, before)


@pytest.fixture(name="run")
def _run(learned):
    return learned.run


def test_it_learns(run):
    """By its attention decoder alone, with its own units."""
    first, last = run.result["history"]
    assert last["train"]["loss"] < first["train"]["loss"]
    assert set(first["train"]) == {"loss", "attention", "accuracy"}
    assert run.result["units"]["kind"] == "whisper"


def test_all_else_stays(learned):
    """Bitwise; adapters are merged."""
    run, way, before = learned
    after = {name.removeprefix("model."): tensor for name, tensor in weights(run.folder).items()}
    moved = {name for name, tensor in before.items() if not torch.equal(after[name], tensor)}
    assert after.keys() == before.keys()
    assert moved == {name for name in before if re.match(WAYS[way][1], name)}


def test_the_table_counts_what_learns(learned):
    """Of an encoder with adapters these alone."""
    run, way, before = learned
    lines = [line.replace(",", "").split() for line in run.output.splitlines()]
    table = {line[0]: tuple(map(int, line[1:])) for line in lines if len(line) == 3 and line[2].isdecimal()}
    (encoder, learned_there), (everything, learns) = table["encoder"], table["total"]
    if way == "adapters":
        assert 0 < learned_there < encoder // 5 and everything - learns == encoder - learned_there
    else:
        assert learns == sum(tensor.numel() for name, tensor in before.items() if re.match(WAYS[way][1], name))
    assert run.result["trained_parameters"] == learns


def test_it_transcribes_what_its_evaluation_read(run, corpus):
    rows = decoded(run.folder, "test")
    assert {"attention/greedy", "attention/beam"} <= set(rows[0])
    recognizer = Recognizer.from_folder(run.folder)
    found = recognizer.transcribe(heard(corpus, run.folder, rows))
    assert [transcript.text for transcript in found] == [row["attention/beam"] for row in rows]
    english = Recognizer.from_folder(run.folder, language="en").run.decoders.attention.prefix
    assert english != recognizer.run.decoders.attention.prefix
    with pytest.raises(UserError, match="has no language 'de'"):
        Recognizer.from_folder(run.folder, language="de")
