"""A result folder whose files are not those that its run wrote is refused by the name of the first, in one sentence."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.opening import open_run
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.whole import FILE, MODEL, WEIGHTS, renew, seal
from tests.support.folders import make_random_result
from tests.support.presets import preset

SMALL = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64"), ("car", "null")]
TEXT = "mama anakula ng'ombe wa baba"
RESULT = {"experiment": "x", "commit": None, "epochs": 1, "data": {"splits": {"train": {"hours": 1}}, "locales": []}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder as a run leaves it, of characters, with words and a language model."""
    folder = make_random_result(
        tmp_path_factory.mktemp("whole") / "run", preset("serenanet/demo"), *SMALL, texts=[TEXT]
    )
    (folder / "result.json").write_text(json.dumps(RESULT), encoding="utf-8")
    (folder / "save/words.txt").write_text("mama\n", encoding="utf-8")
    (folder / "save/lexicon.tsv").write_text("mama\tm a m a\n", encoding="utf-8")
    seal(folder)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def opened(folder):
    return open_run(folder, "cpu")


def started(folder):
    return open_origin(str(folder))


def test_what_a_run_wrote_opens(folder):
    assert opened(folder).units.size == started(folder).units.size
    assert set(json.loads((folder / FILE).read_text())) == {name for name in MODEL if (folder / name).is_file()}


def _weights(change):
    return lambda folder: save_file(
        {name: change(tensor) for name, tensor in load_file(folder / WEIGHTS).items()}, folder / WEIGHTS
    )


def _swapped(folder):
    """The same characters in another order: units of the same number."""
    units = train_units("char", [TEXT[::-1] + " " + "u" * 9], None)
    units.save(folder / "save/units")


CHANGES = {
    "units in another order": (_swapped, "save/units/units."),
    "other weights": (_weights(lambda t: t * 2 if t.is_floating_point() else t), WEIGHTS),
    "weights in 8 bits": (_weights(lambda t: t.to(torch.int8)), WEIGHTS),
    "complex weights": (_weights(lambda t: t.to(torch.complex64)), WEIGHTS),
    "another result": (lambda folder: (folder / "result.json").write_text("{}"), "result.json"),
    "other words": (lambda folder: (folder / "save/words.txt").write_text("baba\n"), "save/words.txt"),
    "another scoring": (
        lambda folder: (folder / "hyperparams.yaml").write_text((folder / "hyperparams.yaml").read_text() + "# x\n"),
        "hyperparams.yaml",
    ),
}


NEEDED_BY = [(name, opening) for name in CHANGES for opening in (opened, started)]
NEEDED_BY.remove(("other words", started))


@pytest.mark.parametrize(("name", "opening"), NEEDED_BY)
def test_another_file_is_named(folder, name, opening):
    change, culprit = CHANGES[name]
    change(folder)
    with pytest.raises(UserError, match="is not the one that the training wrote") as caught:
        opening(folder)
    assert f"{folder}: {culprit}" in str(caught.value) and "\n" not in str(caught.value)


def test_a_file_that_the_run_did_not_write(folder):
    (folder / "save/lm.arpa").write_text("\\data\\\n")
    with pytest.raises(UserError, match=r"save/lm\.arpa is not the one"):
        opened(folder).decoder("auto")


def test_files_that_nobody_needs_may_stay_behind(folder):
    for name in ("result.json", "save/words.txt"):
        (folder / name).unlink()
    assert opened(folder).settings["confidence"] == {}


@pytest.mark.parametrize("text", ["", "[]", "3", "[" * 5000, '{"weights.safetensors": 3}'])
def test_sums_that_are_none(folder, text):
    (folder / FILE).write_text(text)
    with pytest.raises(UserError, match=r"hyperparams.yaml is not the one|is not what a training writes|is damaged"):
        opened(folder)


def test_what_a_run_writes_anew_is_its_own(folder):
    """Other decoding settings, or weights of more epochs."""
    with open(folder / "hyperparams.yaml", "a", encoding="utf-8") as file:
        file.write("# more\n")
    renew(folder, "hyperparams.yaml")
    CHANGES["other weights"][0](folder)
    renew(folder, WEIGHTS)
    assert opened(folder).units.size
    (folder / FILE).unlink()
    renew(folder, WEIGHTS)
    assert not (folder / FILE).exists()


def test_a_folder_without_sums(folder, caplog):
    """Of a run that has not ended, or handed on without: it opens with a warning."""
    opened(folder)
    assert not caplog.messages
    (folder / FILE).unlink()
    assert opened(folder).units.size and opened(folder).units.size
    (said,) = caplog.messages
    assert said.startswith(f"warning: {folder}: has no {FILE}") and "\n" not in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_weights(lambda t: t.to(torch.int8)), "holds int8, which no weights are"),
        (_weights(lambda t: t.to(torch.complex64)), "holds complex64, which no weights are"),
        (_weights(lambda t: t.to(torch.int64)), "holds whole numbers, and the model real numbers"),
    ],
)
def test_kinds_of_numbers_without_sums(folder, change, said):
    """In a folder that nobody has sealed."""
    (folder / FILE).unlink()
    change(folder)
    with pytest.raises(UserError, match=said):
        opened(folder)
