"""What a run can start from: a result folder, here or in the hub's cache; and what it cannot."""

import json
import shutil

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.opening import open_run
from serenanet_modules.runs.origin import NEEDED, open_origin
from tests.support.origins import make_origin, new_model, start

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_origin(tmp_path_factory.mktemp("origin") / "1986")


@pytest.fixture
def cache(folder, tmp_path, monkeypatch):
    """The hub's cache with that folder as ``owner/name``: links to blobs; no network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / COMMIT
    (repository / "refs").mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "refs/main").write_text(COMMIT)
    for number, file in enumerate(sorted(path for path in folder.rglob("*") if path.is_file())):
        link = snapshot / file.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, repository / "blobs" / str(number))
        link.symlink_to(repository / "blobs" / str(number))
    return tmp_path


@pytest.mark.parametrize("name", ["owner/name", f"owner/name@{COMMIT}", "owner/name@main"])
def test_a_name_on_the_hub(cache, folder, name):
    """It is the folder's model, and its commit is remembered."""
    found, plain = open_origin(name), open_origin(str(folder))
    assert found.about == {**plain.about, "folder": "owner/name", "revision": COMMIT}
    assert found.units.pieces == plain.units.pieces and found.tensors.keys() == plain.tensors.keys()
    units = train_units("char", ["mama anakula"], None)
    hparams, model = new_model(units)
    start(name, hparams, model, units)
    assert torch.equal(model.acoustic.encoder.norm.weight, plain.tensors["acoustic.encoder.norm.weight"])


@pytest.mark.parametrize("name", ["owner/other", "owner/name@v2", "nobody"])
def test_a_name_that_cannot_be_had(cache, name):
    told = rf"pretrained: {name} is no folder here, and HF_HUB_OFFLINE switches .* off: give a folder, or unset"
    with pytest.raises(UserError, match=told.replace("@v2", "")) as caught:
        open_origin(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NEEDED)
def test_files_that_are_missing(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(UserError, match=rf"is not the result folder of a finished run \({name} is missing\)"):
        open_origin(str(copy))


def test_a_folder_above_names_the_finished_runs_in_it(folder, tmp_path):
    """By both ways to open one; so few that they can be read, and else what a run's folder is called."""
    (tmp_path / "Mine/begun/1").mkdir(parents=True)
    (tmp_path / "Mine/begun/1/hyperparams.yaml").touch()
    shutil.copytree(folder, tmp_path / "Mine/done/1986")
    for path in (tmp_path / "Mine", tmp_path / "Mine/done"):
        told = f"{path}.*hyperparams.yaml is missing.*; did you mean {tmp_path}/Mine/done/1986\\?$"
        for opened in (lambda path=path: open_origin(str(path)), lambda path=path: open_run(path, "cpu")):
            with pytest.raises(UserError, match=told):
                opened()
    shutil.copytree(folder, tmp_path / "Mine/done/1987")
    with pytest.raises(UserError, match="did you mean .*/done/1986 or .*/done/1987\\?$"):
        open_run(tmp_path / "Mine/done", "cpu")
    for seed in (1988, 1989):
        shutil.copytree(folder, tmp_path / f"Mine/done/{seed}")
    with pytest.raises(UserError, match="give results/<dataset>/<experiment>/<seed> of a finished run$"):
        open_run(tmp_path / "Mine/done", "cpu")


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"experiment": 1}', "[" * 100_000])
def test_results_that_are_none(folder, tmp_path, text):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "result.json").write_text(text)
    with pytest.raises(UserError, match="result.json: is damaged"):
        open_origin(str(copy))


def test_a_model_without_ears(folder, tmp_path):
    """A language model is no start for a recogniser."""
    copy = shutil.copytree(folder, tmp_path / "copy")
    save_file({"model.stack.embedding.weight": torch.zeros(2, 2)}, copy / "weights.safetensors")
    with pytest.raises(UserError, match="is the result folder of a model without speech input"):
        open_origin(str(copy))
    (copy / "weights.safetensors").write_bytes(b"1")
    with pytest.raises(UserError, match="weights.safetensors: cannot be read as weights"):
        open_origin(str(copy))


def test_links_that_lead_out(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "result.json").unlink()
    (tmp_path / "secret.json").write_text(json.dumps({}))
    (copy / "result.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(UserError, match="is a link to"):
        open_origin(str(copy))
