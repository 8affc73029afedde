"""The refinement's size, directions and regulariser."""

from functools import partial

import pytest
import torch

from serenanet_modules.lobes.blocks.mamba2 import Mamba2
from serenanet_modules.lobes.heads.car import CAR
from serenanet_modules.training.brains.ctc import divergence


def size(car):
    return sum(p.numel() for p in car.parameters())


def test_size_at_the_plans_dimensions():
    mamba = 256 * 512 + (256 * 4 + 256) + 256 * (16 + 32) + (16 * 256 + 256) + 256 * 16 + 256 + 256 * 256
    assert size(CAR(512, 41)) == (512 * 256 + 256) + mamba + (256 * 41 + 41) == 360_745
    assert size(CAR(512, 41, bidirectional=True)) == 360_745 + mamba


def test_another_block():
    """Any block with Mamba's arguments can be used; Mamba-2's size is its own formula."""
    inp, out = 512 * 256 + 256, 256 * 41 + 41
    mamba2 = 256 * (2 * 256 + 2 * 16 + 4) + (256 + 32) * 5 + 3 * 4 + 256 + 256 * 256
    assert size(CAR(512, 41, block=partial(Mamba2, headdim=64))) == inp + mamba2 + out


def test_shapes_and_gradients():
    car = CAR(12, 5, d_model=8, n_layers=2, expand=2)
    logits = car(torch.randn(3, 10, 12), torch.tensor([10, 4, 1])).x
    assert logits.shape == (3, 10, 5)
    logits.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in car.parameters())


@pytest.mark.parametrize("bidirectional", [False, True])
def test_context(bidirectional):
    car = CAR(12, 5, d_model=8, bidirectional=bidirectional)
    x = torch.randn(1, 9, 12, requires_grad=True)
    (grad,) = torch.autograd.grad(car(x, torch.tensor([9])).x[0, 4].sum(), x)
    heard = grad[0].abs().sum(-1) > 0
    assert heard[:5].all() and heard[5:].all() == bidirectional and heard[5:].any() == bidirectional


def test_regulariser_is_the_mean_square_of_the_hidden_state():
    car = CAR(12, 5, d_model=8)
    hidden = []
    car.out.register_forward_hook(lambda module, inputs, output: hidden.append(inputs[0]))
    output = car(torch.randn(2, 9, 12), torch.tensor([9, 3]))
    valid = torch.cat([hidden[0][0], hidden[0][1, :3]])
    torch.testing.assert_close(output.extras.regularisers["car_l2"], valid.square().mean())


def test_divergence_from_the_decoder():
    lengths = torch.tensor([6, 2])
    p, q = (torch.randn(2, 6, 5).log_softmax(-1) for _ in range(2))
    rows = torch.cat([p[0], p[1, :2]]), torch.cat([q[0], q[1, :2]])
    want = torch.nn.functional.kl_div(rows[1], rows[0], log_target=True, reduction="batchmean")
    alike = torch.ones(2)
    torch.testing.assert_close(divergence(p, q, lengths, alike), want)
    assert divergence(p, p, lengths, alike) == 0 and want > 0
    p[1, 2:] = q[1, 2:] = float("nan")
    torch.testing.assert_close(divergence(p, q, lengths, alike), want)
    twice = divergence(p[[0, 1, 1]], q[[0, 1, 1]], lengths[[0, 1, 1]], torch.ones(3))
    torch.testing.assert_close(divergence(p, q, lengths, torch.tensor([2 / 3, 4 / 3])), twice)
