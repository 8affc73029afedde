"""A result folder with a file missing, cut, replaced or of another version is refused by the name of that file, or does
as the whole one; it never gives another number."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from serenanet_modules import cli
from serenanet_modules.decoding import ngram
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.results import make_examples, make_result
from tests.support.sounds import write

SMALL = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64"), ("car", "null")]
TEXT = "mama anakula ng'ombe wa baba"
USED = ("hyperparams.yaml", "weights.safetensors", "save/units/units.json", "save/units/units.model")
OPTIONAL = ("save/lm.arpa", "save/lexicon.tsv", "result.json")
REPORTED = ("result.json", "decoded_dev.csv", "decoded_test.csv", "examples.npz")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """A clip in which random models hear something."""
    return write(tmp_path_factory.mktemp("noise") / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000))


@pytest.fixture(scope="module")
def recognisers(tmp_path_factory):
    """Random ones, of characters with a language model and of phonemes with a lexicon."""
    made, folder = {}, tmp_path_factory.mktemp("recognisers")
    for kind, texts in (("char", [TEXT]), ("phoneme", ["m a m a | b a b a"])):
        made[kind] = make_random_result(
            folder / kind, preset("serenanet/demo"), *SMALL, units=kind, texts=texts, blank=5.0
        )
        (made[kind] / "result.json").write_text(json.dumps({"decoding": {"lm_weight": 0.5, "word_score": 1.0}}))
        ngram.estimate(["mama baba", "baba mama"], 2, made[kind] / "save/lm.arpa", "own")
    (made["phoneme"] / "save/lexicon.tsv").write_text("mama\tm a m a\nbaba\tb a b a\n")
    return made


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two that can be compared and reported on."""
    folder = tmp_path_factory.mktemp("runs")
    for name, errors in (("a", [1, 2, 0]), ("b", [0, 2, 0])):
        decoders = {split: {"decoder/greedy": errors} for split in ("dev", "test")}
        make_examples(make_result(folder / name, name, 1, decoders))
    return folder


@pytest.fixture
def serenanet(capsys):
    """Run a command line in this process; returns status, stdout, stderr."""

    def run(*arguments):
        capsys.readouterr()
        return cli.main([str(argument) for argument in arguments]), *capsys.readouterr()

    return run


def refused(result, *culprits):
    """Status 2, nothing on stdout, one sentence that names the culprits."""
    status, out, err = result
    assert (status, out) == (2, ""), result
    assert err.startswith("error: ") and err.count("\n") == 1
    for culprit in culprits:
        assert culprit in err, err


def spoil(path, how, seed=""):
    """Do to a file what may happen to files."""
    data, rng = path.read_bytes(), random.Random(f"{path.name}{how}{seed}")
    if how in ("missing", "a folder"):
        path.unlink()
    if how == "a folder":
        path.mkdir()
    contents = {
        "empty": b"",
        "noise": rng.randbytes(3000),
        "zeros": bytes(len(data)),
        "text": b"404 not found\n" * 9,
        "a web page": b"<html><body>Sign in</body></html>\n",
        "not UTF-8": b"\xff\xfe" + data,
        "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n",
        "cut": data[: rng.randrange(1, len(data) * 9 // 10)],
    }
    if how in contents:
        path.write_bytes(contents[how])


WAYS = ("missing", "a folder", "empty", "noise", "zeros", "text", "a web page", "not UTF-8", "pointer", "cut")


# --- recognisers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", USED)
def test_files_that_a_recogniser_needs(serenanet, recognisers, noise, tmp_path, name, how):
    folder = shutil.copytree(recognisers["char"], tmp_path / "run")
    whole = serenanet("transcribe", folder, noise)
    spoil(folder / name, how)
    found = serenanet("transcribe", folder, noise)
    if (name, how) == ("hyperparams.yaml", "cut") and found[0] == 0:  # behind all that is needed
        assert found == whole
    else:
        refused(found, "save/units" if "units" in name else name)


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", OPTIONAL)
def test_files_that_a_recogniser_may_have(serenanet, recognisers, noise, tmp_path, name, how):
    """One that is not there counts as not there; one that is broken is named, or was not needed for the text."""
    kind = "phoneme" if name == "save/lexicon.tsv" else "char"
    options = ["--lm", "auto"] if name == "save/lm.arpa" else []
    folder = shutil.copytree(recognisers[kind], tmp_path / "run")
    whole = serenanet("transcribe", folder, noise, *options)
    assert whole[0] == 0
    spoil(folder / name, how)
    found = serenanet("transcribe", folder, noise, *options)
    if how in ("missing", "a folder"):
        assert found[0] == 0 or (name == "save/lm.arpa" and "language model" in found[2]), found
    else:
        refused(found, name)


@pytest.mark.parametrize("number", range(20))
@pytest.mark.parametrize("name", ["hyperparams.yaml", "save/units/units.json", "save/lexicon.tsv", "result.json"])
def test_changed_characters(serenanet, recognisers, noise, tmp_path, name, number):
    """Of a typo in a file comes a text, or a refusal that names the file; no traceback."""
    rng, folder = random.Random(f"{name}{number}"), shutil.copytree(recognisers["phoneme"], tmp_path / "run")
    text = (folder / name).read_text(encoding="utf-8")
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text))
        text = text[:at] + rng.choice([*'"{}[]:,\n\t 9-x', "", "\0", "é"]) + text[at + rng.randrange(3) :]
    (folder / name).write_text(text, encoding="utf-8")
    found = serenanet("transcribe", folder, noise)
    if found[0]:
        refused(found, str(folder))


def _weights(change):
    def changed(folder):
        weights = load_file(folder / "weights.safetensors")
        save_file(change(weights) or weights, folder / "weights.safetensors")

    return changed


def _put(value):
    return _weights(
        lambda weights: next(t for t in weights.values() if t.is_floating_point()).view(-1).__setitem__(0, value)
    )


def _json(file, **content):
    def changed(folder):
        index = json.loads((folder / file).read_text())
        (folder / file).write_text(json.dumps({**index, **content}))

    return changed


VERSIONS = {
    "a weight that is NaN": (_put(float("nan")), "not a number"),
    "a weight that is infinite": (_put(float("inf")), "not a number"),
    "a weight too many": (_weights(lambda w: {**w, "model.new": torch.zeros(1)}), "does not fit"),
    "a weight too few": (_weights(lambda w: dict(list(w.items())[1:])), "does not fit"),
    "no weights": (_weights(lambda w: {"x": torch.zeros(1)}), "does not fit"),
    "units of another kind": (_json("save/units/units.json", kind="syllable"), "damaged"),
    "another number of units": (_json("save/units/units.json", size=7), "units.json lists 7"),
    "no number of units": (_json("save/units/units.json", size=None), "units.json lists None"),
    "a beam that is no number": (_json("result.json", decoding={"lm_weight": "much"}), None),
    "a weight of a beam that is NaN": (_json("result.json", decoding={"lm_weight": float("nan")}), None),
    "decoding that is a list": (_json("result.json", decoding=[1]), "result.json"),
    "data that is a text": (_json("result.json", data="much"), "result.json"),
    "a length that is NaN": (_json("result.json", data={"splits": {"train": {"p99_seconds": float("nan")}}}), None),
    "a length that is a text": (_json("result.json", data={"splits": {"train": {"p99_seconds": "9"}}}), "result.json"),
    "confidences that are a list": (_json("result.json", confidence=[1]), "result.json"),
    "a map that is none": (_json("result.json", confidence={"decoder/greedy": {"map": {"weights": 3}}}), "result.json"),
    "a map that is missing": (_json("result.json", confidence={"decoder/greedy": {"note": "few words"}}), None),
    "a length that is endless": (
        _json("result.json", data={"splits": {"train": {"p99_seconds": 10**400}}}),
        None,  # as one that is NaN
    ),
}


@pytest.mark.parametrize("name", VERSIONS)
def test_other_versions(serenanet, recognisers, noise, tmp_path, name):
    """Well-formed files that say something else: refused, or left out of account where nothing depends on them."""
    change, said = VERSIONS[name]
    folder = shutil.copytree(recognisers["char"], tmp_path / "run")
    whole = serenanet("transcribe", folder, noise)
    change(folder)
    found = serenanet("transcribe", folder, noise)
    if said:
        refused(found, said, str(folder))
    else:
        assert found == whole


@pytest.mark.parametrize("phonemes", [["a", "a"], ["a", 3], ["a b"], [""], "ab", {"a": 1}, None, [["a"]]], ids=str)
def test_inventories_that_are_none(serenanet, recognisers, noise, tmp_path, phonemes):
    folder = shutil.copytree(recognisers["phoneme"], tmp_path / "run")
    _json("save/units/units.json", phonemes=phonemes)(folder)
    refused(serenanet("transcribe", folder, noise), "save/units")


# --- results ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", WAYS)
@pytest.mark.parametrize("name", REPORTED)
def test_files_of_a_report(serenanet, runs, tmp_path, name, how):
    """A comparison of two runs is that of the whole folders, or is refused with the name of the broken file."""
    folder = shutil.copytree(runs, tmp_path / "runs")
    whole = serenanet("compare", runs / "a", runs / "b", "--show", "0")
    assert whole[0] == 0
    spoil(folder / "a" / name, how)
    found = serenanet("compare", folder / "a", folder / "b", "--show", "0")
    if name == "examples.npz":
        assert found[:1] == whole[:1] and found[1].splitlines()[2:] == whole[1].splitlines()[2:]
    else:
        refused(found, name)


@pytest.mark.parametrize("how", ["noise", "cut", "empty"])
def test_broken_examples_are_named(serenanet, runs, tmp_path, how):
    """By a report, which draws them."""
    folder = shutil.copytree(runs, tmp_path / "runs")
    spoil(folder / "a" / "examples.npz", how)
    status, out, err = serenanet("report", folder, "--out", tmp_path / "report")
    assert (status, out) == (2, "") and f"error: {folder / 'a' / 'examples.npz'}: cannot be read" in err
    assert "Traceback" not in err


ROWS = {
    "a row twice": lambda rows: [*rows, rows[1]],
    "a row too short": lambda rows: [*rows, "u9,1.0,neno"],
    "a row too long": lambda rows: [*rows, rows[1].replace("u000", "u9") + ",x"],
    "a row less": lambda rows: rows[:-1],
    "another decoder": lambda rows: [rows[0].replace("decoder/greedy", "average/greedy"), *rows[1:]],
    "no references": lambda rows: [rows[0].replace("reference", "text"), *rows[1:]],
    "no ids": lambda rows: [rows[0].replace("id,", "name,"), *rows[1:]],
    "only the head": lambda rows: rows[:1],
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_decoded_texts(serenanet, runs, tmp_path, name):
    """None is lost, doubled or guessed."""
    folder = shutil.copytree(runs, tmp_path / "runs")
    file = folder / "a" / "decoded_test.csv"
    file.write_text("\n".join(ROWS[name](file.read_text().splitlines())) + "\n")
    refused(serenanet("compare", folder / "a", folder / "b"), "test")


CONTENTS = ["[]", "3", '"x"', "null", "{}", "[" * 5000, '{"results": {}}', '{"results": 3}', "NaN"]
CHANGES = [
    {"results": {}},
    {"results": []},
    {"results": {"test": 3}},
    {"parameters": 3},
    {"seconds": None},
    {"scoring": None},
]
CHANGES += [
    {"confidence": {"decoder/greedy": sets}} for sets in ({}, 3, {"sets": {"test": {"raw": {"bins": [1] * 10}}}})
]
CHANGES += [
    {"results": {"test": {"decoder/greedy": {"WER": {"percent": value}}}}} for value in (float("nan"), "12", None)
]


@pytest.mark.parametrize("content", [*CONTENTS, *CHANGES], ids=lambda content: str(content)[:50])
def test_results_that_are_none(serenanet, runs, tmp_path, content):
    folder = shutil.copytree(runs, tmp_path / "runs")
    file = folder / "a" / "result.json"
    if isinstance(content, dict):
        content = json.dumps({**json.loads(file.read_text()), **content})
    file.write_text(content)
    refused(serenanet("compare", folder / "a", folder / "b"), str(folder / "a"))
