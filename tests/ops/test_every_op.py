"""What holds for every operation of ops' ``__all__`` on every backend, found by itself.

An operation is known by its `Check` in ops/selfcheck.py: a tensor whose first size is the batch's holds utterances, a
size that is the length's is time. ``pytest -rP`` shows the largest errors.
"""

import dataclasses
import importlib
import math

import pytest
import torch

from serenanet_modules import ops
from serenanet_modules.ops import cpp
from serenanet_modules.ops.selfcheck import BATCH, LENGTH, checks, errors

WITHOUT_BACKENDS = {"causal_conv1d_varlen_states", "dropout", "linear"}  # tested in files of their own
TWO_WAY = {"depthwise_conv1d"}  # hear what follows, so that nothing but zeros can follow an utterance
CPP = pytest.param("cpp", marks=pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not())))
BOUNDS = {torch.float32: 1e-5, torch.bfloat16: 2**-7}  # of the largest value of a tensor
AFTER = 5  # steps behind the end

every = pytest.mark.parametrize("name", checks())
over_time = pytest.mark.parametrize("name", [name for name, check in checks().items() if not check.changed])
causal = pytest.mark.parametrize(
    "name", [name for name, check in checks().items() if not check.changed and name not in TWO_WAY]
)
precise = pytest.mark.parametrize("dtype", BOUNDS, ids=lambda dtype: str(dtype).removeprefix("torch."))


@pytest.fixture(params=[CPP, "torch"])
def backend(request):
    return request.param


def test_every_operation_is_known():
    """A new operation with backends needs a `Check`, by which all else here finds it."""
    assert checks().keys() | WITHOUT_BACKENDS == set(ops.__all__)


def test_what_is_two_way_says_so():
    assert all("padding" in checks()[name].options for name in TWO_WAY)


def own(tensor, row):
    """What belongs to an utterance, without what follows it."""
    return tensor[(row, *(slice(min(size, LENGTH)) for size in tensor.shape[1:]))]


def run(name, check, row, dtype, **backend):
    """An utterance's output and, where the operation has gradients, those of it; else the changed tensors."""
    tensors = {key: value.to(dtype).clone() for key, value in check.tensors.items()}
    mine = {key for key, value in checks()[name].tensors.items() if value.shape[0] == BATCH}
    with torch.set_grad_enabled(not check.changed):
        for value in tensors.values():
            value.requires_grad_(not check.changed)
        output = own(getattr(ops, name)(**tensors, **check.options, **backend), row)
    if check.changed:
        return [output, *(tensors[key][row] for key in check.changed)]
    direction = torch.linspace(-1, 1, output.numel()).view_as(output).to(dtype)
    grads = torch.autograd.grad(output, list(tensors.values()), direction)
    return [output.detach(), *(own(g, row) if key in mine else g for key, g in zip(tensors, grads, strict=True))]


def largest_error(got, want):
    """Largest difference over the largest value of its tensor."""
    worst = 0.0
    for a, b in zip(got, want, strict=True):
        error = float((a - b).abs().max() / b.abs().max())
        worst = max(worst, math.inf if math.isnan(error) else error)
    print(f"largest error {worst:.1e}")
    return worst


def chosen(check, rows):
    """The same operation on some of the utterances."""
    tensors = {key: value[rows] if value.shape[0] == BATCH else value for key, value in check.tensors.items()}
    return dataclasses.replace(check, tensors=tensors)


def followed(check, content):
    """The same operation with more steps, which hold ``content``."""

    def longer(tensor):
        if LENGTH not in tensor.shape:
            return tensor
        axis = tensor.shape.index(LENGTH)
        shape = [AFTER if i == axis else size for i, size in enumerate(tensor.shape)]
        return torch.cat([tensor, tensor.new_full(shape, content)], axis)

    return dataclasses.replace(check, tensors={key: longer(value) for key, value in check.tensors.items()})


@every
@precise
def test_batch_mates_and_places(name, dtype, backend):
    """An utterance gives alone what it gives beside another one, before and behind it."""
    check = checks()[name]
    for row in range(BATCH):
        alone = run(name, chosen(check, [row]), 0, dtype, backend=backend)
        for there, place in ((check, row), (chosen(check, [1, 0]), 1 - row)):
            assert largest_error(run(name, there, place, dtype, backend=backend), alone) <= BOUNDS[dtype]


@over_time
@precise
@pytest.mark.parametrize("content", [0.0, 1e3, -1e3])
def test_what_follows_changes_nothing(name, dtype, content, backend):
    """Output and gradients, whatever numbers stand behind the end, if not so large that their products overflow."""
    check, content = checks()[name], 0.0 if name in TWO_WAY else content
    alone = run(name, check, 0, dtype, backend=backend)
    assert largest_error(run(name, followed(check, content), 0, dtype, backend=backend), alone) <= BOUNDS[dtype]


@causal
@pytest.mark.parametrize("content", [math.nan, math.inf, -math.inf, 3e38])
def test_what_is_no_number_is_not_heard_before_it(name, content, backend):
    """The output alone: in the gradients of what passes through them, 0 times NaN is NaN, as everywhere in PyTorch."""
    check = checks()[name]
    alone = run(name, check, 0, torch.float32, backend=backend)
    found = run(name, followed(check, content), 0, torch.float32, backend=backend)
    assert largest_error(found[:1], alone[:1]) <= BOUNDS[torch.float32]


@every
def test_large_problems(name, backend):
    """Outputs and gradients in float32 against the float64 reference, on random numbers."""
    found = errors(name, checks(length=300, channels=128, seed=1)[name], backend)
    print("largest errors of outputs and gradients", found)
    assert max(filter(None, found)) < 1e-5


@over_time
def test_gradcheck(name, backend):
    """The gradients of the backend, and of the reference that others are compared with, are those of their outputs."""
    check = checks(length=7, channels=8)[name]
    tensors = [value.requires_grad_() for value in check.tensors.values()]
    reference = getattr(importlib.import_module(f"serenanet_modules.ops.reference.{check.module}"), name)
    for function, choice in ((getattr(ops, name), {"backend": backend}), (reference, {})):

        def call(*tensors, function=function, choice=choice):
            return function(**dict(zip(check.tensors, tensors, strict=True)), **check.options, **choice)

        assert torch.autograd.gradcheck(call, tensors, fast_mode=True)
