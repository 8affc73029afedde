"""Masks, padding and reversal."""

import torch

from serenanet_modules.lobes.blocks.lengths import reverse, valid_mask, zero_padding


def test_valid_mask():
    assert valid_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[False] * 3, [True, True, False], [True] * 3]


def test_zero_padding_stops_nan_and_its_gradient():
    x = torch.tensor([[[1.0], [float("nan")]]], requires_grad=True)
    y = zero_padding(x, torch.tensor([1]))
    assert y.flatten().tolist() == [1.0, 0.0]
    (y**2).sum().backward()
    assert x.grad.flatten().tolist() == [2.0, 0.0]


def test_nothing_to_zero_costs_no_copy_and_fools_no_tracer():
    x, full, short = torch.ones(2, 3, 1), torch.tensor([3, 3]), torch.tensor([3, 1])
    assert zero_padding(x, full) is x
    traced = torch.jit.trace(zero_padding, (x, full))
    compiled = torch.compile(zero_padding, backend="eager", fullgraph=True)
    for run in (zero_padding, traced, compiled):
        assert run(x, full).sum() == 6
        assert run(x, short).flatten().tolist() == [1, 1, 1, 1, 0, 0]
    assert torch.vmap(zero_padding)(x.unsqueeze(1), short.unsqueeze(1)).sum() == 4


def test_reverse():
    x = torch.arange(1.0, 11.0).view(2, 5, 1)
    y = reverse(x, torch.tensor([5, 3]))
    assert y.squeeze(-1).tolist() == [[5, 4, 3, 2, 1], [8, 7, 6, 9, 10]]
    assert torch.equal(reverse(y, torch.tensor([5, 3])), x)


def test_reverse_without_padding():
    """The short way gives what tracers, which cannot know, give."""
    x, full, short = torch.randn(2, 5, 3), torch.tensor([5, 5]), torch.tensor([5, 2])
    traced = torch.jit.trace(reverse, (x, full))
    for lengths in (full, short):
        assert torch.equal(reverse(x, lengths), traced(x, lengths))
    assert torch.equal(reverse(x, None), traced(x, full)) and zero_padding(x, None) is x
