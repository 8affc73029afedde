"""A result folder may be anybody's: opening one builds known classes from plain data, and runs nothing else."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from safetensors.torch import save_file

from serenanet_modules.config import foreign
from serenanet_modules.config.foreign import FORMAT, Document, bounded
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs.folder import for_use
from serenanet_modules.runs.language_model import NeuralLMRun
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.training.targets import load_clusters
from tests.support.encoders import settled
from tests.support.folders import copy_without, make_random_result
from tests.support.presets import LANGUAGE_MODEL, MODELS, preset

NEEDED = [("data_folder", "none"), ("dataset", "Random/sw"), ("locale", "sw"), ("n_units", "28")]
SHIPPED = [*MODELS, LANGUAGE_MODEL]
LOBE = "!new:serenanet_modules.lobes.frontends.StridedConv"


def shipped(name):
    """A model of hparams/ as a run's folder holds it."""
    hparams = Hparams.load(preset(name))
    needed = [*NEEDED, ("acoustic", "none"), ("text", "none")]
    hparams.override([(key, value) for key, value in needed if key in hparams])
    return settled(hparams)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small recogniser."""
    small = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64"), ("car", "null")]
    return make_random_result(tmp_path_factory.mktemp("runs") / "1986", preset("serenanet/demo"), *small)


@pytest.fixture
def copy(folder, tmp_path):
    return copy_without(folder, tmp_path / "copy")


def refusal(text):
    with pytest.raises(UserError) as refused:
        Document(text, Path("x/hyperparams.yaml"))
    assert "\n" not in str(refused.value)
    return str(refused.value)


# --- code -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def touched(tmp_path):
    """A file that the code in these attacks would make, with attacks by name: (what a refusal names, yaml)."""
    mark = tmp_path / "mark"
    touch, module = f"[touch {mark}]", "serenanet_modules.lobes.ctc_model"
    attacks = {
        "apply": ("!apply:os.system", f"evil: !apply:os.system {touch}"),
        "applyref": ("!applyref:os.system", f"evil: !applyref:os.system {touch}"),
        "new": ("!new:subprocess.Popen", f"evil: !new:subprocess.Popen [[touch, {mark}]]"),
        "name": ("!name:os.system", "evil: !name:os.system"),
        "module": ("!module:os", "evil: !module:os"),
        "python": ("!!python/object/apply:os.system", f"evil: !!python/object/apply:os.system {touch}"),
        "whole tag": ("python/name:os.system", "evil: !<tag:yaml.org,2002:python/name:os.system> ''"),
        "renamed tag": ("python/object/new:os.system", f"evil: !!python/object/new:os.system {touch}"),
        "borrowed": (f"!new:{module}.nn.Linear", f"evil: !new:{module}.nn.Linear [1, 1]"),
        "a module's module": (f"!new:{module}.torch.hub.load", f"evil: !new:{module}.torch.hub.load [a, b]"),
        "path class": (
            "training.AtomicCheckpointer",
            f"evil: !new:serenanet_modules.training.AtomicCheckpointer {{checkpoints_dir: {mark}}}",
        ),
        "brain": ("training.brains.CTCBrain", "evil: !new:serenanet_modules.training.brains.CTCBrain"),
        "inside": ("!apply:os.system", f"a:\n  - b: {{c: {LOBE} {{x: !apply:os.system {touch}}}}}"),
        "as a key": ("!apply:os.system", f"? !apply:os.system {touch}\n: 1"),
        "behind an alias": ("!apply:os.system", f"a: &x !apply:os.system {touch}\nb: *x"),
        "include": ("!include:/etc/passwd", "evil: !include:/etc/passwd"),
        "ref": ("!ref", "a: 9\nevil: !ref <a> ** <a> ** <a>"),
        "copy": ("!copy", "a: [1]\nevil: !copy <a>"),
        "tuple": ("!tuple", "evil: !tuple x!!python/name:os.system x"),
        "bytes": ("!!binary", "evil: !!binary aGk="),
        "merge": ("!!merge", "a: &x {b: 1}\nevil: {<<: *x}"),
        "extends": ("'extends'", "extends: /etc/passwd"),
    }
    return mark, attacks


def test_code_is_refused_before_anything_is_built(touched, copy):
    """Tag, class, file and line are named, wherever it stands; and nothing has happened."""
    mark, attacks = touched
    text = (copy / "hyperparams.yaml").read_text(encoding="utf-8")
    lines = len(text.splitlines())
    for name, (named, attack) in attacks.items():
        if name == "extends":
            continue
        (copy / "hyperparams.yaml").write_text(f"{text}\n\n{attack}\n", encoding="utf-8")
        with pytest.raises(UserError) as refused:
            Recognizer.from_folder(copy)
        said = str(refused.value)
        assert named in said and str(copy / "hyperparams.yaml") in said, name
        line = lines + 3 + attack[: attack.index(named.split(":")[0][:4])].count("\n") if named in attack else 0
        assert f"line {line}:" in said or not line or name == "path class", (name, said)
        assert not mark.exists()


def test_extends_reads_nothing(copy):
    """A run's file stands alone; what it extends is not looked at."""
    secret = copy.parent / "secret.yaml"
    secret.write_text("model: 1\n")
    (copy / "hyperparams.yaml").write_text(f"format: {FORMAT}\nextends: {secret}\n")
    with pytest.raises(UserError, match="has no 'model'"):
        Recognizer.from_folder(copy)


def test_texts_that_look_like_tuples(touched):
    """HyperPyYAML hands them to PyYAML's unsafe loader; here they are tuples of plain values, or refused."""
    mark, _ = touched
    evil = f"(!!python/object/apply:os.system [touch {mark}])"
    for text in (f"a: {evil}", f"a: '{evil}'", f'a: "{evil}"'):
        assert "line 3: '!!python/object" in refusal(f"b: 1\n\n{text}")
    assert not mark.exists()
    assert Document("a: (3, x, [1])", "x").build() == {"a": (3, "x", [1])}
    load_hyperpyyaml(f"a: {evil}")
    assert mark.exists()  # else this test proves nothing


def test_every_kind_of_folder(touched, copy, tmp_path):
    """Language models, pre-trainings and clusters are read alike."""
    mark, attacks = touched
    named, attack = attacks["apply"]
    text = f"model:\n    {attack}\n"
    (copy / "hyperparams.yaml").write_text(text)
    (copy / "result.json").write_text(json.dumps({"perplexity": 1}))
    about = {"hyperparams": text, "targets": "acoustic", "iteration": 2, "layer": 1}
    save_file({"centroids": torch.zeros(2, 3)}, copy / "save/clusters.safetensors", {"clusters": json.dumps(about)})
    from serenanet_modules.data.units import load_units

    for opening in (
        lambda: NeuralLMRun(copy).model(load_units(copy / "save/units")),
        lambda: load_clusters(copy / "save/clusters.safetensors"),
        lambda: _pretrained(copy),
    ):
        with pytest.raises(UserError, match=named):
            opening()
    assert not mark.exists()


def _pretrained(folder):
    run = {"experiment": "x", "commit": "y", "epochs": 1, "data": {"locales": [], "splits": {"train": {"hours": 1}}}}
    (folder / "result.json").write_text(json.dumps(run))
    return open_origin(str(folder))


def test_pickles_are_not_loaded(touched, copy):
    """In the place of the weights; training's own checkpoints are in tests/brains."""
    mark, _ = touched
    (copy / "weights.safetensors").write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(UserError, match="cannot be read as weights"):
        Recognizer.from_folder(copy)
    assert not mark.exists()


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


# --- what is allowed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SHIPPED)
def test_what_we_write_is_allowed(name):
    """Every model of hparams/, with all it says of its training."""
    hparams = shipped(name)
    Document((for_use(hparams) if "scoring" in hparams else hparams).text, name)


def test_builds_what_hyperpyyaml_builds():
    """The same objects, shared alike."""
    small = [("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.d_ffn", "64"), ("d_ffn", "64")]
    for name in ("serenanet/demo", "conmamba_s2s"):
        hparams = shipped(name)
        hparams.override([pair for pair in small if pair[0].split(".")[0] in hparams])
        text = for_use(hparams).text
        theirs, ours = load_hyperpyyaml(text), Document(text, name).build()
        assert list(ours) == list(theirs) and ours["modules"]["model"] is ours["model"]
        assert ours["pretrainer"].modules["model"] is ours["model"]
        for key, value in theirs.items():
            assert isinstance(ours[key], type(value)), key
            if isinstance(value, (int, float, str, list)):
                assert ours[key] == value, key
        assert repr(ours["model"]) == repr(theirs["model"])
        assert repr(ours["opt_class"]) == repr(theirs["opt_class"])


def test_trusted_modules(monkeypatch):
    """By the user's word; what is named by a prefix of it is not meant."""
    text = "a: !new:collections.Counter {b: 1}\nc: !name:functools.partial\n"
    assert "SERENANET_TRUST=collections" in refusal(text)
    monkeypatch.setenv(foreign.TRUST, "collect, functools")
    assert "'!new:collections.Counter'" in refusal(text)
    monkeypatch.setenv(foreign.TRUST, "functools,collections")
    assert Document(text, "x").build()["a"] == {"b": 1}


def test_names_that_no_room_exports():
    """What a file of a room has imported or keeps for itself is nothing that a result folder may build."""
    names = (
        "Absent",
        "strided.StridedConv",
        "frontends.strided.StridedConv",
        "frontends.functional",
        "nn",
        "NamedTuple",
    )
    for name in names:
        with pytest.raises(UserError, match=f"may not build '!new:serenanet_modules.lobes.{name}'"):
            Document(f"a: !new:serenanet_modules.lobes.{name}", "x").build()


def test_a_folder_is_parsed_once(copy, monkeypatch):
    """Whatever is asked of it."""
    parsed, compose = [], foreign._Loader.get_single_node
    monkeypatch.setattr(foreign._Loader, "get_single_node", lambda loader: parsed.append(loader) or compose(loader))
    monkeypatch.setattr("ruamel.yaml.YAML.load", None)  # nor by the one that keeps comments
    size = Recognizer.from_folder(copy).units.size
    assert len(parsed) == 1
    document = Document.of_run(copy)
    assert document.plain()["locale"] == "sw" and document.only(["model", "n_units"]).build()["n_units"] == size
    assert len(parsed) == 2


def test_what_nobody_builds_is_judged_too():
    """A part of a document is as good as the whole, and a whole is refused for its parts."""
    document = Document(f"a: &x {LOBE} {{input_size: 3}}\nb: [*x]\nc: {{d: 1}}\ne: (1, 2)", "x")
    assert document.plain() == {"c": {"d": 1}}
    assert document.only(["c", "none"]).build() == {"c": {"d": 1}} and "a" in document and "d" not in document
    assert "'d' is there twice" in refusal("a: 1\nc: {d: 1, d: 2}")
    for text in ("!!map [1]", "!!seq x", "!!seq {b: 1}", "!!str [1]"):
        assert "not valid yaml" in refusal(f"a: {text}")


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_bombs():
    """Small files that stand for more than memory holds are refused at once."""
    laughs = "\n".join(
        ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] + [f"a{i}: &a{i} [{f'*a{i - 1}, ' * 10}]" for i in range(1, 30)]
    )
    assert "line 4: its yaml aliases expand to too much" in refusal(laughs)
    assert "expand to too much" in refusal("a: &a {b: {c: *a}}")
    assert "expand to too much" in refusal("a: [" + "1, " * foreign.MOST_NODES + "]")
    assert "brackets" in refusal("a: " + "[" * 1_500)
    assert "too long for hyper-parameters" in refusal("a: " + "x" * foreign.MOST_TEXT)
    assert "larger than any size" in refusal(f"a: {LOBE}\n    input_size: 0x7fffffff\n")
    assert "larger than any size" in refusal("a: " + "9" * 10_000)
    for text in ("!!int x", "!!float x", "!!timestamp x", "!!bool x", "!!int [1]"):
        assert "not valid yaml" in refusal(f"a: {text}")
        assert "no whole number" in (said := refusal(f"a: {LOBE} [{text}]")) or "not valid yaml" in said
    assert Document("seed: 123456789012", "x").build() == {"seed": 123456789012}


@pytest.mark.parametrize("change", [("d_ffn: 64", "d_ffn: 1000000"), ("n_layers: 1", "n_layers: 1000000")])
def test_a_model_larger_than_its_weights(copy, change):
    """Is refused while it is built, before its memory is touched."""
    file = copy / "hyperparams.yaml"
    text = file.read_text(encoding="utf-8")
    assert change[0] in text
    file.write_text(text.replace(*change), encoding="utf-8")
    with pytest.raises(UserError, match="far larger than .*weights.safetensors"):
        Recognizer.from_folder(copy)


def test_buffers_count_as_well(tmp_path):
    """As parameters do, one or many of them, and only while a model is built."""
    weights = tmp_path / "weights.safetensors"
    weights.write_bytes(b"")

    def register(*megabytes):
        with torch.device("meta"):
            for i, size in enumerate(megabytes):
                torch.nn.Module().register_buffer(f"b{i}", torch.empty(size, 2**20, dtype=torch.uint8))

    with bounded(weights):
        register(16)
    for sizes in ((17,), (9, 8)):
        with pytest.raises(ValueError, match="far larger than .*weights.safetensors"), bounded(weights):
            register(*sizes)
    register(17)


@pytest.mark.parametrize("value", ["100000000", "-1", "many", "1.5", "[1]"])
def test_beams(copy, value):
    file = copy / "hyperparams.yaml"
    text = file.read_text(encoding="utf-8").replace("\nbeam_size: 32", f"\nbeam_size: {value}")
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="'beam_size' is .* from 0 to 1000"):
        Recognizer.from_folder(copy)


# --- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["hyperparams.yaml", "weights.safetensors", "save", "save/units/units.model"])
def test_links_that_lead_out(copy, tmp_path, name):
    """Are refused; links inside the folder, and those of the Hugging Face hub's cache, are not."""
    shutil.move(copy / name, tmp_path / "elsewhere")
    (copy / name).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="is a link to .*elsewhere.*, outside of the folder"):
        Recognizer.from_folder(copy)
    (copy / name).unlink()
    shutil.move(tmp_path / "elsewhere", copy / "inside")
    (copy / name).symlink_to(copy / "inside")
    Recognizer.from_folder(copy)


def test_a_folder_of_the_hubs_cache(copy, tmp_path):
    cached = tmp_path / "models--x--y" / "snapshots" / "0123"
    (cached / "save/units").mkdir(parents=True)
    (cached.parents[1] / "blobs").mkdir()
    for i, name in enumerate(
        ["hyperparams.yaml", "weights.safetensors", *(f"save/units/units.{e}" for e in ("json", "model"))]
    ):
        shutil.copy(copy / name, cached.parents[1] / "blobs" / str(i))
        (cached / name).symlink_to(cached.parents[1] / "blobs" / str(i))
    Recognizer.from_folder(cached)


def test_language_models_outside(copy, tmp_path):
    """A path in a folder is not followed, whatever is there; result.json gives numbers, and names no files."""
    file = copy / "hyperparams.yaml"
    (tmp_path / "secret").write_text("secret")
    text = file.read_text(encoding="utf-8").replace("\nlm: auto", f"\nlm: {tmp_path / 'secret'}")
    file.write_text(text, encoding="utf-8")
    (copy / "result.json").write_text(
        json.dumps({"decoding": {"lm_weight": "a", "word_score": 1.5, "lm": "/x", "attention/beam": {"ngram": "/x"}}})
    )
    recognizer = Recognizer.from_folder(copy)
    assert recognizer.settings["decoding"] == {"word_score": 1.5, "attention/beam": {}}
    with pytest.raises(UserError, match="does not contain its language model, .*secret; give"):
        recognizer.transcribe([], lm="auto")
