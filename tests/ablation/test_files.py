"""Each file of hparams/ablations changes what its name says, and nothing else: keys, parts and parameter counts."""

import pytest
from ruamel.yaml import YAML

from serenanet_modules.ablation.suite import Suite
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.lobes.frontends.strided import StridedConv
from serenanet_modules.runs.results import parameters
from tests.support.ablations import differences
from tests.support.presets import HPARAMS, MODELS, preset

FOLDER = HPARAMS / "ablations"
SUITES = {"suite", "parts", "search"}
FILES = sorted(path.stem for path in FOLDER.glob("*.yaml") if path.stem not in SUITES)
DATASET = {"dataset": ("dataset.yaml", "CommonVoice/sw"), "locale": ("dataset.yaml", "sw")}
GIVEN = [("data_folder", "/data"), ("n_units", "30"), ("pretrained", "/pretrained")]

CHANGED = {  # beside the experiment's name: key -> value, or ... for another part
    "full": {},
    "no_athm": {"frontend": ...},
    "resolution_10ms": {"frontend.resolutions": [1]},
    "resolution_20ms": {"frontend.resolutions": [2]},
    "resolution_40ms": {"frontend.resolutions": [4]},
    "no_pessl": {"pessl": None, "pretrained": None},
    "pessl_pretraining_only": {"pessl": None},
    "pessl_auxiliary_only": {"pretrained": None},
    "no_car": {"car": None},
    "car_state_8": {"car.d_state": 8},
    "car_state_16": {},
    "car_state_64": {"car.d_state": 64},
    "car_layers_1": {},
    "car_layers_2": {"car.n_layers": 2},
    "car_unidirectional": {},
    "car_bidirectional": {"car.bidirectional": True},
    "car_mamba2": {"car.block": ...},
    "car_ctc": {"car_ctc_weight": 0.3},
    "car_no_ctc": {},
    "scoring_decoder": {},
    "scoring_car": {"scoring": "car"},
    "scoring_average": {"scoring": "average"},
    "output_stride_1": {"output_stride": 1},
    "output_stride_2": {"output_stride": 2},
    "output_stride_4": {},
}

# sizes in sizes/serenanet/small.yaml
MELS, D, GATE, CAR = 80, 144, 64, 96
MAMBA = CAR * 2 * CAR + CAR * 5 + CAR * (6 + 32) + (6 + 1) * CAR + CAR * 16 + CAR + CAR * CAR
MAMBA2 = CAR * (2 * CAR + 2 * 16 + 3) + (CAR + 32) * 5 + 3 * 3 + CAR + CAR * CAR
REDUCE = {1: 0, 2: D * D * 2 + D, 4: D * D * 4 + D}


def branch(stride):
    """Parameters of an ATHM branch with its norm and residual projection."""
    return MELS * stride * D + D + 2 * D + D * D + D


ATHM = sum(map(branch, (1, 2, 4))) + (3 * D * GATE + GATE + GATE * 3 + 3)
COUNTS = {  # part -> parameters, where they are not those of the full model
    "no_athm": {"frontend": MELS * 4 * D + D},
    "resolution_10ms": {"frontend": branch(1) + REDUCE[4]},
    "resolution_20ms": {"frontend": branch(2) + REDUCE[4]},
    "resolution_40ms": {"frontend": branch(4) + REDUCE[4]},
    "no_pessl": {"pessl": None},
    "pessl_pretraining_only": {"pessl": None},
    "no_car": {"car": None},
    "car_state_8": {"car": -3 * 8 * CAR},
    "car_state_64": {"car": 3 * 48 * CAR},
    "car_layers_2": {"car": MAMBA},
    "car_bidirectional": {"car": MAMBA},
    "car_mamba2": {"car": MAMBA2 - MAMBA},
    "output_stride_1": {"frontend": ATHM + REDUCE[1]},
    "output_stride_2": {"frontend": ATHM + REDUCE[2]},
}


def load(base, *layers, given=GIVEN):
    return Hparams.load([*preset(base), *(FOLDER / f"{layer}.yaml" for layer in layers)], DATASET).override(given)


def over_full(base, name, given=GIVEN):
    """As the suite lays it."""
    return load(base, "full", *([] if name == "full" else [name]), given=given)


@pytest.mark.parametrize("base", ["serenanet", "serenanet/small"])
@pytest.mark.parametrize("name", FILES)
def test_changes_what_its_name_says(name, base):
    """On the full and on the small model, a file differs from full.yaml in its name's keys alone."""
    given = [pair for pair in GIVEN if pair[0] != "pretrained"]
    if name == "pessl_pretraining_only":
        with pytest.raises(UserError, match="'pretrained' has no value; give it with --pretrained"):
            load(base, name, given=given)
    full = load(base, "full").tree
    variant = over_full(base, name, given if CHANGED[name].get("pretrained", "") is None else GIVEN).tree
    changed = differences(full, variant)
    assert (variant["experiment"], changed.pop("experiment", name)) == (name, name)
    assert changed == CHANGED[name]


@pytest.mark.parametrize("size", [name for name in MODELS if name.partition("/")[0] == "serenanet"])
@pytest.mark.parametrize("name", FILES)
def test_a_layer_changes_what_it_names_alone(name, size):
    """Over every size of serenanet: no part comes or goes that the file does not say."""
    own = YAML().load(FOLDER / f"{name}.yaml")
    assert "extends" not in own
    base = load(size, given=[pair for pair in GIVEN if pair[0] != "pretrained"]).tree
    layered = Hparams.load([*preset(size), FOLDER / f"{name}.yaml"], DATASET).tree
    changed = {key for key in base if differences({key: base[key]}, {key: layered[key]})} - {"data_folder", "n_units"}
    assert changed <= own.keys() and "experiment" in changed


def test_a_base_is_laid_under():
    """On another base than serenanet.yaml a file keeps that base's sizes."""
    small = load("serenanet/small", "no_athm").tree
    assert (small["d_model"], small["car"]["d_model"], small["lr"]) == (144, 96, 0.003)


@pytest.fixture(scope="module", name="full")
def _full():
    return parameters(load("serenanet/small", "full").build()["model"])


@pytest.mark.parametrize("name", FILES)
def test_parts_and_parameters(name, full):
    """The built model has the full one's parts and counts, up to what the name says."""
    model = over_full("serenanet/small", name).build()["model"]
    expected = {part: count for part, count in full.items() if part != "total"}
    assert expected["frontend"] == ATHM + REDUCE[4]
    for part, count in COUNTS.get(name, {}).items():
        expected[part] = expected[part] + count if part == "car" and count is not None else count
    expected = {part: count for part, count in expected.items() if count is not None}
    assert parameters(model) == {**expected, "total": sum(expected.values())}
    assert isinstance(model.acoustic.frontend, StridedConv) == (name == "no_athm")
    blocks = [] if model.car is None else [type(block) for block in model.car.blocks]
    assert all((block is Mamba2) == (name == "car_mamba2") for block in blocks)


def test_the_suite_has_every_file():
    """suite.yaml names each file once, the full model first, and says how each is pre-trained."""
    suite = Suite.read(FOLDER / "suite.yaml")
    assert sorted(variant.name for variant in suite.variants) == FILES
    assert suite.variants[0].name == "full"
    starts = {variant.name: variant.pretraining for variant in suite.variants}
    for name, keys in CHANGED.items():
        shaped = name.startswith(("no_athm", "resolution", "output_stride"))
        assert starts[name] == ("none" if keys.get("pretrained", "") is None else "own" if shaped else "shared")


def test_the_suite_of_parts():
    """Eleven variants that start as those of suite.yaml do, from pre-trainings of 5 epochs."""
    suite = Suite.read(FOLDER / "parts.yaml")
    whole = {variant.name: variant for variant in Suite.read(FOLDER / "suite.yaml").variants}
    assert [variant.name for variant in suite.variants] == [
        *("full", "no_athm", "resolution_10ms", "resolution_20ms", "resolution_40ms", "no_pessl"),
        *("pessl_pretraining_only", "no_car", "car_bidirectional", "car_mamba2", "car_ctc"),
    ]
    assert all(variant == whole[variant.name] for variant in suite.variants)
    assert suite.pretraining_arguments == ("--number_of_epochs", "5")
