"""What a pass that does not fit into memory leaves behind: nothing."""

from types import SimpleNamespace

import pytest
import torch

from serenanet_modules.errors import Fault
from serenanet_modules.training.halving import Undivided, attempting


@pytest.fixture
def parameters():
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(3, 4)) for _ in range(3)]


def backward(parameters, factor):
    """Add a gradient to all parameters but the last."""
    sum((factor * p.square()).sum() for p in parameters[:-1]).backward()
    return factor


def gradients(parameters):
    return [p.grad if p.grad is None else p.grad.clone() for p in parameters]


def test_passes_that_fit_leave_what_autograd_leaves(parameters):
    attempt = attempting(parameters, lambda factor: backward(parameters, factor))
    assert [attempt(0.1), attempt(0.7), attempt(-0.3)] == [0.1, 0.7, -0.3]
    found = gradients(parameters)
    for parameter in parameters:
        parameter.grad = None
    for factor in (0.1, 0.7, -0.3):
        backward(parameters, factor)
    assert all(torch.equal(one, other) for one, other in zip(found[:-1], gradients(parameters)[:-1], strict=True))
    assert found[-1] is None


@pytest.mark.parametrize("earlier", [0, 1])
def test_a_pass_that_fails_half_way_leaves_the_gradients_as_they_were(parameters, earlier):
    """Also where earlier micro-batches of the step have left theirs."""

    def fail(*_):
        backward(parameters[:2], 5.0)
        raise torch.OutOfMemoryError("CUDA out of memory")

    for _ in range(earlier):
        backward(parameters, 0.3)
    before = gradients(parameters)
    assert attempting(parameters, fail)() is None
    for one, other in zip(before, gradients(parameters), strict=True):
        assert one is other is None or torch.equal(one, other)


def test_other_errors_pass(parameters):
    def fail():
        raise RuntimeError("the sizes do not match")

    with pytest.raises(RuntimeError, match="sizes"):
        attempting(parameters, fail)()


def test_what_cannot_be_divided_says_so():
    """Where processes compute together, memory that is short is one sentence that says which option to lower."""
    batch = SimpleNamespace(plan=SimpleNamespace(number=7), utterances=["a", "b", "c"])
    assert Undivided().run(2, batch, lambda start, stop: (start, stop)) == [(3, (0, 3))]
    with pytest.raises(Fault, match=r"micro-batch 7 of epoch 2 \(3 utterances\) .* lower --max_batch_seconds"):
        Undivided().run(2, batch, lambda start, stop: None)
