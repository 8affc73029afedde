"""Names and shapes of mamba_ssm's module, its initial values, steps, and both directions."""

import math

import pytest
import torch
from torch.nn import functional

from serenanet_modules.lobes.blocks.lengths import reverse
from serenanet_modules.lobes.blocks.mamba import Bidirectional, Mamba
from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.ops import selective_scan_fn


@pytest.mark.parametrize(("d_model", "d_state", "d_conv", "expand"), [(256, 16, 4, 1), (64, 8, 3, 2), (40, 16, 4, 2)])
def test_parameters_of_mamba_ssm(d_model, d_state, d_conv, expand):
    inner, rank = expand * d_model, math.ceil(d_model / 16)
    table = {
        "A_log": (inner, d_state),
        "D": (inner,),
        "in_proj.weight": (2 * inner, d_model),
        "conv1d.weight": (inner, 1, d_conv),
        "conv1d.bias": (inner,),
        "x_proj.weight": (rank + 2 * d_state, inner),
        "dt_proj.weight": (inner, rank),
        "dt_proj.bias": (inner,),
        "out_proj.weight": (d_model, inner),
    }
    block = Mamba(d_model, d_state, d_conv, expand)
    assert {name: tuple(p.shape) for name, p in block.state_dict().items()} == table


OPTIONS = [
    {},
    {"d_state": 5, "d_conv": 3, "expand": 1},
    {"dt_rank": 7, "bias": True, "conv_bias": False},
    {"dt_init": "constant", "dt_scale": 0.5, "dt_min": 1e-5, "dt_init_floor": 1e-3, "d_conv": 2},
]


def test_parameters_by_option():
    names = Mamba(32, bias=True, conv_bias=False, dt_rank=3).state_dict()
    assert {"in_proj.bias", "out_proj.bias"} < set(names) and "conv1d.bias" not in names
    assert names["in_proj.bias"].shape == (128,) and names["dt_proj.weight"].shape == (64, 3)
    half = Mamba(32, dtype=torch.bfloat16)
    assert half.A_log.dtype == half.D.dtype == torch.float32 and half.dt_proj.weight.dtype == torch.bfloat16


@pytest.mark.parametrize("options", OPTIONS)
def test_equals_mamba_ssm(options, mamba_ssm_modules, assert_same_module):
    x = torch.randn(2, 19, 40)
    theirs = mamba_ssm_modules.Mamba(40, **options, use_fast_path=False)
    ours = Mamba(40, **options)
    torch.testing.assert_close(ours.A_log, theirs.A_log)
    for block in (ours, theirs):
        step = functional.softplus(block.dt_proj.bias)
        assert options.get("dt_init_floor", options.get("dt_min", 1e-3)) * 0.99 <= step.min() and step.max() <= 0.101
        bound = block.dt_proj.weight.abs().max() * block.dt_proj.in_features**0.5
        assert 0.9 * options.get("dt_scale", 1) < bound < 1.001 * options.get("dt_scale", 1)
    assert_same_module(ours, theirs, x)


def test_initial_values():
    block = Mamba(64, d_state=8)
    step = functional.softplus(block.dt_proj.bias)
    assert 1e-3 * 0.99 <= step.min() < 3e-3 and 0.03 < step.max() <= 0.1 * 1.01
    torch.testing.assert_close(-block.A_log.exp()[5], -torch.arange(1.0, 9.0))  # S4D-real
    assert (block.D == 1).all()
    assert (Mamba(64, dt_init="constant", dt_scale=0.5).dt_proj.weight == 0.25).all()
    assert functional.softplus(Mamba(64, dt_init_floor=0.05).dt_proj.bias).min() > 0.0499
    with pytest.raises(ValueError, match="'zeros'"):
        Mamba(64, dt_init="zeros")


@pytest.mark.parametrize("options", OPTIONS)
def test_steps_equal_forward(options, assert_steps_equal_forward):
    assert_steps_equal_forward(Mamba(24, **options), torch.randn(2, 11, 24))


def test_steps_equal_forward_in_bfloat16():
    block, x = Mamba(16).to(torch.bfloat16), torch.randn(2, 9, 16).to(torch.bfloat16)
    state, outputs = block.init_state(2), []
    for chunk in x.split([3, 1, 5], dim=1):
        y, state = block.step(chunk, state)
        outputs.append(y)
    assert state[0].dtype == torch.bfloat16 and state[1].dtype == torch.float32
    torch.testing.assert_close(torch.cat(outputs, dim=1), block(x), rtol=2e-2, atol=2e-2)


def test_against_the_block_written_out():
    block, x = Mamba(16, d_state=4), torch.randn(2, 11, 16)
    u, z = block.in_proj(x).chunk(2, dim=-1)
    u = functional.silu(block.conv1d(u.transpose(1, 2))[..., :11])  # its padding is causal once cut
    dt, B, C = block.x_proj(u.transpose(1, 2)).split([1, 4, 4], dim=-1)
    delta = functional.softplus(block.dt_proj(dt)).transpose(1, 2)
    A = -block.A_log.exp()
    y = selective_scan_fn(u, delta, A, B.transpose(1, 2), C.transpose(1, 2)) + block.D[:, None] * u
    want = block.out_proj(y.transpose(1, 2) * functional.silu(z))
    torch.testing.assert_close(block(x), want, rtol=1e-5, atol=1e-6)


def test_all_parameters_learn():
    block = Mamba(16)
    block(torch.randn(2, 9, 16)).square().sum().backward()
    assert all(p.grad.isfinite().all() and p.grad.abs().max() > 0 for p in block.parameters())


BLOCKS = {"mamba": lambda: Mamba(16, d_state=4), "mamba2": lambda: Mamba2(16, d_state=4, headdim=8)}


@pytest.fixture(params=BLOCKS)
def two_way(request):
    return Bidirectional(BLOCKS[request.param])


def test_backwards_reads_each_utterance_from_its_own_end(two_way):
    x, lengths = torch.randn(2, 12, 16), torch.tensor([12, 7])
    y = two_way(x, lengths)
    for i, n in enumerate(lengths.tolist()):
        alone = x[i : i + 1, :n]
        want = two_way.forwards(alone) + two_way.backwards(alone.flip(1)).flip(1)
        torch.testing.assert_close(y[i : i + 1, :n], want, rtol=1e-5, atol=1e-6)
    assert y[1, 7:].abs().max() == 0


def test_both_directions_are_heard(two_way):
    x = torch.randn(1, 9, 16, requires_grad=True)
    (grad,) = torch.autograd.grad(two_way(x, torch.tensor([9]))[0, 4].sum(), x)
    assert (grad[0].abs().sum(-1) > 0).all()


def test_padding_is_harmless(two_way, assert_padding_is_harmless):
    assert_padding_is_harmless(lambda x, lengths: [two_way(x, lengths)], two_way, 16, lengths=(1, 12, 40))


def test_names_in_checkpoints():
    names = {name.split(".")[0] for name in Bidirectional(lambda: Mamba(16, d_state=4)).state_dict()}
    assert names == {"forwards", "backwards"}


def test_swapping_directions_mirrors_the_output():
    block, swapped = Bidirectional(lambda: Mamba(16, d_state=4)), Bidirectional(lambda: Mamba(16, d_state=4))
    swapped.forwards.load_state_dict(block.backwards.state_dict())
    swapped.backwards.load_state_dict(block.forwards.state_dict())
    x, lengths = torch.randn(2, 8, 16), torch.tensor([8, 5])
    mirrored = reverse(swapped(reverse(x, lengths) * (torch.arange(8) < lengths[:, None])[..., None], lengths), lengths)
    torch.testing.assert_close(block(x, lengths), mirrored, rtol=1e-5, atol=1e-6)
