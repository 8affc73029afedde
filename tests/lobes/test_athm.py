"""The gate, the branches and their alignment."""

import pytest
import torch

from serenanet_modules.lobes.frontends.athm import ATHM


def run(athm, frames, batch=2):
    return athm(torch.randn(batch, frames, athm.branches[0].in_channels), torch.full((batch,), frames))


def gate_of(output):
    return output.extras.pictures["gate"].values


def regulariser(output):
    return output.extras.regularisers["gate_l2"].item()


def test_size_at_the_plans_dimensions():
    athm = ATHM(128, 512, output_stride=4)
    total = sum(p.numel() for p in athm.parameters())
    reducer = sum(p.numel() for p in athm.reduce.parameters())
    # three convolutions, three residual projections, the gate's two layers
    expected = (1 + 2 + 4) * 128 * 512 + 3 * 512 + 3 * (512 * 512 + 512) + 1536 * 256 + 256 + 256 * 3 + 3
    assert total - reducer == expected == 1_642_499
    assert sum(p.numel() for p in ATHM(128, 512).parameters()) == expected


def test_gate_is_a_distribution_over_resolutions():
    athm = ATHM(16, 8, gate_size=8)
    gate = gate_of(run(athm, 13))
    assert gate.shape == (2, 13, 3)
    torch.testing.assert_close(gate.sum(-1), torch.ones(2, 13))
    assert gate.min() > 0
    assert gate.std(1).min() > 0  # each frame has its own


@pytest.mark.parametrize("nonlinear", [False, True])
def test_every_branch_is_weighted_and_trained(nonlinear):
    athm = ATHM(16, 8, gate_size=8, nonlinear=nonlinear).eval()
    x, lengths = torch.randn(2, 13, 16), torch.tensor([13, 10])
    for i in range(3):
        with torch.no_grad():  # a gate that hears one branch only
            athm.gate_mlp[-1].weight.zero_()
            athm.gate_mlp[-1].bias.copy_(torch.eye(3)[i] * 200)
        y, *_ = athm(x, lengths)
        padded = torch.stack(
            [torch.nn.functional.pad(u[:n], (0, 0, 0, 16 - n)) for u, n in zip(x, lengths, strict=True)]
        )
        up = athm._branch(i, padded).repeat_interleave(athm.resolutions[i], dim=1)
        torch.testing.assert_close(y[0], up[0, :13])
        torch.testing.assert_close(y[1, :10], up[1, :10])
    torch.nn.init.normal_(athm.gate_mlp[-1].weight, std=0.1)
    torch.nn.init.zeros_(athm.gate_mlp[-1].bias)
    athm(x, lengths)[0].square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in athm.parameters())


@pytest.mark.parametrize("nonlinear", [False, True])
def test_what_branches_are(nonlinear):
    """Under an even gate all of it is one linear map, which the finest branch has too; nonlinear, it is none."""
    athm = ATHM(4, 6, output_stride=4, dropout=0.0, nonlinear=nonlinear).double()
    torch.nn.init.zeros_(athm.gate_mlp[-1].weight)
    lengths, (a, b) = torch.tensor([8]), torch.randn(2, 1, 8, 4, dtype=torch.float64)
    nothing, one, other, both = (athm(x, lengths)[0] for x in (torch.zeros_like(a), a, b, a + b))
    assert torch.allclose(both - nothing, one - nothing + other - nothing) == (not nonlinear)


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5, 6, 7, 8, 13])
@pytest.mark.parametrize("resolution", [1, 2, 4])
def test_upsampled_frames_stand_where_they_were_heard(frames, resolution):
    athm = ATHM(3, 4, resolutions=[resolution], dropout=0.0)
    x = torch.randn(1, frames, 3, requires_grad=True)
    y, *_ = athm(x, torch.tensor([frames]))
    assert y.shape == (1, frames, 4)
    for t in range(frames):
        (seen,) = torch.autograd.grad(y[0, t].sum(), x, retain_graph=True)
        first = t // resolution * resolution
        heard = seen[0].abs().sum(-1).nonzero().flatten().tolist()
        assert heard == list(range(first, min(first + resolution, frames)))


@pytest.mark.parametrize("resolutions", [[1], [2], [4], [1, 4], [1, 2, 4, 8]])
@pytest.mark.parametrize("output_stride", [1, 2, 4])
def test_any_set_of_resolutions(resolutions, output_stride):
    athm = ATHM(16, 8, resolutions=resolutions, gate_size=8, output_stride=output_stride)
    y, lengths, *_ = output = run(athm, 11)
    expected = -(-11 // output_stride)
    assert y.shape == (2, expected, 8) and lengths.tolist() == [expected] * 2
    assert gate_of(output).shape == (2, 11, len(resolutions))


def test_a_single_resolution_has_no_gate():
    athm = ATHM(16, 8, resolutions=[2])
    output = run(athm, 9)
    assert athm.gate_mlp is None and (gate_of(output) == 1).all()
    assert regulariser(output) == 1.0


def test_regulariser_is_least_for_an_even_gate():
    athm = ATHM(16, 8, gate_size=8)
    torch.nn.init.zeros_(athm.gate_mlp[-1].weight)
    torch.nn.init.zeros_(athm.gate_mlp[-1].bias)
    assert regulariser(run(athm, 9)) == pytest.approx(1 / 3)
    torch.nn.init.constant_(athm.gate_mlp[-1].bias[:1], 100.0)
    assert regulariser(run(athm, 9)) == pytest.approx(1.0)
