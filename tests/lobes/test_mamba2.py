"""Names, shapes and initial values of mamba_ssm's Mamba-2 module, its options, steps and gated normalisation."""

import pytest
import torch
from torch.nn import functional

from serenanet_modules.lobes.blocks.mamba2 import Mamba2, RMSNorm

SMALL = {"d_state": 6, "headdim": 8}
OPTIONS = {
    "plain": {},
    "groups": {"ngroups": 2, "expand": 4},
    "beside a gated unit": {"d_ssm": 16},
    "skip per channel": {"D_has_hdim": True},
    "no norm": {"rmsnorm": False},
    "norm before gate": {"norm_before_gate": True, "ngroups": 4},
    "biases": {"bias": True, "conv_bias": False},
    "small chunks": {"chunk_size": 4, "d_conv": 2, "conv_init": 0.1},
    "limited steps": {"dt_limit": (0.01, 0.05)},
}


@pytest.mark.parametrize(
    ("d_model", "d_state", "expand", "headdim", "ngroups", "d_ssm", "hdim"),
    [(64, 16, 2, 32, 1, None, False), (48, 8, 2, 16, 2, 64, True), (144, 128, 2, 32, 1, None, False)],
)
def test_parameters_of_mamba_ssm(d_model, d_state, expand, headdim, ngroups, d_ssm, hdim):
    inner = expand * d_model
    ssm = d_ssm or inner
    heads, convolved = ssm // headdim, ssm + 2 * ngroups * d_state
    table = {
        "dt_bias": (heads,),
        "A_log": (heads,),
        "D": (ssm if hdim else heads,),
        "in_proj.weight": (2 * inner + 2 * ngroups * d_state + heads, d_model),
        "conv1d.weight": (convolved, 1, 4),
        "conv1d.bias": (convolved,),
        "norm.weight": (ssm,),
        "out_proj.weight": (d_model, inner),
    }
    block = Mamba2(d_model, d_state, 4, None, expand, headdim, d_ssm, ngroups, D_has_hdim=hdim)
    assert {name: tuple(p.shape) for name, p in block.state_dict().items()} == table


def test_parameters_by_option():
    names = Mamba2(32, **SMALL, bias=True, conv_bias=False, rmsnorm=False).state_dict()
    assert set(names) == {
        *("dt_bias", "A_log", "D", "conv1d.weight"),
        *("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias"),
    }


def test_initial_values():
    block = Mamba2(256, d_state=8, headdim=2, A_init_range=(3, 5), conv_init=0.01)
    step = functional.softplus(block.dt_bias)
    assert 1e-3 * 0.99 <= step.min() < 2e-3 and 0.06 < step.max() <= 0.1 * 1.01
    assert 3 <= block.A_log.exp().min() < 3.2 and 4.8 < block.A_log.exp().max() <= 5.001
    assert (block.D == 1).all() and (block.norm.weight == 1).all()
    assert 0.009 < block.conv1d.weight.abs().max() <= 0.01
    assert functional.softplus(Mamba2(32, dt_init_floor=0.05).dt_bias).min() > 0.0499


@pytest.mark.parametrize(
    "name", sorted(OPTIONS.keys() - {"limited steps"})
)  # their reference of the scan has no limits
def test_equals_mamba_ssm(name, mamba_ssm_modules, assert_same_module):
    options = {**SMALL, "chunk_size": 8, **OPTIONS[name]}  # of which their reference wants a multiple of steps
    ours, theirs = Mamba2(32, **options), mamba_ssm_modules.Mamba2(32, **options, use_mem_eff_path=False)
    assert_same_module(ours, theirs, torch.randn(2, 16, 32))


@pytest.mark.parametrize("name", OPTIONS)
def test_steps_equal_forward(name, assert_steps_equal_forward):
    assert_steps_equal_forward(Mamba2(16, **{**SMALL, **OPTIONS[name]}), torch.randn(2, 11, 16))


def test_against_the_block_written_out():
    """One head after the other, one frame after the other."""
    block = Mamba2(16, d_state=4, headdim=8, ngroups=2, dt_limit=(0.0, 0.05)).double()
    x = torch.randn(2, 9, 16, dtype=torch.float64)
    z, u, dt = block.in_proj(x).split([32, 32 + 2 * 2 * 4, 4], dim=-1)
    u = functional.silu(block.conv1d(u.transpose(1, 2))[..., :9]).transpose(1, 2)
    dt = functional.softplus(dt + block.dt_bias).clamp(max=0.05)
    state, outputs = torch.zeros(2, 4, 8, 4, dtype=torch.float64), []
    for t in range(9):
        heads = u[:, t, :32].view(2, 4, 8)
        B, C = (u[:, t, a : a + 8].view(2, 2, 4).repeat_interleave(2, dim=1) for a in (32, 40))
        decay = torch.exp(-dt[:, t] * block.A_log.exp())[..., None, None]
        state = decay * state + (dt[:, t, :, None] * heads)[..., None] * B[:, :, None]
        outputs.append(((state * C[:, :, None]).sum(-1) + block.D[:, None] * heads).flatten(1))
    y = torch.stack(outputs, dim=1) * functional.silu(z)
    groups = y.unflatten(-1, (2, 16))
    y = (groups / (groups.square().mean(-1, keepdim=True) + 1e-5).sqrt()).flatten(-2) * block.norm.weight
    torch.testing.assert_close(block(x), block.out_proj(y), rtol=1e-7, atol=1e-9)


def test_packed_utterances_do_not_hear_each_other():
    block, x = Mamba2(16, **SMALL), torch.randn(1, 20, 16)
    packed = block(x, seq_idx=torch.tensor([[0] * 8 + [1] * 12], dtype=torch.int32))
    torch.testing.assert_close(packed, torch.cat([block(x[:, :8]), block(x[:, 8:])], dim=1), rtol=1e-5, atol=1e-6)


def test_it_is_causal():
    block, x = Mamba2(16, **SMALL), torch.randn(1, 30, 16)
    y = block(x)
    x[:, 17:] = 50.0
    torch.testing.assert_close(block(x)[:, :17], y[:, :17], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIONS)
def test_all_parameters_learn(name):
    block = Mamba2(16, **{**SMALL, **OPTIONS[name]})
    block(torch.randn(2, 9, 16)).square().sum().backward()
    learning = {k for k, p in block.named_parameters() if p.grad.isfinite().all() and p.grad.abs().max() > 0}
    assert learning == set(dict(block.named_parameters()))


def test_autocast():
    block, x = Mamba2(16, **SMALL), torch.randn(2, 9, 16)
    with torch.autocast("cpu", torch.bfloat16):
        y = block(x)
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), block(x), rtol=5e-2, atol=5e-2)


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("group", [None, 4])
def test_gated_norm(before, group):
    norm, x, z = RMSNorm(8, group_size=group, norm_before_gate=before).double(), *torch.randn(2, 3, 5, 8).double()
    torch.nn.init.normal_(norm.weight)
    for i, j in ((0, 0), (2, 4)):
        row, gate = x[i, j], z[i, j] * torch.sigmoid(z[i, j])
        row = row if before else row * gate
        parts = [part / (part.square().mean() + 1e-5).sqrt() for part in row.split(group or 8)]
        want = torch.cat(parts) * norm.weight * (gate if before else 1)
        torch.testing.assert_close(norm(x, z)[i, j], want)
    assert torch.autograd.gradcheck(norm, (x[:1, :2].requires_grad_(), z[:1, :2].requires_grad_()))
    torch.testing.assert_close(norm(x), norm(x, torch.full_like(z, 1e4)) / 1e4 if before else norm(x))
    assert norm(x.bfloat16(), z.bfloat16()).dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"headdim": 5}, "headdim is 5"),
        ({"headdim": 32, "ngroups": 2}, "ngroups is 2"),
        ({"d_ssm": 64}, "d_ssm is 64"),
        ({"A_init_range": (0, 1)}, "A_init_range"),
        ({"process_group": object()}, "process_group"),
    ],
)
def test_what_does_not_fit_is_named(options, message):
    with pytest.raises(ValueError, match=message):
        Mamba2(16, **{"d_state": 4, "headdim": 8, **options})
