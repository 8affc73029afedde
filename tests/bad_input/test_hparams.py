"""A slip in a hyper-parameter file, at any depth, is one sentence with the file and the key."""

import copy
import random
import re
from functools import cache

import pytest
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams
from tests.support.presets import preset
from tests.support.refusals import refusal, refused_or
from tests.support.tiny import ROOT

FILES = preset("serenanet/small")
NEEDED = [("data_folder", "none"), ("dataset", "x/sw"), ("locale", "sw"), ("n_units", "28")]
CONVOLUTIONS = ("conformer_ctc", "conmamba_ctc", "fast_conformer", "serenanet")  # that are not causal
CHUNKWISE = ("fast_conformer", "ssm")
PARTS = (*CONVOLUTIONS, "ssm", "whisper_like")  # one of each encoder
WRONG = {bool: "3", int: "2.5", float: "many", str: "[1]", CommentedSeq: "3"}  # first fit counts, and a bool is an int


@cache
def shipped():
    """The file with all that a dataset gives it."""
    return Hparams.load(FILES).override(NEEDED)


@cache
def whole(model):
    """The same of a preset."""
    return Hparams.load(preset(model)).override(NEEDED)


def keys(tree=None, path=()):
    """(key with dots, node) of everything that has a name, at any depth."""
    for name, node in (shipped().tree if tree is None else tree).items():
        yield ".".join((*path, str(name))), node
        if isinstance(node, CommentedMap):
            yield from keys(node, (*path, str(name)))


PLAIN = {key: node for key, node in keys() if not isinstance(node, (TaggedScalar, CommentedMap)) and node is not None}
PLAIN = {key: node for key, node in PLAIN.items() if key not in dict(NEEDED)}  # those may be of any kind
DEEP_NUMBERS = [key for key, node in PLAIN.items() if "." in key and type(node) is int]


def given(key, text):
    """The file with one more key of the command line."""
    return copy.deepcopy(shipped()).override([(key, text)])


def test_the_file_has_depth():
    assert len(PLAIN) > 40 and len(DEEP_NUMBERS) > 8


@pytest.mark.parametrize("key", [key for key, _ in keys()])
def test_typos_at_every_depth(key):
    """On the command line and in a file, with a guess at what was meant."""
    *above, name = key.split(".")
    slip = name[:-1] + name[-1] * 2 if len(name) > 1 else name + "x"
    said = refusal(lambda: given(".".join([*above, slip]), "1"), "the command line", f"'{'.'.join([*above, slip])}'")
    assert "unknown key" in said and ("did you mean" in said or len(name) < 3)


@pytest.mark.parametrize("key", PLAIN)
def test_wrong_types_at_every_depth(key):
    wrong = next(text for kind, text in WRONG.items() if isinstance(PLAIN[key], kind))
    refusal(lambda: given(key, wrong), "the command line", f"'{key}'")
    refusal(lambda: given(key, "{x: 1}"), "the command line", f"'{key}'")


def test_what_a_model_leaves_null_may_be_null_again_over_a_size():
    assert shipped().tree["encoder"]["kernel_size"] and given("encoder.kernel_size", "null")
    refusal(lambda: given("encoder.n_layers", "null"), "the command line", "'encoder.n_layers'")


@pytest.mark.parametrize("level", range(6))
def test_slips_far_down(tmp_path, level):
    """A key that is misspelled, and one with a wrong type, six mappings deep; in a file that extends another."""
    names = [f"level{i}" for i in range(6)]

    def nested(*names, value):
        return "".join(f"{'  ' * i}{name}:\n" for i, name in enumerate(names))[:-1] + f" {value}\n"

    (tmp_path / "base.yaml").write_text(nested(*names, value=1))
    slipped = [*names[:level], f"levle{level}", *names[level + 1 :]]
    for path, value in ((slipped, 2), (names, "many")):
        (tmp_path / "slip.yaml").write_text("extends: base.yaml\n" + nested(*path, value=value))
        key = ".".join(path[: level + 1] if path is slipped else path)
        refusal(lambda: Hparams.load(tmp_path / "slip.yaml"), tmp_path / "slip.yaml", f"'{key}'")


@pytest.mark.parametrize("key", DEEP_NUMBERS)
def test_numbers_that_cannot_be(key):
    """A size below zero is refused with the file's name, when the network is built or before; or it is no size."""
    refused_or(lambda: given(key, "-1").build(), FILES[-1].name)


@pytest.mark.parametrize(
    ("model", "key", "value", "words"),
    [
        *((name, "encoder.n_layers", "0", "at least 1|between 1 and") for name in PARTS),
        *((name, "encoder.kernel_size", "0", "at least 1|between 1 and") for name in CONVOLUTIONS),
        *((name, "encoder.kernel_size", "4", "is 4; it must be odd where") for name in CONVOLUTIONS),
        ("ssm", "encoder.attention_every", "0", "between 1 and"),
        ("ssm", "labels_per_frame", "0", "must be between 1 and 8, not 0"),
        *(("fast_conformer", "encoder.window", wrong, "must be a whole number from 1 or") for wrong in ("1.5", "true")),
        *(("fast_conformer", "encoder.window", wrong, "between 1 and") for wrong in ("0", "-1")),
        ("fast_conformer", "encoder.window", "cut", "numbers of frames, 0 at least"),  # a word of Whisper's encoder
        *(
            (name, "encoder.look_aheads", wrong, "must be a whole number from 0 or all|numbers of frames, 0 at least")
            for name in CHUNKWISE
            for wrong in ("[true, 0]", "[1.5]", "[some]", "[[1]]", "[null]")
        ),
        *((name, "encoder.look_aheads", "[-1]", "must be between 0 and") for name in CHUNKWISE),
        *((name, "encoder.look_aheads", "[]", "must be a list that is not empty") for name in CHUNKWISE),
        *((name, "encoder.look_aheads", "[0, 0]", "has 0 twice") for name in CHUNKWISE),
        *((name, "encoder.look_aheads", "[all, 1, all]", "has all twice") for name in CHUNKWISE),
        ("fast_conformer", "encoder.look_aheads", "13", "is a list of numbers of frames, not 13"),
    ],
)
def test_sizes_that_no_encoder_can_have(model, key, value, words):
    """Whoever builds it: a training, or who opens a result folder."""
    hparams = copy.deepcopy(whole(model)).override([(key, value)])
    for document in (hparams, Document(hparams.text, hparams.source).only(["model"])):
        said = refusal(document.build, hparams.source, key.rpartition(".")[2])
        assert re.search(words, said), said


@pytest.mark.parametrize("length", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", ["extends", "include"])
def test_circles(tmp_path, kind, length):
    """However long they are, a file of the circle is named."""
    for i in range(length):
        follower = f"f{(i + 1) % length}.yaml"
        extends = kind == "extends"
        (tmp_path / f"f{i}.yaml").write_text(f"extends: {follower}\n" if extends else f"part: !include:{follower}\n")
    refusal(lambda: Hparams.load(tmp_path / "f0.yaml"), tmp_path, "f")


@pytest.mark.parametrize("depth", [0, 1, 4])
@pytest.mark.parametrize("target", ["nowhere.yaml", "", ".", "/", "folder", "no\x85name.yaml", "x" * 300])
def test_missing_includes(tmp_path, target, depth):
    (tmp_path / "folder").mkdir()
    for i in range(depth):
        (tmp_path / f"f{i}.yaml").write_text(f"part: !include:f{i + 1}.yaml\n")
    (tmp_path / f"f{depth}.yaml").write_text(f"part: !include:{target}\n", encoding="utf-8")
    refusal(lambda: Hparams.load(tmp_path / "f0.yaml"), f"f{depth}.yaml")


@pytest.mark.parametrize(
    "parent", ["nowhere.yaml", ".", "[a.yaml, nowhere.yaml]", "{a: 1}", "3", "null", "[[a.yaml]]", "x" * 300]
)
def test_missing_parents(tmp_path, parent):
    (tmp_path / "a.yaml").write_text("a: 1\n")
    (tmp_path / "f.yaml").write_text(f"extends: {parent}\n")
    refusal(lambda: Hparams.load(tmp_path / "f.yaml"), tmp_path)


BROKEN = {
    "brackets": "a: " + "[" * 600,
    "braces": "a: " + "{b: " * 2000,
    "NUL": "a: \0",
    "control characters": "a: \x07",
    "tabs": "a:\n\t- 1",
    "twice": "a: 1\na: 2",
    "no text": b"\xff\xfe\x00a",
    "latin": b"a: caf\xe9",
    "picture": b"\x89PNG\r\n\x1a\n",
    "two documents": "a: 1\n---\nb: 2",
    "alias": "a: *b",
    "alias of itself": "a: &a [*a]",
    "bad number": "a: !!int x",
    "bad time": "a: 2020-99-99",
    "reference of itself": "a: !ref <a>",
    "circle of references": "a: !ref <b>\nb: !ref <a>",
    "reference to nothing": "a: !ref <b>",
    "division": "a: 0\nb: !ref 1 / <a>",
    "arithmetic of a text": "a: x y\nb: !ref 2 * <a>",
    "unfinished reference": "a: 1\nb: !ref <a",
    "class of nowhere": "a: !new:nowhere.Nothing",
    "class without a module": "a: !new:Nothing",
    "no arguments": "a: !new:torch.nn.Linear",
    "bad arguments": "a: !new:torch.nn.Linear {in_features: x, out_features: 1}",
    "unknown tag": "a: !magic 3",
    "a number for a name": "? [1, 2]\n: 3",
    "quote": "a: 'x",
    "indentation": "a:\n  b: 1\n c: 2",
    "directive": "%YAML 9.9\n---\na: 1",
}  # fmt: skip


READ = (  # by yaml or HyperPyYAML, as what is written
    *("directive", "a number for a name", "unknown tag", "alias of itself", "bad time"),
    *("arithmetic of a text", "unfinished reference"),
)


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files(tmp_path, name):
    """Yaml that is none, references and classes that lead nowhere."""
    content, path = BROKEN[name], tmp_path / "broken.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    def use(hparams):
        return hparams.text, hparams.plain(), hparams.build()

    found = refused_or(lambda: use(Hparams.load(path)), path)
    assert found is None or name in READ


@pytest.mark.parametrize("number", range(40))
def test_changed_files(tmp_path, number):
    """Characters changed, lost or doubled, lines torn out: a document as before, or a refusal that names the file."""
    rng, path = random.Random(number), tmp_path / "changed.yaml"
    text = (ROOT / "hparams/frontends/athm.yaml").read_text(encoding="utf-8") + "a: {b: [1, 2], c: !ref <d>}\nd: 3\n"
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(text))
        text = (
            text[:at]
            + rng.choice(["", " ", ":", "\n", "\t", "'", "[", "{", "!", "&", "*", "#", "<", "é"])
            + text[at + rng.randrange(3) :]
        )
    path.write_text(text, encoding="utf-8")
    refused_or(lambda: Hparams.load(path).text, path)
