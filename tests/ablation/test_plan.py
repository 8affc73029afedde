"""What a suite comes to: which runs, on what, shared by whom."""

import shutil

import pytest

from serenanet_modules.ablation.command import listing
from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.errors import UserError
from serenanet_modules.runs.folder import write_hyperparams
from tests.support.ablations import DATA, RECIPE, SUITE, make_suite
from tests.support.presets import preset
from tests.support.tiny import ROOT

FEW = {
    **{"full": "shared", "no_pessl": "none", "no_car": "shared"},
    **{"car_state_8": "shared", "car_state_16": "shared", "scoring_car": "shared"},
}


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("few")


@pytest.fixture(scope="module", name="few")
def _few(folder):
    return make_suite(folder, **FEW)


@pytest.fixture(name="planned")
def _planned(few, tmp_path):
    def planned(arguments=(), seeds=1, only=None, file=few, pretraining=()):
        suite = Suite.read(file).with_options((), pretraining)
        return Planner(suite, RECIPE, tmp_path, [*DATA, *arguments]).plan(seeds, only)

    return planned


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory):
    """The shipped suite on the small model."""
    suite = Suite.read(SUITE).with_options(preset("serenanet/small"))
    return Planner(suite, RECIPE, tmp_path_factory.mktemp("out"), DATA).plan(seeds=2)


def test_every_variant_and_seed_once(whole):
    """What is trained twice nowhere: defaults are the full model's run, scoring is read from it."""
    names = [run.name for run in whole.runs]
    assert len(names) == len(set(names)) == (7 + 17) * 2
    same = {row.name for row in whole.rows if row.same_as == "full"}
    defaults = {
        "car_state_16",
        "car_layers_1",
        "car_unidirectional",
        "car_no_ctc",
        "scoring_decoder",
        "output_stride_4",
    }
    assert same == defaults
    rows = {row.name: row for row in whole.rows}
    for name in ("scoring_average", "scoring_car"):
        assert rows[name].runs == rows["full"].runs and f"scoring_{rows[name].scoring}" == name
    for name in names[14:]:
        variant, seed = name.split("/")
        assert rows[variant].runs[int(seed) - 1986].name == name


def test_pre_trainings_come_first_and_fit(whole):
    """One a seed for all that share a front end, with its overrides; none where the name says so."""
    before = {run.name: run for run in whole.runs if run.name.startswith("pretraining/")}
    shaped = ["no_athm", "output_stride_1", "output_stride_2", "resolution_10ms", "resolution_20ms", "resolution_40ms"]
    assert sorted(before) == [f"pretraining/{name}/{seed}" for name in ["full", *shaped] for seed in (1986, 1987)]
    assert [run.needs for run in whole.runs[:14]] == [None] * 14
    assert {run.hparams.tree["seed"] for name, run in before.items() if name.endswith("/1987")} == {1987}
    for row in whole.rows:
        for seed, run in zip((1986, 1987), row.runs, strict=True):
            if row.name in ("no_pessl", "pessl_auxiliary_only"):
                assert run.needs is None and run.hparams.tree["pretrained"] is None
            else:
                own = row.name if row.name in shaped else "full"
                assert run.needs is before[f"pretraining/{own}/{seed}"]
                assert run.hparams.tree["pretrained"] == str(run.needs.folder)
    two = before["pretraining/output_stride_2/1986"].hparams
    assert (two.tree["output_stride"], two.tree["experiment"], two.tree["car"]) == (2, "pessl", None)
    assert before["pretraining/resolution_20ms/1986"].hparams.tree["frontend"]["resolutions"] == [2]


def test_arguments_go_under_the_variants(planned):
    """What follows -- changes the base, so it undoes no variant and breaks none; the pre-training's own go on top."""
    arguments = ["--car.d_model", "8", "--car.d_state", "4", "--number_of_epochs", "5", "--device=cpu"]
    plan = planned(arguments, pretraining=["--number_of_epochs", "7"])
    runs = {run.name: run for run in plan.runs}
    assert runs["car_state_8/1986"].hparams.tree["car"]["d_state"] == 8
    assert runs["car_state_16/1986"].hparams.tree["car"]["d_state"] == 16  # no longer the full model's
    assert runs["full/1986"].hparams.tree["car"]["d_state"] == 4
    assert runs["no_car/1986"].hparams.tree["car"] is None
    epochs = {name: run.hparams.tree["number_of_epochs"] for name, run in runs.items()}
    assert all(n == (7 if name.startswith("pretraining/") else 5) for name, n in epochs.items())
    assert all(run.arguments[-2:] == ("--device", "cpu") for run in plan.runs)


def test_a_selection_keeps_its_place(planned):
    """Variants left out still own what they share, so a later run of the whole suite finds it."""
    plan = planned(only={"car_state_16", "scoring_car"})
    assert [run.name for run in plan.runs] == ["pretraining/full/1986", "full/1986"]
    assert [(row.name, row.same_as, row.scoring) for row in plan.rows] == [
        ("car_state_16", "full", None),
        ("scoring_car", None, "car"),
    ]


def pretend(run, finished):
    """Leave what a run of these settings leaves; its units gave 30."""
    run.folder.mkdir(parents=True)
    run.hparams.set("n_units", 30)
    write_hyperparams(run.folder, run.hparams)
    if finished:
        (run.folder / "result.json").write_text('{"seconds": {"training": 1800.0}, "epochs": 60}')


def test_states(planned, folder):
    """Finished, begun and new; begun again where more epochs are asked for; foreign where other settings are."""
    file = make_suite(folder, full="shared", no_pessl="none")
    first, second, third = planned(only={"no_pessl"}, seeds=3, file=file).runs
    pretend(first, True)
    pretend(second, False)
    assert [run.state() for run in planned(only={"no_pessl"}, seeds=3, file=file).runs] == ["finished", "begun", "new"]
    more = planned(["--number_of_epochs", "90"], only={"no_pessl"}, file=file).runs[0]
    assert more.state() == "begun"
    write_hyperparams(first.folder, more.hparams)  # as that run does when it goes on
    assert more.state() == "begun", "the result is that of fewer epochs"
    other = planned(["--lr", "0.5"], only={"no_pessl"}, file=file).runs[0]
    with pytest.raises(UserError, match=r"no_pessl/1986 holds a run with other settings \(lr, "):
        other.state()


def test_a_pre_training_that_goes_on(planned, folder):
    """What started from it would not be what it says; more epochs of the fine-tuning alone are no matter."""

    file = make_suite(folder, full="shared", no_car="shared")

    def runs(*arguments, epochs="7"):
        more = ["--number_of_epochs", epochs]
        return planned(arguments, only={"no_car"}, seeds=1, file=file, pretraining=more).runs

    def states(*arguments, **options):
        return [run.state() for run in runs(*arguments, **options)]

    for run in runs():
        pretend(run, True)
    assert states() == ["finished", "finished"]
    assert states("--number_of_epochs", "90", "--beam_size", "8") == ["begun", "begun"]
    with pytest.raises(
        UserError,
        match="no_car/1986 started from .*full/1986, which would now be trained with another number_of_epochs",
    ):
        states(epochs="9")


def test_the_listing_says_what_is_done(planned, tmp_path):
    plan = planned(only={"no_pessl", "scoring_car", "car_state_16"})
    pretend(next(run for run in plan.runs if run.name == "no_pessl/1986"), True)
    lines = listing(plan).splitlines()
    assert lines[0].split() == ["new", "pretraining/full/1986", str(tmp_path / "pretraining/full/1986")]
    assert any(line.startswith("finished  no_pessl/1986") for line in lines)
    assert "car_state_16 has the same hyper-parameters as full: one training for both" in lines
    assert "scoring_car needs no training: it is scored from the runs of full" in lines
    assert lines[-4:] == [
        "spent: 1 training, 0.50 hours",
        "to run: 1 training, at most about 0.50 hours, by the epochs measured in 1",
        "to run: 1 training of unknown cost: no such run has finished an epoch yet",
        "3 runs, 1 of them finished",
    ]


@pytest.mark.parametrize("key", ["seed", "output_folder", "experiment", "pretrained"])
def test_keys_that_each_run_has(planned, key):
    with pytest.raises(UserError, match=f"--{key} is set by the ablation for each run; leave it out"):
        planned([f"--{key}", "7"])


def test_bad_arguments(planned, tmp_path):
    suite = Suite.read(SUITE)
    with pytest.raises(UserError, match="unknown key 'learning_rate'"):
        planned(["--learning_rate", "1"])
    with pytest.raises(UserError, match="'data_folder' has no value"):
        Planner(suite, RECIPE, tmp_path, []).plan(1)
    with pytest.raises(UserError, match="has no train.py"):
        Planner(suite, ROOT / "recipes", tmp_path, DATA)
    with pytest.raises(UserError, match="no variant 'no_cars'; did you mean no_car"):
        suite.only(["no_cars"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variants: {full: none}\n", "'base' has no value"),
        ("base: b.yaml\n", "'variants' has no value"),
        ("base: nowhere.yaml\nvariants: {full: none}\n", "nowhere.yaml, which does not exist"),
        ("base: full.yaml\nvariants: {fool: none}\n", "fool.yaml, which does not exist"),
        ("base: full.yaml\nvariants: {full: perhaps}\n", "'full' must be one of shared, own, none, not 'perhaps'"),
        ("base: full.yaml\nvariants: {full: none}\nvariant: 1\n", "unknown key 'variant'"),
        ("base: full.yaml\nvariants: {report: none}\n", "cannot be called 'report'"),
        ("base: full.yaml\nvariants: [full]\n", "must be a mapping"),
    ],
)
def test_bad_suites(tmp_path, text, words):
    shutil.copy(SUITE.parent / "full.yaml", tmp_path)
    (tmp_path / "suite.yaml").write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        Suite.read(tmp_path / "suite.yaml")
    assert "suite.yaml" in str(caught.value)


def test_a_suite_without_pre_training(planned, few):
    """``pretraining: null`` trains every variant anew, and one that cannot is named."""
    text = "base: ../serenanet.yaml\npretraining: null\nvariants: {full: shared, no_car: shared}\n"
    file = few.with_name("anew.yaml")
    file.write_text(text)
    assert [run.name for run in planned(file=file).runs] == ["full/1986", "no_car/1986"]
    file.write_text(text.replace("no_car", "pessl_pretraining_only"))
    with pytest.raises(UserError, match="pessl_pretraining_only.yaml: 'pretrained' has no value"):
        planned(file=file)
