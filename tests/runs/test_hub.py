"""A model goes to the Hugging Face hub and comes back, against a local fake of its API."""

import io
import json
import shutil

import pytest
from ruamel.yaml import YAML

from serenanet_modules import Recognizer, cli
from serenanet_modules.errors import UserError
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.publishing import publish
from tests.support.hub import serving


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with serving(monkeypatch, tmp_path / "cache") as found:
        yield found


@pytest.fixture
def folder(tiny, tmp_path):
    """A result folder that may be changed."""
    return shutil.copytree(tiny[1], tmp_path / "run", ignore=shutil.ignore_patterns("CKPT*"))


def test_there_and_back(hub, folder, recognizer, clips, capsys):
    """What is pushed is opened by its name and hears the same, and a training starts from it."""
    assert cli.main(["push", str(folder), "amina/swahili", "--license", "cc-by-4.0", "--private"]) == 0
    assert capsys.readouterr().out.strip().endswith("amina/swahili") and hub.private["amina/swahili"] is True
    files = hub.models["amina/swahili"]
    assert {"hyperparams.yaml", "weights.safetensors", "save/units/units.json", "README.md"} <= set(files)
    assert not [name for name in files if "CKPT" in name or "tensorboard" in name or name.endswith((".csv", ".mp3"))]
    opened = Recognizer.from_folder("amina/swahili")
    assert [opened.transcribe(clip) for clip in clips[:2]] == recognizer.transcribe(clips[:2])
    commit = hub.commits["amina/swahili"]
    assert Recognizer.from_folder(f"amina/swahili@{commit}").folder == opened.folder
    origin = open_origin("amina/swahili")
    assert origin.about["revision"] == commit and origin.units.pieces == recognizer.units.pieces


def test_names_that_the_hub_does_not_have(hub):
    with pytest.raises(
        UserError, match="there is no folder amina/none, and the hub does not give a model of this name"
    ):
        open_origin("amina/none")


@pytest.mark.parametrize("name", ["ENCODER", "amina/swahili"])
def test_no_network(hub, folder, name):
    """It is said plainly, whatever is to be had or given."""
    hub.shutdown()
    hub.server_close()
    with pytest.raises(UserError) as caught:
        open_origin(name)
    told = "is no folder here, and the Hugging Face hub cannot be reached: give a folder, or go online"
    assert str(caught.value) == f"pretrained: {name} {told}"
    with pytest.raises(UserError, match="cannot be uploaded, as the Hugging Face hub cannot be reached: go online"):
        publish(folder, "amina/swahili", "mit")


def test_the_card_is_complete(hub, folder):
    """It says the licence and the name by which the model is opened, and nothing is left to fill in."""
    publish(folder, "amina/swahili", "mit")
    card = hub.models["amina/swahili"]["README.md"].decode()
    front = YAML(typ="safe").load(io.StringIO(card.split("---\n")[1]))
    assert front["license"] == "mit" and front["language"] == ["sw"] and front["model-index"][0]["results"]
    assert 'from_folder("amina/swahili")' in card and "FOLDER" not in card and "Not stated" not in card
    assert "unknown" in (folder / "README.md").read_text(encoding="utf-8")  # the folder's own is as it was


def test_a_card_that_was_edited(hub, folder):
    """It is uploaded as it is, if it states a licence."""
    card = folder / "README.md"
    card.write_text("---\nlicense: cc0-1.0\n---\n# Of my own\n", encoding="utf-8")
    publish(folder, "amina/swahili")
    assert hub.models["amina/swahili"]["README.md"] == card.read_bytes()
    with pytest.raises(UserError, match="was edited, and says the licence cc0-1.0"):
        publish(folder, "amina/swahili", "mit")
    card.write_text("# Of my own\n", encoding="utf-8")
    with pytest.raises(UserError, match="states no licence"):
        publish(folder, "amina/swahili")


def test_refusals(hub, folder, monkeypatch):
    """Each in a sentence, and nothing is uploaded."""
    for name, licence, told in (
        ("swahili", "mit", "give a name on the hub"),
        ("amina/swahili", None, "say with --license"),
        ("amina/swahili", "My own!", "give a licence by the hub's name"),
    ):
        with pytest.raises(UserError, match=told):
            publish(folder, name, licence)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(UserError, match="cannot be uploaded .*HF_TOKEN"):
        publish(folder, "amina/swahili", "mit")
    (folder / "result.json").unlink()
    with pytest.raises(UserError, match="result.json is missing"):
        publish(folder, "amina/swahili", "mit")
    assert not hub.models
    with pytest.raises(UserError, match="RESULT_DIR: there is no folder amina/none"):
        Recognizer.from_folder("amina/none")


def test_the_file_of_sums_goes_along(hub, folder):
    """So that what arrived can be told from what was sent."""
    publish(folder, "amina/swahili", "mit")
    sums = json.loads(hub.models["amina/swahili"]["checksums.json"])
    assert "weights.safetensors" in sums
