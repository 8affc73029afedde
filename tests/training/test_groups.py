"""What is decayed, how fast parts learn, and what frozen parts keep."""

import pytest
import torch
from torch import nn

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.training.groups import Frozen, Weights, groups, left_out, parts_to_freeze, rate_factors
from tests.support.encoders import settled
from tests.support.parts import everything
from tests.support.presets import preset

NOTHING = [("data_folder", "none"), ("dataset", "Random/sw"), ("locale", "sw")]
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


def grouped(plain, **options):
    """{name: factor} of the toy's parameters."""
    model, modules = toy()
    options = {name: read(model) for name, read in options.items()}
    factors = rate_factors(model, {"rate_factors": {}} | plain, **options)
    return {name: round(factor, 9) for name, (factor, _) in by_name(model, groups(modules, factors)).items()}


def test_the_innermost_factor_counts():
    factors = grouped({"rate_factors": {"1": 0.1, "1.0": 0.5}})
    assert factors["0.weight"] == factors["2.bias"] == 1.0
    assert factors["1.0.weight"] == factors["1.0.bias"] == 0.5
    assert factors["1.1.weight"] == 0.1


def test_factors_are_multiplied():
    """A part's own, that of what was loaded, and the decay from layer to layer; heads above the layers have none."""
    plain = {"rate_factors": {"1.0": 0.5}, "loaded_rate_factor": 0.1, "layer_decay": 0.9}
    levels = lambda model: [[model[0]], [model[1][0]], [model[1][1]]]  # noqa: E731
    factors = grouped(plain, levels=levels, loaded=lambda model: [model[0].weight, *[model[1][0].weight] * 2])
    assert factors == {
        **{"0.weight": 0.081, "0.bias": 0.81},
        **{"1.0.weight": 0.045, "1.0.bias": 0.45},
        **{"1.1.weight": 1.0, "1.1.bias": 1.0},
        **{"2.weight": 1.0, "2.bias": 1.0},
    }


@pytest.mark.parametrize(("way", "factor", "decay"), [("all", 0.03, 0.9), ("top", 0.1, 1.0), ("lora", 0.3, 1.0)])
def test_ways_slow_the_encoder_alone(way, factor, decay):
    """The head has the whole rate, also where it was loaded with the encoder from a run that trained it."""
    hparams = Hparams.load(preset(f"pretrained_ctc/{way}"))
    hparams.override(NOTHING)
    settled(hparams)
    hparams.set("n_units", 7)
    model, plain = hparams.build()["model"], hparams.plain()
    levels, names = model.acoustic.levels(), {id(p): name for name, p in model.named_parameters()}
    found = {names[key]: value for key, value in rate_factors(model, plain, levels, model.parameters()).items()}
    assert all(name.startswith("acoustic.encoder.") for name in found)
    assert found.keys() == {name for name in names.values() if name.startswith("acoustic.encoder.")}
    for above, level in enumerate(reversed(levels)):
        for parameter in (p for part in level for p in part.parameters()):
            assert found[names[id(parameter)]] == pytest.approx(factor * decay**above)


@pytest.mark.parametrize("factor", [0, -1, "fast", float("inf"), float("nan"), None])
def test_factors_that_cannot_be(factor):
    with pytest.raises(UserError, match="rate_factors: that of '0' must be a number above 0"):
        grouped({"rate_factors": {"0": factor}})


def test_what_freeze_means():
    """The front end, it and so many layers, all layers, all but so many, or parts by name."""
    model, _ = toy()
    levels = [[model[0]], [model[1]], [model[2]]]
    assert parts_to_freeze(model, None, levels) == []
    for asked, count in (("front_end", 1), (1, 2), (2, 3), ("encoder", 3), (-1, 2), ("-1", 2), ("2", 3)):
        assert parts_to_freeze(model, asked, levels) == list(model)[:count]
    assert parts_to_freeze(model, "1.0") == parts_to_freeze(model, ["1.0"]) == [model[1][0]]


def test_parts_that_are_not_there():
    model, modules = toy()
    with pytest.raises(UserError, match="freeze: the model has no part 'car'; its parts are 0, 1, 2"):
        parts_to_freeze(model, ["car"])
    for asked in (0, 2, -1):
        with pytest.raises(UserError, match=f"freeze: {asked} is not possible, as the encoder has 1 layers"):
            parts_to_freeze(model, asked, [[model[0]], [model[1]]])
    with pytest.raises(UserError, match="freeze: 'encoder' is for models of speech"):
        parts_to_freeze(model, "encoder")
    with pytest.raises(UserError, match="rate_factors: the model has no part '1.7'"):
        grouped({"rate_factors": {"1.7": 1.0}})
    Frozen([model])
    with pytest.raises(UserError, match="freeze: no part of the model is left to train"):
        groups(modules)


@pytest.mark.parametrize("found", MODELS, ids=str)
def test_levels_are_the_whole_acoustic_model(found):
    """All but what stands above the layers, once; so a decay or a freeze leaves nothing out."""
    acoustic = getattr(found.build(), "acoustic", None)
    if acoustic is None:  # a language model
        return
    parameters = [p for level in acoustic.levels() for part in level for p in part.parameters()]
    rest = {name.partition(".")[0] for name, p in acoustic.named_parameters() if not any(p is q for q in parameters)}
    assert rest <= {"pessl", "mix", "norm", "project", "head"} and len(parameters) == len(set(map(id, parameters)))
    assert len(acoustic.levels()) > 2


def test_frozen_parts_are_in_no_group_and_in_no_checkpoint(tmp_path):
    """One file holds them once, and gives them back whatever a new model began with."""
    model, modules = toy()
    frozen = Frozen([model[1]])
    assert not [name for name in by_name(model, groups(modules)) if name.startswith("1.")]
    weights = Weights(model, frozen)
    assert weights.state().keys() == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert left_out(model, frozen) == model.state_dict().keys() - weights.state().keys()
    weights.keep(tmp_path / "frozen.safetensors")

    other, _ = toy()
    again = Weights(other, Frozen([other[1]]))
    again.keep(tmp_path / "frozen.safetensors")
    again.load(weights.state())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values(), strict=True))
    with pytest.raises(RuntimeError, match="another model"):
        again.load({"0.weight": torch.zeros(4, 3)})


def test_frozen_for_some_steps():
    """Such parts are in groups and checkpoints from the beginning; what was not to be trained before never is."""
    model, modules = toy()
    model[1][0].bias.requires_grad_(False)
    frozen = Frozen([model[1]], 3)
    assert by_name(model, groups(modules, later=frozen.later)).keys() == dict(model.named_parameters()).keys() - {
        "1.0.bias"
    }
    assert left_out(model, frozen) == {"1.0.bias"}
    for done in (0, 2):
        model.train()
        frozen.before(done)
        assert not model[1].training and not model[1][0].weight.requires_grad and model[2].training
    for _ in range(2):
        frozen.before(3)
        assert all(part.training for part in model.modules())
        assert model[1][0].weight.requires_grad and not model[1][0].bias.requires_grad
