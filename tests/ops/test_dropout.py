"""The hashed mask: its share, its independence, its gradient, its seed."""

import pytest
import torch

from serenanet_modules.ops import cpp, dropout

needs_kernel = pytest.mark.skipif(cpp.why_not() is not None, reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@needs_kernel
@pytest.mark.parametrize("p", [0.05, 0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_share_and_scale(p, dtype):
    y = dropout(torch.ones(1 << 20, dtype=dtype), p)
    kept = y != 0
    assert abs(float(kept.double().mean()) - (1 - p)) < 5 * (p * (1 - p) / len(y)) ** 0.5
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 1 / (1 - p)))


@needs_kernel
@pytest.mark.parametrize("lag", [1, 2, 16, 144, 1 << 14])
def test_positions_are_independent(lag):
    dropped = (dropout(torch.ones(1 << 20), 0.1) == 0).double()
    together = float((dropped[lag:] * dropped[:-lag]).mean())
    assert abs(together - 0.01) < 5 * (0.01 * 0.99 / len(dropped)) ** 0.5


@needs_kernel
def test_masks_of_two_calls_are_independent():
    a, b = ((dropout(torch.ones(1 << 20), 0.1) == 0).double() for _ in range(2))
    assert abs(float((a * b).mean()) - 0.01) < 5 * (0.01 * 0.99 / len(a)) ** 0.5


@pytest.mark.parametrize("shape", [(1 << 14,), (7, 1001), (3, 5, 1000), ((1 << 15) + 3,)])
def test_backward_has_the_mask_of_the_forward(shape):
    x = torch.ones(shape, requires_grad=True)
    y = dropout(x, 0.3)
    y.sum().backward()
    assert torch.equal(x.grad, y.detach())


def test_layout_does_not_matter():
    x = torch.randn(130, 70, requires_grad=True)
    y = dropout(x.t(), 0.3)
    direction = torch.randn(130, 70).t()  # a gradient whose layout is not the output's
    (grad,) = torch.autograd.grad(y, x, direction)
    assert torch.equal((grad != 0).t(), y != 0)


def test_the_seed_decides():
    x = torch.randn(1 << 14)
    torch.manual_seed(7)
    first, second = dropout(x, 0.2), dropout(x, 0.2)
    torch.manual_seed(7)
    assert torch.equal(dropout(x, 0.2), first)
    assert not torch.equal(first, second)


@needs_kernel
def test_threads_do_not_matter():
    x, results = torch.randn(1 << 18), []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            torch.manual_seed(3)
            results.append(dropout(x, 0.2))
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(r, results[0]) for r in results)


def test_nothing_to_do():
    x = torch.randn(1 << 14)
    assert torch.equal(dropout(x, 0.2, training=False), x)
    assert torch.equal(dropout(x, 0.0), x)
    assert (dropout(x, 1.0) == 0).all()
    assert dropout(torch.randn(1 << 14, dtype=torch.bfloat16), 0.2).dtype == torch.bfloat16
    assert dropout(torch.empty(0), 0.2).shape == (0,)
