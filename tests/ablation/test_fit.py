"""Variants over models that lack what they change: refused in one sentence, and no obstacle to the others."""

import pytest

from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.errors import UserError
from tests.support.ablations import DATA, RECIPE, make_suite
from tests.support.presets import preset

NAMES = ("full", "resolution_10ms", "no_car", "car_mamba2", "car_ctc", "scoring_car", "no_pessl")
NOTHING = ("no_car", "car_mamba2", "car_ctc", "scoring_car")


@pytest.fixture(name="planned")
def _planned(tmp_path):
    def planned(only=None, values=None):
        suite = Suite.read(make_suite(tmp_path, **dict.fromkeys(NAMES, "none")))
        suite = suite.searching(values, "--values") if values else suite
        return Planner(suite.with_options(preset("conmamba_ctc/small")), RECIPE, tmp_path, DATA).plan(1, only)

    return planned


def test_all_that_do_not_fit_are_named_at_once(planned):
    told = "fit this base: resolution_10ms, no_car, car_mamba2, car_ctc, scoring_car .*unknown key 'frontend.reso"
    with pytest.raises(UserError, match=f"{told}.*; run the others with --only full,no_pessl$"):
        planned()


@pytest.mark.parametrize("name", NOTHING)
def test_what_changes_nothing_is_refused(planned, name):
    with pytest.raises(
        UserError, match=rf"do not fit this base: {name} \({name} changes nothing, because 'car' is null in the model"
    ):
        planned({name})


def test_what_was_not_asked_for_is_no_obstacle(planned):
    plan = planned({"no_pessl", "full"})
    assert [row.name for row in plan.rows] == ["full", "no_pessl"] and len(plan.runs) == 2


def test_values_without_effect(planned):
    with pytest.raises(UserError, match="'car' is null in the model"):
        planned(values={"car_weight": ["0.1", "0.2"]})
