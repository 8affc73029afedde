"""The suites of ConMamba, H-Mamba and Fast Conformer: each variant changes what its name says, is planned and built."""

import copy

import pytest
import torch

from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.config.foreign import Document
from tests.support.ablations import DATA, RECIPE, differences
from tests.support.parts import tiny_model
from tests.support.presets import HPARAMS, preset

FOLDER = HPARAMS / "ablations"
CAUSAL = {"frontend.causal": True}
CHANGED = {  # beside the experiment's name: key -> value, or ... for another part
    "conmamba_ctc/small": {
        "full": {},
        "causal": {"encoder.causal": True},
        "no_convolution": {"encoder.kernel_size": None},
        "narrow_convolution": {"encoder.kernel_size": 15},
        "mamba2": {"encoder.mixer": "mamba2"},
    },
    "hmamba/small": {
        "full": {},
        "target_1.5": {"encoder.chunking.target": 1.5},
        "target_3": {"encoder.chunking.target": 3.0},
        "target_4": {"encoder.chunking.target": 4.0},
        "pooling": {"encoder.chunking": ...},
        "read_chunks": {"encoder.read": "chunks"},
    },
    "fast_conformer/2m": {
        "full": {},
        "window_64": {"encoder.window": 64},
        "window_16": {"encoder.window": 16},
        "window_16_global": {"encoder.window": 16, "encoder.global_tokens": 1},
        "streaming_1040ms": {**CAUSAL, "encoder.look_aheads": [13]},
        "streaming_80ms": {**CAUSAL, "encoder.look_aheads": [1]},
        "streaming_0ms": {**CAUSAL, "encoder.look_aheads": [0]},
        "streaming_several": {**CAUSAL, "encoder.look_aheads": [13, 6, 1, 0]},
        "left_context_28": {**CAUSAL, "encoder.look_aheads": [13], "encoder.left_context": 28},
    },
}


def test_every_suite_is_here():
    """And names every file beside it."""
    assert {name.partition("/")[0] for name in CHANGED} == {path.name for path in FOLDER.iterdir() if path.is_dir()}
    for name, variants in CHANGED.items():
        folder = FOLDER / name.partition("/")[0]
        assert {path.stem for path in folder.glob("*.yaml")} == {"suite", *variants}


@pytest.mark.parametrize("size", CHANGED)
def test_every_variant_is_planned_and_built(size, tmp_path):
    suite = Suite.read(FOLDER / size.partition("/")[0] / "suite.yaml")
    plan = Planner(suite.with_options(preset(size)), RECIPE, tmp_path, DATA).plan(1)
    assert [row.name for row in plan.rows] == list(CHANGED[size]) and len(plan.runs) == len(plan.rows)
    full = copy.deepcopy(plan.reference.runs[0].hparams.tree)
    for row in plan.rows:
        hparams = row.runs[0].hparams
        changed = differences(full, hparams.tree)
        assert (hparams.tree["experiment"], changed.pop("experiment", row.name)) == (row.name, row.name)
        assert changed.pop("output_folder", "").endswith("1986") or row.name == "full"
        assert changed == CHANGED[size][row.name]
        model = Document(tiny_model(hparams), row.name).build()["model"].eval()
        output = model(torch.randn(2, 16000), torch.tensor([16000, 9000]))
        assert output[0].isfinite().all()
