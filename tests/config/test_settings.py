"""The command line of a recipe's train.py."""

import re
from pathlib import Path

import pytest

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.keys import KEYS
from serenanet_modules.config.settings import RUN_OPTIONS, help_text, read_command_line, split_arguments
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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--length_normalisation"],
        ["--length-normalisation"],
        ["--length-normalisation", "true"],
        ["--length_normalisation=true"],
        ["--length_normalisation", "True"],
        ["--length_normalisation", "yes"],
        ["--length_normalisation=ON"],
    ],
)
def test_a_switch_is_on_without_a_value(arguments):
    """Whatever the file says, with hyphens too; a key that is no switch still wants its value."""
    off = ["--length_normalisation", "No"]
    assert read("--data_folder", "x", *off)[0].plain()["length_normalisation"] is False
    assert read("--data-folder", "x", *off, *arguments)[0].plain()["length_normalisation"] is True
    with pytest.raises(UserError, match="'--beam_size' needs one value, not 0"):
        read("--data-folder", "x", "--beam-size", "--length-normalisation")


@pytest.mark.parametrize("key", [key for key in KEYS if "_" in key and not key.startswith("max_batch_l")])
def test_hyphens_and_underscores_are_the_same(key):
    """Every key of the table, that of a mapping too."""
    hparams = Hparams.load(preset("serenanet"))
    names = key.split(".")
    if names[0] not in hparams:
        hparams = Hparams.load(preset("transformer_lm"))
    spelled = [split_arguments([f"--{name}", "7"], hparams)[0] for name in (key, key.replace("_", "-"))]
    assert spelled[0] == spelled[1] == [(key, "7")]


@pytest.mark.parametrize(
    ("words", "options"),
    [
        ([], []),
        (["--noprogressbar"], ["--noprogressbar"]),
        (["--noprogressbar", "true"], ["--noprogressbar"]),
        (["--noprogressbar", "True"], ["--noprogressbar"]),
        (["--noprogressbar", "YES"], ["--noprogressbar"]),
        (["--noprogressbar=false"], []),
        (["--noprogressbar", "Off"], []),
        (["--distributed-backend", "gloo"], ["--distributed_backend", "gloo"]),
    ],
)
def test_run_options(words, options):
    assert read("--data_folder", "x", *words)[2] == options
    with pytest.raises(UserError, match="'--noprogressbar' must be true or false, not maybe"):
        read("--data_folder", "x", "--noprogressbar", "maybe")


def test_help_has_all_that_can_be_given():
    text = help_text(Recipe(ROOT / "recipes/FLEURS"), "recipes/FLEURS/train.py")
    assert text.startswith("usage: recipes/FLEURS/train.py FILE [FILE …] [--key value …]")
    words = text.split()
    assert {f"--{key}" for key in [*KEYS, *RUN_OPTIONS, "language"]} <= set(words)
    shares = help_text(Recipe(ROOT / "recipes/Custom"), "x")
    assert re.search(r"--shares +\{train: 0.8, dev: 0.1, test: 0.1\}", shares) and "--split_seed" in shares


def test_a_layer_alone_is_no_model():
    with pytest.raises(UserError, match="no_car.yaml: is a layer over a model; give the model"):
        read_command_line(RECIPE, [str(ROOT / "hparams/ablations/no_car.yaml"), "--data_folder", "x"])
