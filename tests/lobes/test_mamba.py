"""Names and shapes of mamba_ssm's module, its initial values, and both directions."""

import math

import pytest
import torch
from torch.nn import functional

from serenanet_modules.lobes.lengths import reverse
from serenanet_modules.lobes.mamba import BidirectionalMamba, Mamba
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


def test_initial_values():
    block = Mamba(64, d_state=8)
    step = functional.softplus(block.dt_proj.bias)
    assert 1e-3 * 0.99 <= step.min() < 3e-3 and 0.03 < step.max() <= 0.1 * 1.01
    torch.testing.assert_close(-block.A_log.exp()[5], -torch.arange(1.0, 9.0))  # S4D-real
    assert (block.D == 1).all()


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


def test_backwards_reads_each_utterance_from_its_own_end():
    block = BidirectionalMamba(16, d_state=4)
    x, lengths = torch.randn(2, 12, 16), torch.tensor([12, 7])
    y = block(x, lengths)
    for i, n in enumerate(lengths.tolist()):
        alone = x[i : i + 1, :n]
        want = block.forwards(alone) + block.backwards(alone.flip(1)).flip(1)
        torch.testing.assert_close(y[i : i + 1, :n], want, rtol=1e-5, atol=1e-6)
    assert y[1, 7:].abs().max() == 0


def test_both_directions_are_heard():
    block = BidirectionalMamba(16, d_state=4)
    x = torch.randn(1, 9, 16, requires_grad=True)
    (grad,) = torch.autograd.grad(block(x, torch.tensor([9]))[0, 4].sum(), x)
    assert (grad[0].abs().sum(-1) > 0).all()


def test_swapping_directions_mirrors_the_output():
    block, swapped = BidirectionalMamba(16, d_state=4), BidirectionalMamba(16, d_state=4)
    swapped.forwards.load_state_dict(block.backwards.state_dict())
    swapped.backwards.load_state_dict(block.forwards.state_dict())
    x, lengths = torch.randn(2, 8, 16), torch.tensor([8, 5])
    mirrored = reverse(swapped(reverse(x, lengths) * (torch.arange(8) < lengths[:, None])[..., None], lengths), lengths)
    torch.testing.assert_close(block(x, lengths), mirrored, rtol=1e-5, atol=1e-6)
