"""A search: combinations of values as rows, each over the full model, in folders of their own."""

import pytest

from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.ablation.values import combinations, read_values
from serenanet_modules.errors import UserError
from tests.support.ablations import DATA, RECIPE, make_suite

VALUES = ["encoder.n-layers=2,3", "frontend=!include:frontends/conv1d.yaml,!include:frontends/athm.yaml"]


@pytest.fixture(scope="module", name="file")
def _file(tmp_path_factory):
    return make_suite(tmp_path_factory.mktemp("search"), full="shared", no_car="shared")


def plan(suite, out, only=None, seeds=2):
    return Planner(suite, RECIPE, out, DATA).plan(seeds, only)


def test_every_combination_is_a_row(file, tmp_path):
    """Over the full model and from its pre-trainings; the suite's other variants are left out."""
    suite = Suite.read(file).searching(read_values(VALUES), "--values")
    found = plan(suite, tmp_path)
    names = [f"encoder.n_layers={n}+frontend={part}" for n in (2, 3) for part in ("conv1d", "athm")]
    assert [row.name for row in found.rows] == names and suite.search
    before = [f"pretraining/full/{seed}" for seed in (1986, 1987)]
    assert [run.name for run in found.runs] == [*before, *(f"{name}/{seed}" for name in names for seed in (1986, 1987))]
    tree = found.rows[2].runs[1].hparams.tree
    assert (tree["encoder"]["n_layers"], tree["experiment"], tree["seed"]) == (3, names[2], 1987)
    assert tree["frontend"].tag.value.endswith("StridedConv") and tree["pessl"] is not None
    assert found.rows[2].runs[1].needs.name == "pretraining/full/1987"
    assert [row.name for row in plan(suite, tmp_path, {names[1]}, 1).rows] == names[1:2]


def test_a_suite_of_values(file, tmp_path):
    """``values`` in the file, without variants: over the base, not pre-trained."""
    own = file.with_name("values.yaml")
    own.write_text(
        "base: [../serenanet.yaml, ../sizes/serenanet/small.yaml]\nvalues: {lr: [0.001, 0.002], loggers: [null]}\n"
    )
    suite = Suite.read(own)
    runs = plan(suite, tmp_path, seeds=1).runs
    assert [(run.name, run.hparams.tree["lr"]) for run in runs] == [
        ("lr=0.001+loggers=null/1986", 0.001),
        ("lr=0.002+loggers=null/1986", 0.002),
    ]
    assert suite.search and runs[0].needs is None


def test_what_trains_the_same_is_trained_once(file, tmp_path):
    suite = Suite.read(file).searching(read_values(["num_workers=0,1"]), "--values")
    found = plan(suite, tmp_path, seeds=1)
    assert [row.same_as for row in found.rows] == [None, "num_workers=0"]


@pytest.mark.parametrize("words", [["lr"], ["lr="], ["=1"], ["lr=1,,2"], ["lr=1,"]])
def test_what_is_no_list(words):
    with pytest.raises(UserError, match="must be KEY=VALUE,VALUE, such as lr=0.001,0.002"):
        read_values(words)


def test_bad_values(file, tmp_path):
    with pytest.raises(UserError, match=r"--values: the combination lr=1 is given twice"):
        list(combinations(read_values(["lr=1,1"]), "--values"))
    with pytest.raises(UserError, match="have 1024 combinations; 1000 at most"):
        list(combinations({f"k{i}": ["1", "2"] for i in range(10)}, "--values"))
    with pytest.raises(UserError, match="more than 200 characters"):
        list(combinations({"k": ["x" * 300]}, "--values"))
    for words, told in (
        (["seed=1,2"], "--seed is set by the ablation for each run; leave it out, and give --seeds"),
        (["lr=1,x"], "'lr' must be a number"),
        (["learning_rate=1,2"], "unknown key 'learning_rate'"),
    ):
        with pytest.raises(UserError, match=told):
            plan(Suite.read(file).searching(read_values(words), "--values"), tmp_path, seeds=1)
    own = file.with_name("bad.yaml")
    for values in ("3", "{lr: 0.001}", "{lr: []}"):
        own.write_text(f"base: full.yaml\nvalues: {values}\n")
        with pytest.raises(UserError, match=r"bad.yaml: 'values' must be a mapping of keys to lists"):
            Suite.read(own)
