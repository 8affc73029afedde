"""Recipes and hyper-parameter files are found by name from anywhere, in a checkout and in a wheel."""

import subprocess
import sys
import zipfile

import pytest

from serenanet_modules import cli
from serenanet_modules.config import carried
from serenanet_modules.config.carried import recipes, there
from serenanet_modules.data.recipe import Recipe
from tests.support.tiny import ROOT, make_corpus


def test_what_is_here_counts_first(tmp_path, monkeypatch):
    """A file of one's own, then what comes with the package; what is neither stays as it was given."""
    monkeypatch.chdir(tmp_path)
    assert there("hparams/serenanet.yaml") == ROOT / "hparams/serenanet.yaml"
    assert there("CommonVoice/sw") == there("recipes/CommonVoice/sw") == ROOT / "recipes/CommonVoice/sw"
    assert str(there("none/such.yaml")) == "none/such.yaml" and str(there("setup.py")) == "setup.py"
    (tmp_path / "hparams").mkdir()
    (tmp_path / "hparams/serenanet.yaml").write_text("seed: 1\n", encoding="utf-8")
    assert str(there("hparams/serenanet.yaml")) == "hparams/serenanet.yaml"


def test_recipes_by_name(tmp_path, monkeypatch, capsys):
    """All of them are named, and a model is configured with one in an empty folder."""
    monkeypatch.chdir(tmp_path)
    assert cli.main(["recipe"]) == 0
    assert capsys.readouterr().out.split() == recipes() and "CommonVoice/sw" in recipes()
    assert cli.main(["config", "hparams/serenanet.yaml", "--recipe", "CommonVoice/sw"]) == 0
    assert "locale: sw" in capsys.readouterr().out


@pytest.mark.parametrize("name", recipes())
def test_a_copy_is_a_recipe(name, tmp_path, capsys):
    """It stands alone, with its reader, and says what the original says."""
    assert cli.main(["recipe", name, "--out", str(tmp_path / "copy")]) == 0
    copy, original = Recipe(tmp_path / "copy"), Recipe(name)
    assert repr((copy.keys, copy.options)) == repr((original.keys, original.options))
    assert (tmp_path / "copy/train.py").is_file() and (copy.languages is None) == (original.languages is None)


def test_a_copy_reads_the_corpus(tmp_path, capsys):
    """As the original does."""
    corpus = make_corpus(tmp_path / "sw", sizes={"train": 3, "dev": 1, "test": 1})
    assert cli.main(["recipe", "recipes/CommonVoice/sw/", "--out", str(tmp_path / "copy")]) == 0
    copy, original = (Recipe(folder) for folder in (tmp_path / "copy", "CommonVoice/sw"))
    assert copy.candidates(copy.values(str(corpus), "")) == original.candidates(original.values(str(corpus), ""))


def test_refusals(tmp_path, capsys):
    """Each in a sentence."""
    for line, told in (
        (["recipe", "None/such", "--out", tmp_path / "a"], "there is no recipe None/such"),
        (["recipe", "CommonVoice/sw"], "give with --out the folder"),
        (["recipe", "CommonVoice/sw", "--out", tmp_path], "exists already"),
        (["train", "None/such", "hparams/serenanet.yaml"], "has no train.py"),
    ):
        assert cli.main([*map(str, line)]) == 2
        assert told in capsys.readouterr().err


def test_a_wheel_carries_them_as_data(tmp_path):
    """All files of both folders, inside the package, and no other package beside it."""
    command = [sys.executable, "setup.py", "-q", "build", "-b", tmp_path / "build", "egg_info", "-e", tmp_path]
    subprocess.run([*command, "bdist_wheel", "-d", tmp_path], cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    names = [name for name in zipfile.ZipFile(wheel).namelist() if "__pycache__" not in name]
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"serenanet_modules", "serenanet"}
    for kind in carried.KINDS:
        files = {path.relative_to(ROOT).as_posix() for path in (ROOT / kind).rglob("*.*") if path.is_file()}
        files = {name for name in files if "__pycache__" not in name}
        assert {f"serenanet_modules/carried/{name}" for name in files} <= set(names)
