"""The shifted-products convolution against torch's."""

import pytest
import torch
from torch.nn import functional

from serenanet_modules.ops import causal_conv1d_fn


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 2, 3, 17])
@pytest.mark.parametrize("activation", [None, "silu", "swish"])
@pytest.mark.parametrize("with_bias", [False, True])
def test_output_and_gradients(width, length, activation, with_bias):
    torch.manual_seed(0)
    x = torch.randn(2, 3, length, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, width, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(3, dtype=torch.float64, requires_grad=True) if with_bias else None
    got = causal_conv1d_fn(x, weight, bias, activation)
    want = functional.conv1d(x, weight[:, None], bias, padding=width - 1, groups=3)[..., :length]
    want = functional.silu(want) if activation else want
    torch.testing.assert_close(got, want)
    direction = torch.randn_like(want)
    tensors = [t for t in (x, weight, bias) if t is not None]
    for a, b in zip(*(torch.autograd.grad((y * direction).sum(), tensors) for y in (got, want)), strict=True):
        torch.testing.assert_close(a, b)


def test_the_future_is_not_seen():
    x = torch.randn(1, 2, 9)
    weight = torch.randn(2, 4)
    y = causal_conv1d_fn(x, weight)
    x[..., 5:] = 100.0
    assert torch.equal(causal_conv1d_fn(x, weight)[..., :5], y[..., :5])


def test_unknown_activation():
    with pytest.raises(ValueError, match="'relu'"):
        causal_conv1d_fn(torch.ones(1, 1, 2), torch.ones(1, 1), activation="relu")
