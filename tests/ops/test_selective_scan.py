"""The blocked scan against a float64 loop written from the recurrence."""

import pytest
import torch
from torch.nn import functional

from serenanet_modules.ops import selective_scan_fn
from serenanet_modules.ops.selective_scan import BLOCK

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")


def loop(u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False):
    """h_t = exp(delta_t A) h_{t-1} + delta_t B_t u_t; y_t = C_t . h_t + D u_t, one number at a time in time."""
    if delta_bias is not None:
        delta = delta + delta_bias[None, :, None]
    if delta_softplus:
        delta = functional.softplus(delta)
    batch, channels, length = u.shape
    group = torch.zeros(channels, dtype=torch.long)
    if B.dim() == 4:
        group = torch.arange(channels) // (channels // B.shape[1])
    else:
        B, C = B[:, None], C[:, None]
    state, outputs = torch.zeros(batch, channels, A.shape[1], dtype=u.dtype), []
    for t in range(length):
        decay = torch.exp(delta[:, :, t, None] * A)
        state = decay * state + (delta[:, :, t] * u[:, :, t])[..., None] * B[:, group, :, t]
        outputs.append((state * C[:, group, :, t]).sum(-1))
    y = torch.stack(outputs, -1)
    if D is not None:
        y = y + D[:, None] * u
    if z is not None:
        y = y * z * torch.sigmoid(z)
    return y, state


def inputs(batch=2, channels=4, length=2 * BLOCK + 5, n=3, groups=None, options=("D", "z", "delta_bias"), seed=0):
    """Random float64 arguments by name, each requiring a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shared = (batch, n, length) if groups is None else (batch, groups, n, length)
    made = {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length).abs() * 0.5,
        "A": -normal(channels, n).exp(),
        "B": normal(*shared),
        "C": normal(*shared),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels),
    }
    kept = {k: v for k, v in made.items() if k in ("u", "delta", "A", "B", "C", *options)}
    return {k: v.requires_grad_() for k, v in kept.items()}


def assert_same(arguments, softplus=False):
    """Output, last state and every gradient of a random projection of both."""
    got = selective_scan_fn(**arguments, delta_softplus=softplus, return_last_state=True)
    want = loop(**arguments, delta_softplus=softplus)
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=generator, dtype=t.dtype) for t in want]
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)
    tensors = list(arguments.values())
    got_grads, want_grads = (
        torch.autograd.grad(sum((w * t).sum() for w, t in zip(weights, pair, strict=True)), tensors)
        for pair in (got, want)
    )
    for name, a, b in zip(arguments, got_grads, want_grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-9, msg=lambda m, name=name: f"gradient of {name}: {m}")


@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7])
def test_any_length(length):
    assert_same(inputs(length=length), softplus=True)


@pytest.mark.parametrize("n", [1, 2, 16, 64])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_state_and_batch(n, batch):
    assert_same(inputs(batch=batch, n=n, length=BLOCK + 3))


@pytest.mark.parametrize("options", [(), ("D",), ("z",), ("delta_bias",), ("D", "z", "delta_bias")])
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("groups", [None, 1, 2, 4])
def test_every_option(options, softplus, groups):
    assert_same(inputs(options=options, groups=groups, length=BLOCK + 2), softplus)


def test_only_the_output_has_a_gradient():
    arguments = inputs(options=())
    got = torch.autograd.grad(selective_scan_fn(**arguments).sum(), list(arguments.values()))
    want = torch.autograd.grad(loop(**arguments)[0].sum(), list(arguments.values()))
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b)


def test_gradcheck():
    arguments = inputs(batch=1, channels=2, length=BLOCK + 1, n=2, groups=2)

    def scan(*tensors):
        return selective_scan_fn(**dict(zip(NAMES, tensors, strict=True)), delta_softplus=True, return_last_state=True)

    assert torch.autograd.gradcheck(scan, tuple(arguments.values()), fast_mode=True)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e4, 1e20])
def test_extreme_steps_stay_finite(size):
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(options=("D", "z")).items()}
    delta = torch.full_like(arguments["delta"], size)
    delta[..., ::2] = 1e-3  # a long memory beside a reset
    arguments["delta"] = delta.requires_grad_()
    y = selective_scan_fn(**arguments)
    grads = torch.autograd.grad(y.mean(), list(arguments.values()))
    assert all(t.isfinite().all() for t in (y, *grads))
    torch.testing.assert_close(y, loop(**arguments)[0], rtol=1e-4, atol=1e-5)


def test_a_huge_step_forgets_the_past():
    arguments = inputs(options=(), length=8)
    with torch.no_grad():
        arguments["delta"][..., 4] = 1e9
        before = selective_scan_fn(**arguments)[..., 4:].clone()
        arguments["u"][..., :4] += 5.0
        assert torch.equal(selective_scan_fn(**arguments)[..., 4:], before)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_is_computed_in_float32(dtype):
    arguments = {k: v.detach().to(dtype) for k, v in inputs(length=200).items()}
    y, state = selective_scan_fn(**arguments, delta_softplus=True, return_last_state=True)
    want, last = loop(**{k: v.float() for k, v in arguments.items()}, delta_softplus=True)
    assert y.dtype == dtype and state.dtype == torch.float32
    torch.testing.assert_close(state, last, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(y, want.to(dtype), rtol=2e-2 if dtype != torch.float32 else 1e-4, atol=1e-3)


def test_the_arguments_are_not_written_to():
    arguments = inputs()
    copies = {k: v.detach().clone() for k, v in arguments.items()}
    selective_scan_fn(**arguments).sum().backward()
    assert all(torch.equal(arguments[k], copies[k]) for k in copies)
