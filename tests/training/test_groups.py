"""What is decayed, how fast parts learn, and what frozen parts keep."""

import pytest
import torch
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.training.groups import Weights, freeze, groups, kept
from tests.support.parts import everything

MODELS = [found for found in everything() if found.kind == "models"]


def by_name(model, found):
    """{name: (factor, whether decayed)} of the parameters in groups."""
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: (group["factor"], "weight_decay" not in group) for group in found for p in group["params"]}


@pytest.mark.parametrize("found", MODELS, ids=str)
def test_what_is_decayed(found):
    """Every parameter is in one group; vectors, embeddings and what mamba marks are not decayed."""
    model = found.build()
    decayed = {name: decays for name, (_, decays) in by_name(model, groups(nn.ModuleDict({"model": model}))).items()}
    assert decayed.keys() == dict(model.named_parameters()).keys()
    for name, parameter in model.named_parameters():
        owner, _, own = name.rpartition(".")
        kind = type(model.get_submodule(owner)).__name__
        spared = own in ("A_log", "D") or "bias" in own or "Norm" in kind or "Embedding" in kind
        assert decayed[name] == (parameter.ndim > 1 and not spared), name
    assert any(decayed.values())


def toy():
    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4)), nn.Linear(4, 2))
    return model, nn.ModuleDict({"model": model})


def test_the_innermost_factor_counts():
    model, modules = toy()
    factors = {name: f for name, (f, _) in by_name(model, groups(modules, {"1": 0.1, "1.0": 0.5})).items()}
    assert factors["0.weight"] == factors["2.bias"] == 1.0
    assert factors["1.0.weight"] == factors["1.0.bias"] == 0.5
    assert factors["1.1.weight"] == 0.1


@pytest.mark.parametrize("factor", [0, -1, "fast", float("inf"), float("nan"), None])
def test_factors_that_cannot_be(factor):
    with pytest.raises(UserError, match="rate_factors: that of '0' must be a number above 0"):
        groups(toy()[1], {"0": factor})


def test_parts_that_are_not_there():
    model, modules = toy()
    with pytest.raises(UserError, match="frozen: the model has no part 'encoder'; its parts are 0, 1, 2"):
        freeze(model, ["encoder"])
    with pytest.raises(UserError, match="rate_factors: the model has no part '1.7'"):
        groups(modules, {"1.7": 1.0})
    freeze(model, ["0", "1", "2"])
    with pytest.raises(UserError, match="frozen: no part of the model is left to train"):
        groups(modules)


def test_frozen_parts_are_in_no_group_and_in_no_checkpoint(tmp_path):
    """One file holds them once, and gives them back whatever a new model began with."""
    model, modules = toy()
    frozen = freeze(model, ["1"])
    assert not [name for name in by_name(model, groups(modules)) if name.startswith("1.")]
    weights = Weights(model, frozen)
    assert weights.state().keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert kept(model, frozen) == model.state_dict().keys() - weights.state().keys()
    weights.keep(tmp_path / "frozen.safetensors")

    other, _ = toy()
    again = Weights(other, freeze(other, ["1"]))
    again.keep(tmp_path / "frozen.safetensors")
    again.load(weights.state())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    with pytest.raises(RuntimeError, match="another model"):
        again.load({"0.weight": torch.zeros(4, 3)})
