"""Every backend of the scan against a float64 loop written from the recurrence."""

import sys
import types

import pytest
import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.backends import BackendError
from serenanet_modules.ops.plain.scan import BLOCK
from serenanet_modules.ops.reference.scan import selective_scan_fn as reference
from serenanet_modules.ops.selective_scan import selective_scan_fn

CPP = pytest.param("cpp", marks=pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not())))
BACKENDS = [CPP, "torch"]
ALL = ("D", "z", "delta_bias", "initial_state")


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def inputs(batch=2, channels=4, length=2 * BLOCK + 5, n=3, groups=None, options=ALL, constant="", seed=0):
    """Random float64 arguments by name, each requiring a gradient; ``constant`` names the projections without time."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shared = (batch, n, length) if groups is None else (batch, groups, n, length)
    made = {
        "u": normal(batch, channels, length),
        "delta": normal(batch, channels, length).abs() * 0.5,
        "A": -normal(channels, n).exp(),
        "B": normal(channels, n) if "B" in constant else normal(*shared),
        "C": normal(channels, n) if "C" in constant else normal(*shared),
        "D": normal(channels),
        "z": normal(batch, channels, length),
        "delta_bias": normal(channels),
        "initial_state": normal(batch, channels, n),
    }
    kept = {k: v for k, v in made.items() if k in ("u", "delta", "A", "B", "C", *options)}
    return {k: v.requires_grad_() for k, v in kept.items()}


def gradients(results, tensors):
    """Of a random projection of all results, the same for results of the same shapes."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype) for t in results]
    return torch.autograd.grad(sum((w * t).real.sum() for w, t in zip(weights, results, strict=True)), tensors)


def assert_same(arguments, backend, softplus=False, rtol=1e-9):
    """Output, last state and every gradient."""
    got, want = (
        scan(**arguments, delta_softplus=softplus, return_last_state=True, **choice)
        for scan, choice in ((selective_scan_fn, {"backend": backend}), (reference, {}))
    )
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    tensors = list(arguments.values())
    for name, a, b in zip(arguments, gradients(got, tensors), gradients(want, tensors), strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol, msg=lambda m, name=name: f"gradient of {name}: {m}")


@pytest.mark.parametrize("length", [1, 2, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, 3 * BLOCK + 7])
def test_any_length(length, backend):
    assert_same(inputs(length=length), backend, softplus=True)


@pytest.mark.parametrize("n", [1, 2, 5, 16, 64, 256])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_state_and_batch(n, batch, backend):
    assert_same(inputs(batch=batch, n=n, length=BLOCK + 3), backend)


@pytest.mark.parametrize("channels", [1, 7, 16, 70, 1100])
def test_any_number_of_channels(channels, backend):
    """Below, at and beyond the widths of vectors and of the chunks that share a sum."""
    assert_same(inputs(batch=1, channels=channels, n=2, length=5), backend, softplus=True)


@pytest.mark.parametrize("options", [(), *((name,) for name in ALL), ALL])
@pytest.mark.parametrize("softplus", [False, True])
@pytest.mark.parametrize("groups", [None, 1, 2, 4])
def test_every_option(options, softplus, groups, backend):
    assert_same(inputs(options=options, groups=groups, length=BLOCK + 2), backend, softplus)


@pytest.mark.parametrize("constant", ["B", "C", "BC"])
@pytest.mark.parametrize("groups", [None, 2])
def test_projections_that_are_constant_in_time(constant, groups, backend):
    assert_same(inputs(constant=constant, groups=groups), backend)


def test_one_group_beside_several(backend):
    arguments = inputs(groups=2)
    arguments["C"] = arguments["C"][:, :1].detach().requires_grad_()
    got = selective_scan_fn(**arguments, backend=backend)
    both = arguments | {"C": arguments["C"].expand(-1, 2, -1, -1)}
    torch.testing.assert_close(got, reference(**both))
    tensors = list(arguments.values())
    for a, b in zip(gradients([got], tensors), gradients([reference(**both)], tensors), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("constant", ["", "B", "BC"])
@pytest.mark.parametrize("groups", [None, 2])
def test_complex_rates(constant, groups):
    """B and C with a time are real and of twice the length; y is twice the real part."""
    arguments = inputs(length=BLOCK + 2, groups=groups, constant=constant)
    for name in {"A", "initial_state", *constant}:
        arguments[name] = torch.complex(arguments[name], torch.randn_like(arguments[name])).detach().requires_grad_()
    for name in {"B", "C"} - set(constant):
        arguments[name] = torch.randn_like(torch.cat([arguments[name]] * 2, -1)).requires_grad_()
    assert_same(arguments, None, softplus=True)
    with pytest.raises(BackendError, match="no complex"):
        selective_scan_fn(**arguments, backend="cpp")


@pytest.mark.parametrize("layout", ["channels last", "stride", "expanded", "halves"])
def test_any_memory_layout(layout, backend):
    """Views of every kind, of inputs and of the output's gradient."""

    def view(name, x):
        if x.dim() != 3 or name == "initial_state":
            return x
        return {
            "channels last": lambda: x.transpose(1, 2).contiguous().transpose(1, 2),
            "stride": lambda: x.repeat_interleave(2, dim=-1)[..., ::2],
            "expanded": lambda: x[:, :, :1].expand_as(x),
            "halves": lambda: torch.cat([x, x], dim=1).chunk(2, dim=1)[1],
        }[layout]()

    arguments = {k: view(k, v.detach()).requires_grad_() for k, v in inputs(channels=20, n=4, length=40).items()}
    assert_same(arguments, backend, softplus=True)


@pytest.mark.parametrize("part", [0, 1])
def test_one_result_alone_has_gradients(part, backend):
    arguments = inputs(options=("initial_state",))
    tensors = [v for k, v in arguments.items() if part == 0 or k != "C"]
    got = selective_scan_fn(**arguments, return_last_state=True, backend=backend)[part].sum()
    want = reference(**arguments, return_last_state=True)[part].sum()
    for a, b in zip(torch.autograd.grad(got, tensors), torch.autograd.grad(want, tensors), strict=True):
        torch.testing.assert_close(a, b)


def test_pieces_equal_the_whole(backend):
    """The state carries all there is to know, values and gradients."""
    arguments = inputs(groups=2)
    whole = selective_scan_fn(**arguments, delta_softplus=True, return_last_state=True, backend=backend)
    state, pieces = arguments["initial_state"], []
    for begin in range(0, arguments["u"].shape[2], 10):
        piece = {
            k: v[..., begin : begin + 10] if k in ("u", "delta", "B", "C", "z") else v for k, v in arguments.items()
        }
        piece["initial_state"] = state
        y, state = selective_scan_fn(**piece, delta_softplus=True, return_last_state=True, backend=backend)
        pieces.append(y)
    parts = (torch.cat(pieces, -1), state)
    tensors = list(arguments.values())
    for a, b in zip((*parts, *gradients(parts, tensors)), (*whole, *gradients(whole, tensors)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("shape", [{"length": 0}, {"batch": 0}, {"channels": 0}])
def test_nothing_to_scan(shape, backend):
    arguments = inputs(**shape)
    y, last = selective_scan_fn(**arguments, return_last_state=True, backend=backend)
    assert y.shape == arguments["u"].shape
    assert torch.equal(last, arguments["initial_state"])
    grads = torch.autograd.grad(y.sum() + last.sum(), list(arguments.values()))
    for name, grad in zip(arguments, grads, strict=True):
        assert (grad == (name == "initial_state")).all()


def test_gradcheck(backend):
    arguments = inputs(batch=1, channels=2, length=BLOCK + 1, n=2, groups=2)

    def scan(*tensors):
        named = dict(zip(arguments, tensors, strict=True))
        return selective_scan_fn(**named, delta_softplus=True, return_last_state=True, backend=backend)

    assert torch.autograd.gradcheck(scan, tuple(arguments.values()), fast_mode=True)


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e4, 1e20])
def test_extreme_steps_stay_finite(size, backend):
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(options=("D", "z"), n=16).items()}
    delta = torch.full_like(arguments["delta"], size)
    delta[..., ::2] = 1e-3  # a long memory beside a reset
    arguments["delta"] = delta.requires_grad_()
    y = selective_scan_fn(**arguments, backend=backend)
    grads = torch.autograd.grad(y.mean(), list(arguments.values()))
    assert all(t.isfinite().all() for t in (y, *grads))
    torch.testing.assert_close(y.double(), reference(**arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("rate", [-1e38, -1e30, -1e4, -1e-30])
def test_extreme_rates_stay_finite(rate, backend):
    arguments = {k: v.detach().float() for k, v in inputs(options=()).items()}
    arguments["A"] = torch.full_like(arguments["A"], rate).requires_grad_()
    y = selective_scan_fn(**arguments, backend=backend)
    assert y.isfinite().all() and torch.autograd.grad(y.sum(), arguments["A"])[0].isfinite().all()
    torch.testing.assert_close(y.double(), reference(**arguments), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("raw", [-200.0, -60.0, -10.0, 0.0, 19.9, 20.1, 60.0, 200.0])
def test_softplus_over_its_whole_range(raw, backend):
    """Relative accuracy where the step size all but vanishes too."""
    arguments = {k: v.detach().float() for k, v in inputs(channels=20, options=()).items()}
    arguments["delta"] = torch.full_like(arguments["delta"], raw).requires_grad_()
    arguments["C"] = arguments["C"].sign()
    y = selective_scan_fn(**arguments, delta_softplus=True, backend=backend)
    want = reference(**arguments, delta_softplus=True)
    torch.testing.assert_close(y.double(), want, rtol=1e-4, atol=1e-6 * float(want.detach().abs().max()) + 1e-37)
    (got,), (want,) = (torch.autograd.grad(t.sum(), arguments["delta"]) for t in (y, want))
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5 * float(want.abs().max()) + 1e-37)


def test_zero_steps_freeze_the_state(backend):
    arguments = inputs(options=("initial_state",))
    arguments["delta"].data[..., 7:] = 0.0
    _, last = selective_scan_fn(**arguments, return_last_state=True, backend=backend)
    short = {k: v[..., :7] if k in ("u", "delta", "B", "C") else v for k, v in arguments.items()}
    torch.testing.assert_close(last, selective_scan_fn(**short, return_last_state=True, backend=backend)[1])


def test_a_huge_step_forgets_the_past(backend):
    arguments = inputs(options=(), length=8)
    with torch.no_grad():
        arguments["delta"][..., 4] = 1e9
        before = selective_scan_fn(**arguments, backend=backend)[..., 4:].clone()
        arguments["u"][..., :4] += 5.0
        assert torch.equal(selective_scan_fn(**arguments, backend=backend)[..., 4:], before)


def test_what_is_not_a_number_stays_in_its_channel_and_in_the_future(backend):
    arguments = {k: v.detach() for k, v in inputs(channels=20).items()}
    arguments["u"][0, 3, 9] = float("nan")
    bad = selective_scan_fn(**arguments, backend=backend).isnan()
    assert bad[0, 3, 9:].all() and bad.sum() == bad[0, 3, 9:].numel()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_is_computed_in_float32(dtype, backend):
    arguments = {k: v.detach().to(dtype) for k, v in inputs(length=200).items()}
    y, state = selective_scan_fn(**arguments, delta_softplus=True, return_last_state=True, backend=backend)
    want, last = reference(**arguments, delta_softplus=True, return_last_state=True)
    assert y.dtype == dtype and state.dtype == torch.float32
    torch.testing.assert_close(state, last.float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(y, want.to(dtype), rtol=2e-2 if dtype != torch.float32 else 1e-4, atol=1e-3)


def test_float32_is_as_exact_as_its_format_allows(backend):
    """The largest error of a result or gradient is within 1e-6 of its largest value."""
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(channels=40, n=16, length=500).items()}
    exact = {k: v.detach().double().requires_grad_() for k, v in arguments.items()}
    got = selective_scan_fn(**arguments, delta_softplus=True, return_last_state=True, backend=backend)
    want = reference(**exact, delta_softplus=True, return_last_state=True)
    got = (*got, *gradients(got, list(arguments.values())))
    want = (*want, *gradients(want, list(exact.values())))
    for name, a, b in zip(("y", "last", *arguments), got, want, strict=True):
        assert (a - b).abs().max() <= 1e-6 * b.abs().max(), name


def test_autocast_mixes_dtypes(backend):
    """Under autocast u comes in bfloat16 beside float32 parameters; each gradient has the dtype of its tensor."""
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(length=50).items()}
    for name in ("u", "B", "C", "z"):
        arguments[name] = arguments[name].detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y, last = selective_scan_fn(**arguments, delta_softplus=True, return_last_state=True, backend=backend)
        grads = torch.autograd.grad(y.float().sum() + last.sum(), list(arguments.values()))
    assert y.dtype == torch.bfloat16 and last.dtype == torch.float32
    want, state = reference(**arguments, delta_softplus=True, return_last_state=True)
    torch.testing.assert_close(y.double(), want, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(last.double(), state, rtol=1e-4, atol=1e-4)
    for grad, tensor in zip(grads, arguments.values(), strict=True):
        assert grad.dtype == tensor.dtype and grad.shape == tensor.shape


def test_the_number_of_threads_changes_nothing(backend):
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(batch=3, channels=200, n=5).items()}

    def everything():
        y = selective_scan_fn(**arguments, delta_softplus=True, backend=backend)
        return y, *torch.autograd.grad(y.square().sum(), list(arguments.values()))

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        want = everything()
        torch.set_num_threads(3)
        got = everything()
    finally:
        torch.set_num_threads(threads)
    if backend == "cpp":
        assert all(torch.equal(a, b) for a, b in zip(got, want, strict=True))
    else:
        for a, b in zip(got, want, strict=True):
            torch.testing.assert_close(a, b)


def test_the_arguments_are_not_written_to(backend):
    arguments = inputs()
    copies = {k: v.detach().clone() for k, v in arguments.items()}
    selective_scan_fn(**arguments, backend=backend).sum().backward()
    assert all(torch.equal(arguments[k], copies[k]) for k in copies)


def test_few_states_are_kept_for_the_backward(backend):
    """One for each block, none without gradients."""
    arguments = inputs(length=10 * BLOCK, n=16, options=())
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        selective_scan_fn(**arguments, backend=backend)
        states = sum(sizes) - sum(t.numel() for t in arguments.values())
        assert states <= (10 + 2) * 2 * 4 * 16
        sizes.clear()
        with torch.no_grad():
            selective_scan_fn(**arguments, backend=backend)
    assert not sizes


@pytest.mark.parametrize(
    ("backend", "compiler"),
    [
        pytest.param("cpp", "aot_eager", marks=CPP.marks),
        ("torch", "aot_eager"),
        pytest.param("cpp", "inductor", marks=[*CPP.marks, pytest.mark.slow]),
    ],
)
def test_compile_without_a_break(compiler, backend):
    """One graph for all lengths and batches, with gradients."""
    torch._dynamo.reset()
    graphs = []

    def count(graph, example):
        graphs.append(graph)
        return torch._dynamo.lookup_backend(compiler)(graph, example)

    def block(u, delta, A, B, C, D, z, delta_bias, initial_state):
        y, last = selective_scan_fn(
            2 * u, delta, A, B, C, D, z, delta_bias, True, True, initial_state=initial_state, backend=backend
        )
        return y + 1, last

    compiled = torch.compile(block, backend=count, fullgraph=True, dynamic=True)
    for batch, length in ((2, 20), (3, 37), (4, 50)):
        arguments = inputs(batch=batch, length=length)
        tensors = list(arguments.values())
        got, want = compiled(*tensors), block(*tensors)
        for a, b in zip((*got, *gradients(got, tensors)), (*want, *gradients(want, tensors)), strict=True):
            torch.testing.assert_close(a, b)
    assert len(graphs) == 1


def test_compile_with_the_automatic_choice():
    torch._dynamo.reset()
    compiled = torch.compile(selective_scan_fn, backend="aot_eager", fullgraph=True)
    arguments = inputs()
    torch.testing.assert_close(compiled(**arguments), selective_scan_fn(**arguments))


def test_export_with_any_length(backend):
    class Block(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.A = torch.nn.Parameter(-torch.rand(4, 3))

        def forward(self, u, B):
            return selective_scan_fn(u, u.abs(), self.A, B, B, backend=backend)

    block = Block()
    length = torch.export.Dim("length", min=2, max=4096)
    example = (torch.randn(2, 4, 20), torch.randn(2, 3, 20))
    exported = torch.export.export(block, example, dynamic_shapes=({2: length}, {2: length}))
    u, B = torch.randn(2, 4, 33), torch.randn(2, 3, 33)
    torch.testing.assert_close(exported.module()(u, B), block(u, B))


def test_registered_as_torch_wants_it(backend):
    """Schemas, fake kernels and autograd registration, by torch's own checks."""
    from serenanet_modules.ops.cpp import scan as cpp_scan
    from serenanet_modules.ops.plain import scan as plain_scan

    made = inputs(groups=2, length=BLOCK + 2)
    if backend == "cpp":
        names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")
        op, arguments = cpp_scan._forward_op, (*(made[n] for n in names), True, True)
    else:
        op, arguments = plain_scan._forward, (*(made[n] for n in ("u", "delta", "A", "B", "C", "initial_state")), True)
    torch.library.opcheck(op, arguments)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("u", (4, 5), "u must be real and of shape"),
        ("A", (3, 3), "with 4 channels"),
        ("delta", (2, 4, 6), r"delta must be of shape \(2, 4, 5\); got \(2, 4, 6\)"),
        ("z", (2, 4, 1), "z must be of shape"),
        ("D", (4, 1), r"D must be of shape \(4,\)"),
        ("delta_bias", (1,), "delta_bias must be of shape"),
        ("initial_state", (2, 3, 4), r"initial_state must be of shape \(2, 4, 3\)"),
        ("B", (2, 3, 4), r"B must be of shape \(2, 3, 5\), or"),
        ("C", (2, 3, 3, 5), "groups that divide 4 channels"),
        ("C", (2, 0, 3, 5), "groups that divide 4 channels"),
        ("B", (5,), "B must be of shape"),
    ],
)
def test_wrong_shapes_are_named(name, shape, message):
    with pytest.raises(ValueError, match=message):
        selective_scan_fn(**inputs(length=5) | {name: torch.zeros(shape)})


def test_wrong_groups_dtypes_and_devices_are_named():
    arguments = inputs(length=5, groups=4)
    with pytest.raises(ValueError, match="same number of groups; got 2 and 4"):
        selective_scan_fn(**arguments | {"B": arguments["B"][:, :2]})
    with pytest.raises(ValueError, match="int64"):
        selective_scan_fn(**arguments | {"u": arguments["u"].long()})
    with pytest.raises(ValueError, match="B must be on the device of u, cpu; it is on meta"):
        selective_scan_fn(**arguments | {"B": arguments["B"].to("meta")})
    with pytest.raises(BackendError, match="'fused': it runs on a CUDA device"):
        selective_scan_fn(**arguments, backend="fused")


@pytest.fixture
def kernel(monkeypatch):
    """A stand-in for mamba_ssm's kernel: its checks of dtypes and strides, and the reference's numbers."""

    def selective_scan(u, delta, A, B, C, D=None, z=None, delta_bias=None, softplus=False, return_last_state=False):
        assert delta.dtype == u.dtype and (z is None or z.dtype == u.dtype)
        assert all(p.dtype == (A.dtype if p.dim() == 2 else u.dtype) for p in (B, C))
        assert all(p is None or p.dtype == torch.float32 for p in (D, delta_bias))
        y = reference(u, delta, A, B, C, D, z, delta_bias, softplus, return_last_state)
        y, last = y if return_last_state else (y, None)
        y = y.to(u.dtype)
        return (y, last.to(A.dtype)) if return_last_state else y

    module = types.ModuleType("mamba_ssm.ops.selective_scan_interface")
    module.selective_scan_fn = selective_scan
    for name in ("mamba_ssm", "mamba_ssm.ops"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)


@pytest.mark.parametrize("options", [(), ALL, ("z", "initial_state"), ("D", "z", "delta_bias")])
@pytest.mark.parametrize("constant", ["", "B", "BC"])
def test_what_the_fused_kernel_lacks_is_added(options, constant, kernel):
    """The adapter's own arithmetic: dtypes, and the initial state's share in y, the last state and gradients."""
    from serenanet_modules.ops.fused import scan as fused_scan

    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(options=options, constant=constant).items()}
    core = {name: arguments.get(name) for name in ("u", "delta", "A", "B", "C", *ALL)}
    for name in ("B", "C"):
        core[name] = core[name] if core[name].dim() == 2 else core[name].unsqueeze(1)
    got = fused_scan.scan(**core, delta_softplus=True, return_last_state=True)
    want = [t.float() for t in reference(**arguments, delta_softplus=True, return_last_state=True)]
    tensors = list(arguments.values())
    for a, b in zip((*got, *gradients(got, tensors)), (*want, *gradients(want, tensors)), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("options", [ALL, ("D", "z", "delta_bias"), ()])
@pytest.mark.parametrize("other", ["fused", "torch"])
def test_backends_agree_on_a_gpu(options, other):
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(channels=64, n=16, options=options).items()}
    there = {k: v.detach().cuda().requires_grad_() for k, v in arguments.items()}
    try:
        y = selective_scan_fn(**there, delta_softplus=True, backend=other)
    except BackendError as error:
        pytest.skip(str(error))
    want = selective_scan_fn(**arguments, delta_softplus=True)
    torch.testing.assert_close(y.cpu(), want, rtol=1e-3, atol=1e-4)
    got = [g.cpu() for g in torch.autograd.grad(y.sum(), list(there.values()))]
    for a, b in zip(got, torch.autograd.grad(want.sum(), list(arguments.values())), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
