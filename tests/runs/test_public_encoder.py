"""Folders of public encoders are data: code, pickles, sizes that no file holds and links that lead out are refused."""

import json
import re
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.runs.public_encoder import EncoderFolder
from serenanet_modules.runs.public_parts import take_weights
from tests.support.encoders import save_encoder
from tests.support.folders import copy_without, make_random_result
from tests.support.hub import serving
from tests.support.presets import preset
from tests.support.refusals import refusal

SMALL = (("d_model", "32"), ("head.n_layers", "1"), ("head.d_ffn", "32"))


@pytest.fixture(scope="module", name="original")
def _original(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoders") / "wav2vec2", "wav2vec2")


@pytest.fixture(name="folder")
def _folder(original, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(original, tmp_path / "encoder")


def change(folder, name="config.json", **values):
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text(encoding="utf-8")), **values}), encoding="utf-8")


def refused(folder, *culprits):
    """The sentence of a folder that cannot be used; nothing large was made to find out."""
    made, build = [], torch.nn.Linear.__init__

    def counting(self, *sizes, **options):
        build(self, *sizes, **options)
        made.append(self.weight.device.type)

    torch.nn.Linear.__init__ = counting
    try:
        return refusal(lambda: EncoderFolder(str(folder)).arguments(), "encoder", *culprits)
    finally:
        torch.nn.Linear.__init__ = build
        assert set(made) <= {"meta"}


def test_code_of_its_own(folder):
    change(folder, auto_map={"AutoModel": "modeling_evil.Evil"})
    (folder / "modeling_evil.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    refused(folder, "auto_map", "never run")


def test_pickles(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    refused(folder, "pytorch_model.bin", "anybody's code", "safetensors")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"hidden_size": 30000}, "far larger than"),
        ({"num_hidden_layers": 150}, "lack body.layers.2"),
        ({"intermediate_size": 4}, "not (4, 16)"),
        ({"hidden_size": 10**9}, "hidden_size is 1000000000"),
        ({"model_type": "llama"}, "model_type 'llama'"),
        ({"hidden_act": "exec"}, "exec"),
        ({"num_attention_heads": 0}, "cannot be used"),
        ({"conv_kernel": []}, "cannot be used"),
    ],
)
def test_configurations_that_the_weights_do_not_fit(folder, values, words):
    change(folder, **values)
    refused(folder, words)


def test_another_rate(folder):
    change(folder, "preprocessor_config.json", sampling_rate=8000)
    refused(folder, "8000 Hz")


@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 10**5, '{"a": "' + "x" * 2**20 + '"}'])
def test_configurations_that_are_no_json(folder, text):
    (folder / "config.json").write_text(text, encoding="utf-8")
    refused(folder, "config.json")


def test_weights_that_are_none(folder):
    (folder / "model.safetensors").write_bytes(b"\xff" * 100)
    refused(folder, "model.safetensors")


def test_links_that_lead_out(folder, original):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(original / "model.safetensors")
    with pytest.raises(UserError, match="outside of the folder"):
        EncoderFolder(str(folder))


def test_what_is_not_there(tmp_path, monkeypatch):
    """A path, an empty folder, and a name of the hub without the hub; each one sentence."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    refusal(lambda: EncoderFolder(str(tmp_path / "none")), "there is no folder", tmp_path / "none")
    refusal(lambda: EncoderFolder(str(tmp_path)), "config.json")
    refusal(lambda: EncoderFolder("facebook/none-such"), "facebook/none-such is no folder here", "hub")
    refusal(lambda: EncoderFolder("../facebook"), "there is no folder")


def test_a_missing_adapter(folder):
    refusal(lambda: EncoderFolder(str(folder), None, "swh"), "adapter.swh.safetensors")


def test_weights_in_several_files(folder, original):
    """Large models have shards; the digest is of all of them."""
    tensors, names = load_file(folder / "model.safetensors"), sorted(load_file(folder / "model.safetensors"))
    (folder / "model.safetensors").unlink()
    for i, part in enumerate((names[:20], names[20:])):
        save_file({name: tensors[name] for name in part}, folder / f"model-0000{i + 1}-of-00002.safetensors")
    whole, parts = EncoderFolder(str(original)), EncoderFolder(str(folder))
    assert whole.arguments() == parts.arguments() and whole.sha256 != parts.sha256
    encoder = PublicEncoder(str(folder), parts.arguments(), sha256=parts.sha256)
    take_weights(encoder)
    assert torch.equal(encoder.network.projection.projection.weight, tensors["feature_projection.projection.weight"])


def parts_of(folder, stem, count=2):
    """Spread weights over files as transformers do, with an index; returns the index."""
    tensors = load_file(folder / "model.safetensors")
    names, weight_map = sorted(tensors), {}
    for i in range(count):
        part = f"{stem}-{i + 1:05d}-of-{count:05d}.safetensors"
        save_file({name: tensors[name] + 1 for name in names[i::count]}, folder / part)
        weight_map |= dict.fromkeys(names[i::count], part)
    return {"metadata": {}, "weight_map": weight_map}


def test_other_precisions_beside_the_weights(folder, original):
    """The one file counts; without it those that the index lists, and no others."""
    index = parts_of(folder, "model.fp32")
    (folder / "model.fp32.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert EncoderFolder(str(folder)).sha256 == EncoderFolder(str(original)).sha256
    (folder / "model.safetensors.index.json").write_text(json.dumps(parts_of(folder, "model", 3)), encoding="utf-8")
    (folder / "model.safetensors").unlink()
    assert [file.name for file in EncoderFolder(str(folder)).files] == [
        f"model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)
    ]
    (folder / "model-00002-of-00003.safetensors").unlink()
    refused(folder, "lacks model-00002-of-00003.safetensors")


@pytest.mark.parametrize(
    "name", ["../model.safetensors", "/tmp/model.safetensors", "pytorch_model.bin", "x/y.safetensors"]
)
def test_an_index_of_anybody(folder, name):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}), encoding="utf-8")
    refused(folder, name, "no name of a file of weights")


def test_what_is_fetched(original, tmp_path, monkeypatch):
    """Of the hub only what counts; where there is nothing, another revision may have it."""
    with serving(monkeypatch, tmp_path / "cache") as hub:
        files = {path.name: path.read_bytes() for path in original.iterdir()}
        hub.models["x/one"] = files | {"model.fp32-00001-of-00002.safetensors": b"large"}
        parts = {"model-00001-of-00001.safetensors": files["model.safetensors"]}
        hub.models["x/parts"] = {name: data for name, data in files.items() if name != "model.safetensors"} | parts
        hub.models["x/none"] = {"config.json": files["config.json"], "pytorch_model.bin": b"large"}
        hub.commits.update(dict.fromkeys(hub.models, "0123abc"))
        one, several = EncoderFolder("x/one"), EncoderFolder("x/parts")
        assert not any("fp32" in asked for asked in hub.asked) and one.sha256 == several.sha256
        assert [file.name for file in several.files] == list(parts)
        with pytest.raises(UserError, match="give a revision that has them with --encoder.revision"):
            EncoderFolder("x/none")


# --- result folders ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", name="result")
def _result(tmp_path_factory):
    return make_random_result(tmp_path_factory.mktemp("run") / "1986", preset("pretrained_ctc"), *SMALL, blank=2.0)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("hidden_size: 16", "hidden_size: 30000", "far larger than"),
        ("hidden_size: 16", "hidden_size: 99999", "hidden_size is 99999"),
        ("model_type: wav2vec2", "model_type: llama", "model_type 'llama'"),
        ("model_type: wav2vec2", "auto_map: evil", "model_type None"),
        ("num_hidden_layers: 2", "num_hidden_layers: 3", "does not fit"),
    ],
)
def test_a_result_folder_of_anybody(result, tmp_path, old, new, words):
    """Its encoder is of a known class and no larger than its weights."""
    folder = copy_without(result, tmp_path / "copy")
    file = folder / "hyperparams.yaml"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    refusal(lambda: Recognizer.from_folder(folder), folder, words)


@pytest.mark.parametrize("positions", ["", "\n    max_source_positions: 16000"])
def test_a_table_of_anybody(tmp_path, positions):
    """One that is made before it is known to be larger than the weights; also by transformers' own default."""
    name = "wav2vec2-bert-relative"
    folder = make_random_result(tmp_path / "1986", preset("pretrained_ctc"), *SMALL, ("encoder.source", name))
    file = folder / "hyperparams.yaml"
    text = file.read_text(encoding="utf-8").replace("hidden_size: 16", "hidden_size: 4096")
    assert Recognizer.from_folder(folder)
    old = re.search(r"( +)position_embeddings_type: relative", text)
    more = positions.replace("    ", old[1])
    file.write_text(text.replace(old[0], old[0] + more), encoding="utf-8")
    refusal(lambda: Recognizer.from_folder(folder), folder, "hidden_size 4096, whose table is out of range")


@pytest.fixture(name="referring")
def _referring(result, folder, tmp_path):
    """A result folder that says where its encoder is and lacks it, and samples with their text."""
    run = copy_without(result, tmp_path / "referring")
    encoder = EncoderFolder(str(folder))
    file = run / "hyperparams.yaml"
    text = file.read_text(encoding="utf-8").replace("source: wav2vec2", f"source: {folder}")
    text = text.replace("keep: copy", "keep: reference").replace("sha256:", f"sha256: {encoder.sha256}")
    file.write_text(text, encoding="utf-8")
    tensors = load_file(run / "weights.safetensors")
    held = {name: t for name, t in tensors.items() if not name.startswith("model.acoustic.encoder.")}
    assert len(held) < len(tensors)
    save_file(held, run / "weights.safetensors")
    return run


def test_a_reference(referring, folder, tmp_path):
    """The encoder's weights come from where it is, or from beside the others, and are those that they were."""
    encoder = Recognizer.from_folder(referring).modules["model"].acoustic.encoder
    tensors = load_file(folder / "model.safetensors")
    assert torch.equal(encoder.network.projection.projection.weight, tensors["feature_projection.projection.weight"])
    shutil.move(folder, tmp_path / "elsewhere")
    refusal(lambda: Recognizer.from_folder(referring), "there is no folder", folder, referring / "encoder")
    shutil.copytree(tmp_path / "elsewhere", referring / "encoder")
    again = Recognizer.from_folder(referring).modules["model"].acoustic.encoder
    assert torch.equal(again.network.front.conv_layers[0].conv.weight, encoder.network.front.conv_layers[0].conv.weight)


def test_a_reference_to_other_weights(referring, folder):
    """One bit is enough."""
    tensors = load_file(folder / "model.safetensors")
    tensors["feature_projection.projection.bias"][0] += 1e-3
    save_file(tensors, folder / "model.safetensors")
    refusal(lambda: Recognizer.from_folder(referring), folder, "SHA-256")
