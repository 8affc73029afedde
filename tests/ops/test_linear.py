"""oneDNN's products against torch's, on whatever processor runs the test."""

from importlib import import_module

import pytest
import torch
from torch.nn import functional

from serenanet_modules.ops import linear


@pytest.fixture
def forced(monkeypatch):
    """OneDNN for every size and on every processor."""
    if not (torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")):
        pytest.skip("this PyTorch has no oneDNN")
    module = import_module("serenanet_modules.ops.linear")
    monkeypatch.setattr(module, "onednn_is_faster", lambda: True)
    monkeypatch.setattr(module, "WORTHWHILE", 0)
    products = []
    monkeypatch.setattr(module, "_product", lambda *a, f=module._product: products.append(a) or f(*a))
    yield
    assert products  # it was oneDNN that was tested


def assert_same(x, weight, bias):
    """Output and every gradient."""
    tensors = [t for t in (x, weight, bias) if t is not None]
    results = []
    for function in (linear, functional.linear):
        y = function(x, weight, bias)
        direction = torch.linspace(-1, 1, y.numel()).view_as(y)
        results.append([y, *torch.autograd.grad((y * direction).sum(), tensors)])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("shape", [(5,), (1, 5), (3, 5), (2, 3, 5), (2, 1, 3, 5)])
@pytest.mark.parametrize("size", [1, 7])
@pytest.mark.parametrize("with_bias", [False, True])
def test_output_and_gradients(forced, shape, size, with_bias):
    torch.manual_seed(0)
    x, weight = torch.randn(shape, requires_grad=True), torch.randn(size, 5, requires_grad=True)
    assert_same(x, weight, torch.randn(size, requires_grad=True) if with_bias else None)


def test_operands_with_gaps(forced):
    """A slice of a larger matrix, a transposed one and every second row."""
    torch.manual_seed(0)
    x = torch.randn(6, 40, requires_grad=True)
    weight = torch.randn(9, 40, requires_grad=True)
    assert_same(x[:, 8:16], weight[:, 16:24], None)
    assert_same(torch.randn(8, 6, requires_grad=True).t(), torch.randn(8, 4, requires_grad=True).t(), None)
    assert_same(torch.randn(4, 6, 8, requires_grad=True)[:, ::2], torch.randn(4, 8, requires_grad=True), None)


def test_only_what_needs_a_gradient_gets_one(forced):
    x, weight = torch.randn(4, 8), torch.randn(3, 8, requires_grad=True)
    linear(x, weight).sum().backward()
    torch.testing.assert_close(weight.grad, x.sum(0).expand(3, 8))
    assert x.grad is None


def test_large_layers_agree_on_this_processor():
    torch.manual_seed(0)
    assert_same(torch.randn(300, 144, requires_grad=True), torch.randn(96, 144, requires_grad=True), None)


def test_autocast_and_other_types_are_left_to_torch():
    x, weight = torch.randn(300, 144), torch.randn(96, 144)
    with torch.autocast("cpu", torch.bfloat16):
        assert linear(x, weight).dtype == torch.bfloat16
    assert linear(x.double(), weight.double()).dtype == torch.float64
