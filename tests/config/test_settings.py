"""The command line of a recipe's train.py."""

from pathlib import Path

import pytest

from serenanet_modules.config.settings import read_command_line
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.errors import UserError
from tests.support.presets import preset

ROOT = Path(__file__).parents[2]
RECIPE = Recipe(ROOT / "recipes/CommonVoice/sw")


def read(*arguments):
    return read_command_line(RECIPE, [*map(str, preset("serenanet/small")), *arguments])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--data_folder", "one", "two more.tsv"],
        ["--data_folder", "one", "--lr", "0.1", "--data_folder=two more.tsv"],
        ["--data_folder", "[one, two more.tsv]"],
    ],
)
def test_corpora_are_pooled(arguments):
    """By one option with all of them, by one option of each, and by a list."""
    hparams, overrides, options = read(*arguments, "--device=cpu")
    assert hparams.plain()["data_folder"] == ["one", "two more.tsv"]
    assert dict(overrides)["data_folder"].count("one") == 1 and options == ["--device", "cpu"]
    assert read("--data_folder", "one")[0].plain()["data_folder"] == "one"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--lr", "1", "2"], "'--lr' needs one value, not 2"),
        (["--data_folder"], "'--data_folder' needs one value, not 0"),
        (["--lr=1", "data"], "'data' does not belong to any --key"),
        (["--jit", "x"], "'--jit' of SpeechBrain is not supported here; device, "),
    ],
)
def test_refused(arguments, words):
    with pytest.raises(UserError, match=words):
        read("--data_folder", "x", *arguments)
