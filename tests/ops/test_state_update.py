"""Every backend of the single step against a float64 loop, and against the scan."""

import pytest
import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.backends import BackendError
from serenanet_modules.ops.reference.scan import selective_state_update as reference
from serenanet_modules.ops.selective_scan import selective_scan_fn
from serenanet_modules.ops.state_update import selective_state_update

CPP = pytest.param("cpp", marks=pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not())))
ALL = ("D", "z", "dt_bias")


@pytest.fixture(params=[CPP, "torch"])
def backend(request):
    return request.param


def inputs(batch=3, heads=None, width=5, n=4, groups=None, options=ALL, pool=None, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    head = () if heads is None else (heads,)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

    shared = (batch, n) if groups is None else (batch, groups, n)
    made = {
        "state": normal(pool or batch, *head, width, n),
        "x": normal(batch, *head, width),
        "dt": normal(batch, *head, width),
        "A": -normal(*head, width, n).exp(),
        "B": normal(*shared),
        "C": normal(*shared),
        "D": normal(*head, width),
        "z": normal(batch, *head, width),
        "dt_bias": normal(*head, width),
    }
    return {k: v for k, v in made.items() if k in ("state", "x", "dt", "A", "B", "C", *options)}


def assert_same(arguments, tolerance=1e-12, **settings):
    """Output and changed state."""
    backend = settings.pop("backend")
    exact = {k: v.double() for k, v in arguments.items()} | {"state": arguments["state"].double().clone()}
    got = selective_state_update(**arguments, **settings, backend=backend)
    want = reference(**exact, **settings)
    assert got.dtype == arguments["x"].dtype
    torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(arguments["state"].double(), exact["state"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("options", [(), *((name,) for name in ALL), ALL])
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize(("heads", "groups"), [(None, None), (None, 1), (4, None), (4, 1), (4, 2), (4, 4)])
def test_every_option(options, softplus, heads, groups, backend):
    assert_same(inputs(options=options, heads=heads, groups=groups), dt_softplus=softplus, backend=backend)


@pytest.mark.parametrize("batch", [1, 7])
@pytest.mark.parametrize(("width", "n"), [(1, 1), (300, 16), (3, 256), (17, 33)])
def test_any_size(batch, width, n, backend):
    assert_same(inputs(batch=batch, width=width, n=n), dt_softplus=True, backend=backend)


@pytest.mark.parametrize("heads", [None, 2])
@pytest.mark.parametrize("indices", [[4, 0, 2], [-1, 0, -1], [3, -1, 0], [-1, -1, -1]])
@pytest.mark.parametrize("kind", [torch.int32, torch.int64])
def test_rows_of_a_pool(heads, indices, kind, backend):
    """Negative indices are padding: zeros out, and no state touched, row 0 neither."""
    arguments = inputs(heads=heads, pool=6)
    assert_same(arguments, dt_softplus=True, state_batch_indices=torch.tensor(indices, dtype=kind), backend=backend)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("state_dtype", [torch.float32, torch.bfloat16])
def test_low_precision_is_computed_in_float32(dtype, state_dtype, backend):
    arguments = inputs(heads=2, groups=2, dtype=dtype, n=16)
    arguments["state"] = arguments["state"].to(state_dtype)
    tolerance = 1e-5 if dtype == state_dtype == torch.float32 else 3e-2
    assert_same(arguments, tolerance, dt_softplus=True, backend=backend)


def test_a_float64_state_is_updated_in_float64(backend):
    arguments = {k: v if k == "state" else v.float() for k, v in inputs().items()}
    state = arguments["state"].clone()
    selective_state_update(**arguments, backend=backend)
    reference(**{k: v.double() for k, v in arguments.items()} | {"state": state})
    torch.testing.assert_close(arguments["state"], state, rtol=1e-12, atol=1e-12)


def test_expanded_parameters_and_strided_states(backend):
    """One number per head, as in Mamba-2, and a state that is a view of a larger buffer."""
    arguments = inputs(heads=4, groups=2, width=8)
    arguments["A"] = -torch.rand(4, dtype=torch.float64)[:, None, None].expand(4, 8, 4)
    for name in ("dt", "D", "dt_bias"):
        arguments[name] = arguments[name][..., :1].expand_as(arguments[name])
    buffer = torch.randn(3, 4, 4, 16, dtype=torch.float64)
    arguments["state"] = buffer[..., ::2].transpose(2, 3)
    untouched = buffer[..., 1::2].clone()
    assert_same(arguments, dt_softplus=True, backend=backend)
    assert torch.equal(buffer[..., 1::2], untouched)


@pytest.mark.parametrize("groups", [None, 1])
def test_steps_equal_the_scan(groups, backend):
    batch, width, n, length = 2, 6, 4, 21
    u, delta, z = (torch.randn(batch, width, length, dtype=torch.float64) for _ in range(3))
    A, D, bias = -torch.rand(width, n, dtype=torch.float64), *torch.randn(2, width, dtype=torch.float64)
    B, C = torch.randn(2, *((batch, n, length) if groups is None else (batch, groups, n, length)), dtype=torch.float64)
    want, last = selective_scan_fn(u, delta, A, B, C, D, z, bias, True, True)
    state = torch.zeros(batch, width, n, dtype=torch.float64)
    for t in range(length):
        now = (s[..., t] for s in (u, delta))
        y = selective_state_update(state, *now, A, B[..., t], C[..., t], D, z[..., t], bias, True, backend=backend)
        torch.testing.assert_close(y, want[..., t])
    torch.testing.assert_close(state, last)


@pytest.mark.parametrize("step", [0.0, 1e4, 1e20, -1e4])
def test_extreme_steps_stay_finite(step, backend):
    """Through the softplus, so that a very negative one is a step of nothing."""
    arguments = inputs(options=("D", "z"), dtype=torch.float32)
    arguments["dt"] = torch.full_like(arguments["dt"], step)
    y = selective_state_update(**arguments, dt_softplus=True, backend=backend)
    assert y.isfinite().all() and arguments["state"].isfinite().all()


def test_gradients_are_torchs(backend):
    """Where a gradient is needed the automatic choice is torch, whose gradients pass gradcheck; cpp refuses."""
    arguments = {k: v.requires_grad_(k != "state") for k, v in inputs(heads=2, groups=1).items()}
    tensors = [v for k, v in arguments.items() if k != "state"]
    if backend == "cpp":
        with pytest.raises(BackendError, match="no gradients"):
            selective_state_update(**arguments, backend=backend)
        with torch.no_grad():
            selective_state_update(**arguments, backend=backend)
        return

    def step(*tensors):
        named = dict(zip((k for k in arguments if k != "state"), tensors, strict=True))
        state = arguments["state"].detach().clone()
        return selective_state_update(state, **named, dt_softplus=True), state

    assert torch.autograd.gradcheck(step, tensors, fast_mode=True)


def test_autograd_notices_the_change_of_state(backend):
    """A state that some earlier operation keeps for its backward may not be overwritten unnoticed."""
    arguments = inputs()
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    kept = weight * arguments["state"]
    with torch.no_grad():
        selective_state_update(**arguments, backend=backend)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.sum().backward()


@pytest.mark.parametrize("indices", [None, [2, 0, -1]])
def test_compile_without_a_break(indices, backend):
    torch._dynamo.reset()
    settings = {"dt_softplus": True, "backend": backend}
    if indices is not None:
        settings["state_batch_indices"] = torch.tensor(indices)
    compiled = torch.compile(selective_state_update, backend="aot_eager", fullgraph=True)
    first, second = inputs(), inputs()
    with torch.no_grad():
        for _ in range(2):
            got = compiled(**first, **settings)
            torch.testing.assert_close(got, selective_state_update(**second, **settings))
            torch.testing.assert_close(first["state"], second["state"])


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("x", (3, 4), r"x must be of shape"),
        ("dt", (3, 1, 5), "dt must be of shape"),
        ("A", (4, 5), "A must be of shape"),
        ("B", (2, 4), "B must be of shape"),
        ("C", (3, 3), "C must be of shape"),
        ("D", (4,), "D must be of shape"),
        ("state", (5,), "state must have 3 or 4 dimensions"),
        ("z", (3, 1), "z must be of shape"),
    ],
)
def test_wrong_shapes_are_named(name, shape, message):
    with pytest.raises(ValueError, match=message):
        selective_state_update(**inputs() | {name: torch.zeros(shape)})


def test_other_wrong_arguments_are_named(backend):
    with pytest.raises(ValueError, match="heads, 3, must be divisible by that of groups of B and C, 2"):
        selective_state_update(**inputs(heads=3, groups=2))
    with pytest.raises(ValueError, match="must be 3 integers"):
        selective_state_update(**inputs(), state_batch_indices=torch.tensor([0, 1]))
    with pytest.raises((ValueError, IndexError)):
        selective_state_update(**inputs(), state_batch_indices=torch.tensor([0, 1, 3]), backend=backend)
    with pytest.raises(ValueError, match="B must be on the device of the state"):
        selective_state_update(**inputs() | {"B": torch.zeros(3, 4, device="meta")})


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("heads", [None, 4])
@pytest.mark.parametrize("options", [(), ALL])
@pytest.mark.parametrize("other", ["fused", "torch"])
def test_backends_agree_on_a_gpu(heads, options, other):
    arguments = inputs(heads=heads, width=64, n=16, options=options, dtype=torch.float32)
    there = {k: v.cuda() for k, v in arguments.items()}
    try:
        y = selective_state_update(**there, dt_softplus=True, backend=other)
    except BackendError as error:
        pytest.skip(str(error))
    torch.testing.assert_close(y.cpu(), selective_state_update(**arguments, dt_softplus=True), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(there["state"].cpu(), arguments["state"], rtol=1e-4, atol=1e-4)
