"""The depthwise convolution against torch's grouped Conv1d."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.ops import cpp
from serenanet_modules.ops.backends import BackendError
from serenanet_modules.ops.depthwise import depthwise_conv1d
from serenanet_modules.ops.plain import conv as plain
from serenanet_modules.ops.reference.conv import depthwise_conv1d as reference

CPP = pytest.param("cpp", marks=pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not())))


@pytest.fixture(params=[CPP, "torch"])
def backend(request):
    return request.param


def grouped(x, weight, bias, padding, activation):
    """torch's convolution."""
    width = weight.shape[1]
    if padding == "causal":
        x, padding = functional.pad(x, (width - 1, 0)), "valid"
    y = functional.conv1d(x, weight[:, None], bias, padding=padding, groups=len(weight))
    return functional.silu(y) if activation else y


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 8, 9, 15, 16, 31, 40])
@pytest.mark.parametrize("padding", ["same", "causal"])
@pytest.mark.parametrize("channel_last", [False, True])
def test_equals_the_grouped_convolution(width, padding, channel_last, backend):
    generator = torch.Generator().manual_seed(0)
    for batch, channels, length in ((1, 1, 1), (2, 5, 3), (3, 70, 16), (2, 3, 100), (1, 300, 33)):
        shape = (batch, length, channels) if channel_last else (batch, channels, length)
        x = torch.randn(shape, generator=generator, dtype=torch.float64)
        x = (x.transpose(1, 2) if channel_last else x).requires_grad_()
        weight = torch.randn(channels, width, generator=generator, dtype=torch.float64, requires_grad=True)
        bias = torch.randn(channels, generator=generator, dtype=torch.float64, requires_grad=True)
        activation = "silu" if batch == 2 else None
        tensors = (x, weight) if batch == 3 else (x, weight, bias)
        got = depthwise_conv1d(*tensors, padding=padding, activation=activation, backend=backend)
        want = grouped(x, weight, None if batch == 3 else bias, padding, activation)
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(reference(*tensors, padding=padding, activation=activation), want)
        direction = torch.randn(want.shape, generator=generator, dtype=torch.float64)
        found, expected = (torch.autograd.grad(y, tensors, direction) for y in (got, want))
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("tile", [1, 100, 2**20])
def test_tiles_of_any_size(tile, monkeypatch):
    """The plain backend cuts batch and channels into tiles; where it cuts changes nothing."""
    monkeypatch.setattr("serenanet_modules.ops.plain.conv.TILE", tile)
    for width in (4, 15):
        x = torch.randn(3, 7, 20, dtype=torch.float64, requires_grad=True)
        weight = torch.randn(7, width, dtype=torch.float64, requires_grad=True)
        got = depthwise_conv1d(x, weight, backend="torch")
        want = grouped(x, weight, None, "same", None)
        torch.testing.assert_close(got, want)
        found, expected = (torch.autograd.grad(y.square().sum(), (x, weight)) for y in (got, want))
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("size", [(16, 144, 500), (1, 3, 2**18), (300, 2, 1000)])
def test_wide_filters_take_few_products(size):
    """A tile has a product of matrices for each of its channels, so its utterances are many and its channels few."""

    def places(x):
        weight = torch.empty(size[1], 15, device=x.device)
        return [tile.place for tile in plain._tiles(x, weight, None, None, None, 7, False)]

    x = torch.empty(size)
    tiles = [x[place] for place in places(x)]
    assert sum(tile.numel() for tile in tiles) == x.numel()
    assert max(tile.numel() for tile in tiles) <= max(plain.TILE, size[2])
    assert sum(tile.shape[1] for tile in tiles) <= size[1] * -(-size[0] * size[2] // plain.TILE)
    assert len(places(x.to("meta"))) == 1, "tiles are for the cache of a CPU"


def test_the_parameters_of_a_conv1d_fit(backend):
    conv = nn.Conv1d(12, 12, 31, padding="same", groups=12)
    x = torch.randn(2, 12, 50)
    torch.testing.assert_close(depthwise_conv1d(x, conv.weight, conv.bias, backend=backend), conv(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dtypes(dtype, backend):
    x = torch.randn(2, 40, 20, dtype=dtype).transpose(1, 2).requires_grad_()
    weight = torch.randn(20, 15, requires_grad=True)
    y = depthwise_conv1d(x, weight, backend=backend)
    tolerance = 8 * torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), reference(x, weight), rtol=tolerance, atol=tolerance)
    y.float().sum().backward()
    assert y.dtype == x.grad.dtype == dtype and weight.grad.dtype == torch.float32


def test_gradcheck(backend):
    x = torch.randn(2, 3, 9, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(3, 10, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, w: depthwise_conv1d(x, w, None, "same", "silu", backend=backend), (x, weight)
    )


def test_compile_without_a_break(backend):
    def block(x, weight):
        return depthwise_conv1d(x.transpose(1, 2), weight, backend=backend).transpose(1, 2) * 2

    compiled = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=True)
    weight = torch.randn(6, 1, 15, requires_grad=True)
    for length in (20, 33):
        x = torch.randn(2, length, 6, requires_grad=True)
        got, want = compiled(x, weight), block(x, weight)
        torch.testing.assert_close(got, want)
        found, expected = (torch.autograd.grad(y.sum(), (x, weight)) for y in (got, want))
        torch.testing.assert_close(found, expected)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="padding is 'valid'"):
        depthwise_conv1d(torch.ones(1, 2, 3), torch.ones(2, 3), padding="valid")
    with pytest.raises(ValueError, match="weight has shape"):
        depthwise_conv1d(torch.ones(1, 2, 3), torch.ones(2, 2, 3))
    with pytest.raises(BackendError, match="causal"):
        depthwise_conv1d(torch.ones(1, 2, 3), torch.ones(2, 3), backend="fused")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("width", [4, 15])
def test_on_a_gpu(width):
    x, weight = torch.randn(2, 16, 60), torch.randn(16, width)
    y = depthwise_conv1d(x.cuda(), weight.cuda())
    torch.testing.assert_close(y.cpu(), depthwise_conv1d(x, weight), rtol=1e-4, atol=1e-4)
