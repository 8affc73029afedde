"""Layers of yaml become one standalone document, and every slip one sentence that names file and key."""

import pytest
from hyperpyyaml import load_hyperpyyaml
from torch import nn

from serenanet_modules.config.hparams import Hparams, write_layer
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.errors import UserError
from tests.support.hparams import built, error, load

BASE = """
experiment: base
lr: 0.1
epochs: 10
flag: false
lm: auto
limit: null
sizes: [1, 2]
folder: !ref results/<experiment>
settings:
    depth: 3
    inner:
        rate: 0.5
d_model: 8
encoder: !include:parts/linear.yaml
optimizer: !name:torch.optim.SGD
    lr: !ref <lr>
"""
LINEAR = """
# a comment at the top
!new:torch.nn.Linear
in_features: !ref <d_model>
out_features: 4
bias: true
"""


@pytest.fixture(name="write")
def _write(tmp_path):
    """A function that writes files under one folder and returns the last; base.yaml and its part are there."""

    def write(**files):
        for name, text in files.items():
            path = tmp_path / (name.replace("__", "/") + ".yaml")
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text, encoding="utf-8")
        return path

    write(base=BASE, parts__linear=LINEAR)
    return write


# --- layers -----------------------------------------------------------------------------------------------------------


def test_base_alone(write):
    made = built(write(base=BASE))
    assert made["folder"] == "results/base" and made["settings"]["inner"]["rate"] == 0.5
    assert made["encoder"].in_features == 8 and made["optimizer"].keywords == {"lr": 0.1}


def test_extends_chain(write):
    file = write(
        middle="extends: base.yaml\nlr: 0.2\nsettings:\n    inner:\n        rate: 0.7\n",
        deep__last="extends: ../middle.yaml\nexperiment: last\nsettings:\n    depth: 4\nsizes: [3]\n",
    )
    made = built(file)
    assert (made["lr"], made["experiment"], made["sizes"]) == (0.2, "last", [3])
    assert made["settings"] == {"depth": 4, "inner": {"rate": 0.7}}
    assert made["folder"] == "results/last" and made["optimizer"].keywords == {"lr": 0.2}
    assert "extends" not in made


def test_extending_two_files(write):
    """A common ancestor counts once, so the second file overrides only what it says itself."""
    write(
        small="extends: base.yaml\nlr: 0.2\nepochs: 3\nencoder:\n    out_features: 2\n",
        task="extends: base.yaml\nexperiment: task\nepochs: 5\n",
    )
    made = built(write(both="extends: [small.yaml, task.yaml]\nflag: true\n"))
    assert (made["lr"], made["epochs"], made["experiment"], made["flag"]) == (0.2, 5, "task", True)
    assert made["encoder"].out_features == 2
    made = built(write(other="extends: [task.yaml, small.yaml]\n"))
    assert (made["epochs"], made["experiment"]) == (3, "task")
    write(task="extends: both.yaml\n")
    assert "extends itself" in error(write(both="extends: [small.yaml, task.yaml]\n"))


def test_several_files_stack(write):
    """Files of a command line are as one that extends them; errors name the last."""
    write(
        small="extends: base.yaml\nlr: 0.2\nepochs: 3\n",
        task="extends: base.yaml\nexperiment: task\nepochs: 5\n",
    )
    both = write(both="extends: [small.yaml, task.yaml]\n")
    files = [both.parent / f"{name}.yaml" for name in ("small", "task")]
    assert load(files).text == load(both).text and load(files).source == files[1]
    assert load(files[::-1]).plain()["epochs"] == 3
    assert load([files[0]]).text == load(files[0]).text


def test_a_written_layer_is_the_command_line(write, tmp_path):
    """What a layer file says merges as the same pairs of a command line do, from any folder."""
    overrides = [
        ("lr", "1e-3"),
        ("experiment", "sw #2"),
        ("settings.inner.rate", "2"),
        ("settings.depth", "5"),
        ("sizes", "[7]"),
        ("lm", "null"),
        ("encoder", "!include:parts/linear.yaml"),
        ("encoder.out_features", "9"),
        ("encoder.bias", "false"),
    ]
    base = write(base=BASE)
    write_layer(tmp_path / "else" / "where" / "layer.yaml", [base], overrides)
    assert load(tmp_path / "else/where/layer.yaml").text == load(base, *overrides).text
    write_layer(tmp_path / "none.yaml", [base], [])
    assert load(tmp_path / "none.yaml").text == load(base).text


def test_blanked_keys_do_not_count(write):
    """Two documents that differ in blanked keys alone have one text, and blanking leaves them as they are."""
    one, other = (load(write(base=BASE), ("experiment", name)) for name in ("a", "b"))
    assert one.text != other.text
    assert one.without(["experiment"]).text == other.without(["experiment"]).text
    assert one.plain()["folder"] == "results/a"


def test_order_of_layers(write):
    file = write(child="extends: base.yaml\nepochs: 3\n")
    dataset = {"epochs": ("dataset.yaml", 2), "lr": ("dataset.yaml", 0.5)}
    assert built(file)["epochs"] == 3
    made = built(file, dataset=dataset)
    assert (made["epochs"], made["lr"]) == (3, 0.5)  # base < dataset < extending file
    assert built(file, ("epochs", "4"), ("epochs", "5"), dataset=dataset)["epochs"] == 5


def test_include_with_overrides(write):
    part = "encoder: !include:parts/linear.yaml\n    out_features: 5\n    bias: false\n"
    file = write(child=f"extends: base.yaml\n{part}")
    encoder = built(file)["encoder"]
    assert (encoder.in_features, encoder.out_features, encoder.bias) == (8, 5, None)


def test_merging_into_a_part_keeps_its_class(write):
    encoder = built(write(child="extends: base.yaml\nencoder:\n    out_features: 7\n"))["encoder"]
    assert isinstance(encoder, nn.Linear) and (encoder.in_features, encoder.out_features) == (8, 7)


def test_a_tagged_node_replaces(write):
    encoder = built(write(child="extends: base.yaml\nencoder: !new:torch.nn.LayerNorm\n    normalized_shape: 3\n"))
    assert isinstance(encoder["encoder"], nn.LayerNorm)


def test_nested_includes_and_includes_in_lists(write):
    file = write(
        parts__deep__pair="!new:torch.nn.ModuleList\nmodules:\n- !include:../linear.yaml\n"
        "- !include:../linear.yaml\n  out_features: 2\n",
        child="extends: base.yaml\nencoder: !include:parts/deep/pair.yaml\n",
    )
    pair = built(file)["encoder"]
    assert [m.out_features for m in pair] == [4, 2] and all(m.in_features == 8 for m in pair)


# --- the command line -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("lr", "1e-4", 1e-4),
        ("lr", "1E-4", 1e-4),
        ("lr", "3", 3),
        ("lr", "-2.5e+3", -2500.0),
        ("epochs", "7", 7),
        ("flag", "true", True),
        ("lm", "null", None),
        ("limit", "null", None),
        ("limit", "3.5", 3.5),
        ("limit", "text", "text"),
        ("sizes", "[4, 5, 6]", [4, 5, 6]),
        ("sizes", "[]", []),
        ("experiment", "a=b", "a=b"),
        ("experiment", "two words", "two words"),
        ("experiment", "sw #2 / x#y", "sw #2 / x#y"),
        ("experiment", "ng'ombe", "ng'ombe"),
        ("experiment", "'12'", "12"),
        ("experiment", '"quoted # too"', "quoted # too"),
        ("experiment", "yes", "yes"),
        ("experiment", "None", "None"),
        ("experiment", "mãe 語", "mãe 語"),
    ],
)
def test_values(write, key, text, value):
    hparams = load(write(base=BASE), (key, text))
    for found in (hparams.plain()[key], hparams.build()[key], load_hyperpyyaml(hparams.text)[key]):
        assert found == value and type(found) is type(value)
    if key == "experiment":
        assert hparams.build()["folder"] == f"results/{value}"


def test_dots_reach_into_mappings_and_parts(write):
    made = built(write(base=BASE), ("settings.inner.rate", "2"), ("encoder.out_features", "9"))
    assert made["settings"] == {"depth": 3, "inner": {"rate": 2}} and made["encoder"].out_features == 9


def test_swapping_a_part(write, tmp_path, monkeypatch):
    file = write(
        parts__norm="!new:torch.nn.LayerNorm\nnormalized_shape: !ref <d_model>\neps: 0.1\n",
        deep__child="extends: ../base.yaml\nexperiment: child\n",
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")  # relative to the file asked for, not to where the user stands
    base = file.parent.parent / "base.yaml"
    assert isinstance(built(base, ("encoder", "!include:parts/norm.yaml"))["encoder"], nn.LayerNorm)
    made = built(file, ("encoder", "!include:../parts/norm.yaml"), ("encoder.eps", "0.25"))
    assert made["encoder"].eps == 0.25 and made["encoder"].normalized_shape == (8,)
    assert isinstance(built(base, ("encoder", "!new:torch.nn.ReLU {inplace: true}"))["encoder"], nn.ReLU)
    assert built(base, ("encoder", "null"))["encoder"] is None


# --- the resolved document --------------------------------------------------------------------------------------------


def test_text_stands_alone(write, tmp_path):
    file = write(child="extends: base.yaml\nexperiment: child\nencoder:\n    out_features: 5\n")
    hparams = load(file, ("lr", "1e-3"))
    for word in ("!include", "!ref", "extends"):
        assert word not in hparams.text
    alone = load_hyperpyyaml(hparams.text)
    assert alone["encoder"].out_features == 5 and alone["optimizer"].keywords == {"lr": 1e-3}
    again = tmp_path / "again.yaml"
    again.write_text(hparams.text, encoding="utf-8")
    assert load(again).plain() == hparams.plain()


def test_plain_leaves_objects_out(write):
    plain = load(write(base=BASE)).plain()
    assert "encoder" not in plain and "optimizer" not in plain
    assert plain["folder"] == "results/base" and plain["limit"] is None and plain["sizes"] == [1, 2]
    assert type(plain) is dict and type(plain["settings"]) is dict


def test_set_and_contains(write):
    hparams = load(write(base=BASE))
    hparams.set("d_model", 6)
    assert "d_model" in hparams and "d_modle" not in hparams
    assert hparams.build()["encoder"].in_features == 6


def test_a_reference_is_one_object(write):
    made = built(write(base=BASE + "twin: !ref <encoder>\n"))
    assert made["twin"] is made["encoder"]


# --- slips ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "key", "suggestion"),
    [
        ("epoch: 1\n", "epoch", "epochs"),
        ("settings:\n    dept: 1\n", "settings.dept", "depth"),
        ("settings:\n    inner:\n        rat: 1\n", "settings.inner.rat", "rate"),
        ("encoder:\n    out_feature: 1\n", "encoder.out_feature", "out_features"),
        ("encoder: !include:parts/linear.yaml\n    biass: true\n", "biass", "bias"),
    ],
)
def test_unknown_keys(write, layer, key, suggestion):
    said = error(write(child=f"extends: base.yaml\n{layer}"))
    assert "child.yaml" in said and f"'{key}'" in said and f"did you mean '{suggestion}'?" in said


def test_unknown_keys_elsewhere(write):
    base = write(base=BASE)
    assert error(base, ("learning.rate", "1")) == "the command line: unknown key 'learning'"
    assert "the command line: unknown key 'encoder.in_feature'" in error(base, ("encoder.in_feature", "1"))
    assert error(base, dataset={"locale": ("d/dataset.yaml", "sw")}) == "d/dataset.yaml: unknown key 'locale'"


@pytest.mark.parametrize(
    ("key", "text", "kind"),
    [
        ("lr", "high", "a number"),
        ("lr", "true", "a number"),
        ("lr", "[1]", "a number"),
        ("lr", "null", "a number"),
        ("epochs", "2.5", "a whole number"),
        ("epochs", "false", "a whole number"),
        ("flag", "1", "true or false"),
        ("flag", "yes", "true or false"),
        ("experiment", "[12]", "a text"),
        ("experiment", "true", "a text"),
        ("sizes", "3", "a list"),
        ("settings", "3", "a mapping"),
        ("settings", "null", "a mapping"),
        ("encoder", "3", "a mapping"),
        ("settings.inner.rate", "fast", "a number"),
    ],
)
def test_wrong_types(write, key, text, kind):
    base = write(base=BASE)
    said = error(base, (key, text))
    assert said.startswith("the command line: ") and f"'{key}' must be {kind}" in said
    nested = ""
    for depth, part in enumerate(key.split(".")):
        nested += "\n" + "    " * depth + part + ":"
    said = error(write(child=f"extends: base.yaml{nested} {text}\n"))
    assert "child.yaml" in said and f"'{key}' must be {kind}" in said


@pytest.mark.parametrize("key", ["lr", "limit", "folder", "optimizer.lr"])
def test_keys_below_a_value(write, key):
    assert f"'{key}' has no keys of its own" in error(write(base=BASE), (f"{key}.x", "1"))


@pytest.mark.parametrize("text", ["lr: [1\n", "lr: 1\nlr: 2\n", "lr: 1\n  x: 2\n", "\tlr: 1\n", "lr: *nowhere\n"])
def test_bad_yaml(write, text):
    assert "bad.yaml: not valid yaml" in error(write(bad=text))
    assert "linear.yaml: not valid yaml" in error(write(parts__linear=text, base=BASE))


@pytest.mark.parametrize("text", ["", "just words\n", "- a\n- b\n"])
def test_no_mapping(write, text):
    file = write(bad=text)
    assert "must be a mapping" in error(file)
    with pytest.raises(UserError, match="must be a mapping"):
        read_yaml(file)


def test_bad_yaml_on_the_command_line(write):
    assert error(write(base=BASE), ("sizes", "[1")).startswith("--sizes: not valid yaml")


def test_missing_files(write, tmp_path):
    assert "nowhere.yaml: no such hyper-parameter file" in error(tmp_path / "nowhere.yaml")
    assert "no such hyper-parameter file" in error(tmp_path)  # a folder
    assert "nowhere.yaml: no such" in error(write(child="extends: nowhere.yaml\n"))
    said = error(write(child="extends: base.yaml\nencoder: !include:parts/nowhere.yaml\n"))
    assert "child.yaml: includes" in said and "parts/nowhere.yaml, which does not exist" in said
    assert "which does not exist" in error(write(base=BASE), ("encoder", "!include:parts/nowhere.yaml"))


def test_circles(write):
    write(a="extends: b.yaml\n", b="extends: c.yaml\n")
    assert "extends itself" in error(write(c="extends: a.yaml\n"))
    assert "extends itself" in error(write(own="extends: ./own.yaml\n"))
    write(parts__linear="!new:torch.nn.Identity\nx: !include:other.yaml\n")
    assert "break the circle" in error(write(parts__other="x: !include:linear.yaml\n", base=BASE))


def test_placeholders(write):
    file = write(child=BASE + "data_folder: !PLACEHOLDER\nsave: !ref <data_folder>/save\n")
    said = error(file)
    assert "child.yaml: 'data_folder' has no value; give it with --data_folder VALUE" in said
    assert built(file, ("data_folder", "/x y"))["save"] == "/x y/save"
    assert "needs" in error(write(child=BASE + "nested:\n    needs: !PLACEHOLDER\n"))


def test_a_datasets_own_options(write):
    """They are keys like others, which references and the command line reach, but no others' names."""
    base = write(base=BASE)
    options = read_yaml(write(dataset="language: sw_ke\nshares:\n    train: 0.9\n"))
    hparams = Hparams.load(base, {"experiment": ("dataset.yaml", "x")}, options).override([("shares.train", "0.5")])
    assert hparams.plain()["language"] == "sw_ke" and hparams.plain()["shares"] == {"train": 0.5}
    assert options["shares"] == {"train": 0.9}
    with pytest.raises(UserError, match="base.yaml: 'lr' is a hyper-parameter"):
        Hparams.load(base, {}, {"lr": 1})


def test_dangling_reference(write):
    said = error(write(child=BASE + "other: !ref <nothing>\n"))
    assert "child.yaml" in said and "nothing" in said


def test_constructor_errors_are_sentences(write):
    base = write(base=BASE)
    said = error(base, ("encoder", "!new:torch.nn.Linear {in_featurs: 3}"))
    assert "base.yaml" in said and "torch.nn.Linear" in said and "in_featurs" in said and "('" not in said
    assert "NoSuchLayer" in error(base, ("encoder", "!new:torch.nn.NoSuchLayer {}"))


def test_read_yaml(write):
    assert read_yaml(write(dataset="dataset: CV/sw\nlocale: sw\n")) == {"dataset": "CV/sw", "locale": "sw"}


def test_a_number_is_a_text_where_a_text_is_due(tmp_path):
    """``--experiment 7`` names an experiment "7"."""
    (tmp_path / "base.yaml").write_text("experiment: base\n", encoding="utf-8")
    hparams = Hparams.load(tmp_path / "base.yaml").override([("experiment", "7")])
    assert hparams.plain()["experiment"] == "7"


def test_what_the_base_leaves_open_takes_any_kind_again(write):
    """A folder, then a list of them over it, as a suite's pre-training is given; a text that the base has stays one."""
    base = write(base=BASE + "data: !PLACEHOLDER\n")
    above = write(above="extends: base.yaml\ndata: /a\n")
    assert load(above, ("data", "[/a, /b]")).plain()["data"] == ["/a", "/b"]
    assert load(base, ("data", "[/a, /b]"), ("data", "/c")).plain()["data"] == "/c"
    assert error(above, ("lm", "[1, 2]")) == "the command line: 'lm' must be a text, not [1, 2]"
    assert error(above, ("data.x", "1")) == "the command line: 'data' has no keys of its own here; give it one value"


def test_an_empty_mapping_takes_any_keys(write):
    base = write(base=BASE + "factors: {}\n")
    assert load(base, ("factors.a.b", "2")).plain()["factors"] == {"a": {"b": 2}}
    assert load(base, ("factors", "{a: 1, b: 2}")).plain()["factors"] == {"a": 1, "b": 2}
    assert error(base, ("factors", "1")) == "the command line: 'factors' must be a mapping of keys to values, not 1"


def test_a_class_by_name_is_the_same_class(tmp_path):
    """What a folder adds for its users, and a class that it names without importing it, are no differences."""
    base = "brain: !name:collections.Counter\nparts:\n  one: 1\nother: !name:collections.OrderedDict\n"
    (tmp_path / "base.yaml").write_text(base, encoding="utf-8")
    hparams = Hparams.load(tmp_path / "base.yaml")
    used = hparams.extended("further: 3\n").named("brain")
    (tmp_path / "used.yaml").write_text(used.text, encoding="utf-8")
    assert hparams.differences(tmp_path / "used.yaml") == []
    assert used.build()["brain"] == "collections.Counter"
    assert hparams.extended("parts:\n    two: 2\n").differences(tmp_path / "used.yaml") == ["parts"]
    assert hparams.only(["other", "absent"]).text == "other: !name:collections.OrderedDict\n"

    (tmp_path / "changed.yaml").write_text(base.replace("Counter", "deque").replace("1", "7"), encoding="utf-8")
    changed = Hparams.load(tmp_path / "changed.yaml")
    assert changed.differences(tmp_path / "used.yaml") == ["brain", "parts"]
