"""Muon: matrices move in all directions alike, all else as by AdamW; a state is saved, an overflow is skipped."""

import copy

import pytest
import torch
from torch import nn

from serenanet_modules.lobes.frontends import ATHM
from serenanet_modules.runtime.eager import eager
from serenanet_modules.training.groups import groups as groups_of
from serenanet_modules.training.muon import Muon, orthogonalised

SETTINGS = {"lr": 0.01, "weight_decay": 0.1, "betas": (0.9, 0.98)}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 40), nn.GELU(), nn.LayerNorm(40), nn.Linear(40, 40), nn.Linear(40, 7))


def groups(model):
    matrices = [p for p in model.parameters() if p.ndim == 2]
    others = [p for p in model.parameters() if p.ndim != 2]
    return [{"params": matrices}, {"params": others, "weight_decay": 0.0, "elementwise": True}]


def take_steps(model, optimizer, count, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        loss = (model(torch.randn(5, 12, generator=generator)) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("shape", [(3, 30, 50), (2, 50, 50), (1, 8, 300), (1, 1, 4)])
def test_singular_values_come_near_one(shape):
    """And singular vectors stay: U Vᵀ of the decomposition is what is approached. Of square ones some begin near 0."""
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(2)) * 100
    found = orthogonalised(matrices)
    values = torch.linalg.svdvals(found)
    assert values.quantile(0.05) > 0.3 and values.max() < 1.3 and values.mean() > 0.6
    u, _, vt = torch.linalg.svd(matrices, full_matrices=False)
    cosines = torch.nn.functional.cosine_similarity(found.flatten(1), (u @ vt).flatten(1))
    assert cosines.min() > 0.95


def test_nothing_comes_of_nothing():
    """A gradient of zeros changes no weight but by decay."""
    assert orthogonalised(torch.zeros(2, 3, 4)).eq(0).all()
    weight = nn.Parameter(torch.ones(4, 4))
    weight.grad = torch.zeros(4, 4)
    Muon([weight], **SETTINGS).step()
    torch.testing.assert_close(weight.detach(), torch.full((4, 4), 1 - 0.01 * 0.1))


@pytest.mark.parametrize(("tall", "decay"), [(False, 0.1), (True, 0.1), (True, 0.0)])
def test_an_update_is_what_the_papers_say(tall, decay):
    """Of momentum as Nesterov has it, of root mean square 0.2 · matrix_rate · lr, beside decoupled decay."""
    torch.manual_seed(3)
    weight, first, second = (torch.randn(*((48, 16) if tall else (16, 48))) for _ in range(3))
    parameter = nn.Parameter(weight.clone())
    optimizer = Muon([parameter], matrix_rate=2.0, **{**SETTINGS, "weight_decay": decay})
    for gradient in (first, second):
        before, parameter.grad = parameter.detach().clone(), gradient.clone()
        optimizer.step()
    momentum = 0.95 * 0.05 * first + 0.05 * second
    direction = 0.05 * second + 0.95 * momentum
    direction = direction.mT if tall else direction
    expected = orthogonalised(direction.unsqueeze(0))[0]
    expected = (expected.mT if tall else expected) * 0.2 * 48**0.5
    found = (before * (1 - 0.01 * decay) - parameter.detach()) / (0.01 * 2.0)
    torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert found.square().mean().sqrt() == pytest.approx(0.2, rel=0.3)
    assert torch.equal(parameter.grad, second)


def test_all_else_is_left_to_adamw():
    """Bit for bit, also where matrices stand in the same group and where a group has no decay."""
    model, other = network(), network()
    embedding = nn.Parameter(torch.randn(5, 3))
    same = nn.Parameter(embedding.detach().clone())
    ours = Muon([*groups(model), {"params": [embedding], "weight_decay": 0.0, "elementwise": True}], **SETTINGS)
    theirs = torch.optim.AdamW([*groups(other), {"params": [same], "weight_decay": 0.0}], **SETTINGS)
    for parameter, mate in zip([*model.parameters(), embedding], [*other.parameters(), same], strict=True):
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
        mate.grad = parameter.grad.clone()
    ours.step()
    theirs.step()
    assert torch.equal(embedding, same)
    for parameter, mate in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(parameter, mate) == (parameter.ndim != 2)


@pytest.mark.parametrize("wrapped", [lambda optimizer: optimizer, eager], ids=["plain", "eager"])
def test_a_state_that_is_loaded_goes_on(wrapped):
    """The same weights, bit for bit, as without the interruption."""
    model = network()
    optimizer = wrapped(Muon)(groups(model), **SETTINGS)
    take_steps(model, optimizer, 3)
    again = copy.deepcopy(model)
    resumed = wrapped(Muon)(groups(again), **SETTINGS)
    resumed.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    for one, two in zip(take_steps(model, optimizer, 3, 4), take_steps(again, resumed, 3, 4), strict=True):
        assert torch.equal(one, two)


def test_an_overflow_changes_nothing():
    """With a gradient scaler a step with an infinite gradient is left out, matrices too."""
    model = network()
    optimizer, scaler = Muon(groups(model), fused=True, **SETTINGS), torch.amp.GradScaler("cpu", init_scale=4.0)
    before = [p.detach().clone() for p in model.parameters()]
    scaler.scale(model(torch.randn(5, 12)).sum()).backward()
    model[0].bias.grad[0] = torch.inf
    scaler.step(optimizer)
    scaler.update()
    assert all(map(torch.equal, before, model.parameters())) and scaler.get_scale() == 2.0


def test_what_has_no_gradient_stays():
    """As parts that are frozen until some step do."""
    model = network()
    optimizer = Muon(groups(model), **SETTINGS)
    model[3].requires_grad_(False)
    before = [p.detach().clone() for p in model[3].parameters()]
    take_steps(model, optimizer, 2)
    assert all(map(torch.equal, before, model[3].parameters()))


def test_a_gate_is_left_to_adamw():
    """What a lobe marks stands in a group of its own, which moves element by element."""
    athm = ATHM(8, 12, gate_size=6)
    made = groups_of(nn.ModuleDict({"model": athm}))
    marked = [p for g in made if g.get("elementwise") and "weight_decay" not in g for p in g["params"]]
    assert {id(p) for p in marked} == {id(layer.weight) for layer in (athm.gate_mlp[0], athm.gate_mlp[2])}
    before = {id(p): p.detach().clone() for group in made for p in group["params"]}
    optimizers = Muon(made, **SETTINGS), torch.optim.AdamW(groups_of(nn.ModuleDict({"model": athm})), **SETTINGS)
    found = []
    for optimizer in optimizers:
        for parameter in athm.parameters():
            parameter.data.copy_(before[id(parameter)])
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        found.append([p.detach().clone() for p in marked])
    assert all(map(torch.equal, *found))
