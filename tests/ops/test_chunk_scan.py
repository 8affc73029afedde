"""Every backend of Mamba-2's scan against a float64 loop written from the recurrence."""

import sys
import types

import pytest
import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.backends import BackendError
from serenanet_modules.ops.chunk_scan import mamba_chunk_scan_combined
from serenanet_modules.ops.cpp import ssd as cpp_ssd
from serenanet_modules.ops.fused import ssd as fused_ssd
from serenanet_modules.ops.plain import ssd as plain_ssd
from serenanet_modules.ops.reference.ssd import mamba_chunk_scan_combined as reference

CPP = pytest.param("cpp", marks=pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not())))
BACKENDS = [CPP, "torch"]
ALL = ("D", "z", "dt_bias", "initial_states")
CHUNK = 8


@pytest.fixture(params=BACKENDS)
def backend(request):
    return request.param


def inputs(batch=2, length=21, heads=2, channels=3, groups=1, states=4, options=ALL, wide_D=False, seed=0):
    """Random float64 arguments by name, each requiring a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    made = {
        "x": normal(batch, length, heads, channels),
        "dt": normal(batch, length, heads).abs() * 0.5 + 0.01,
        "A": -normal(heads).exp(),
        "B": normal(batch, length, groups, states),
        "C": normal(batch, length, groups, states),
        "D": normal(heads, channels) if wide_D else normal(heads),
        "z": normal(batch, length, heads, channels),
        "dt_bias": normal(heads).abs(),
        "initial_states": normal(batch, heads, channels, states),
    }
    kept = {k: v for k, v in made.items() if k in ("x", "dt", "A", "B", "C", *options)}
    return {k: v.requires_grad_() for k, v in kept.items()}


def gradients(results, tensors):
    """Of a random projection of all results, the same for results of the same shapes."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype) for t in results]
    return torch.autograd.grad(sum((w * t).sum() for w, t in zip(weights, results, strict=True)), tensors)


def assert_same(arguments, backend, rtol=1e-9, **options):
    """All results and every gradient."""
    told = {"chunk_size": CHUNK, "return_final_states": True, **options}
    got, want = mamba_chunk_scan_combined(**arguments, **told, backend=backend), reference(**arguments, **told)
    for a, b in zip(got, want, strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol)
    tensors = list(arguments.values())
    for name, a, b in zip(arguments, gradients(got, tensors), gradients(want, tensors), strict=True):
        torch.testing.assert_close(a, b, rtol=rtol, atol=rtol, msg=lambda m, name=name: f"gradient of {name}: {m}")


@pytest.mark.parametrize("length", [1, 2, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5])
def test_any_length(length, backend):
    assert_same(inputs(length=length), backend, dt_softplus=True)


@pytest.mark.parametrize("states", [1, 2, 16, 65, 256])
@pytest.mark.parametrize("batch", [1, 3])
def test_any_state_and_batch(states, batch, backend):
    assert_same(inputs(batch=batch, states=states, length=11), backend)


@pytest.mark.parametrize("channels", [1, 8, 15, 17, 24, 40, 64, 75])
def test_any_number_of_channels(channels, backend):
    """All widths of a tile and what is left over."""
    assert_same(inputs(batch=1, channels=channels, length=5), backend)


@pytest.mark.parametrize(("heads", "groups"), [(1, 1), (6, 1), (6, 2), (6, 6)])
def test_groups(heads, groups, backend):
    assert_same(inputs(heads=heads, groups=groups), backend)


@pytest.mark.parametrize("options", [(), *((name,) for name in ALL)])
def test_each_option_alone(options, backend):
    assert_same(inputs(options=options), backend)


def test_skip_weight_per_channel(backend):
    assert_same(inputs(wide_D=True), backend)


@pytest.mark.parametrize("chunk_size", [1, 3, 64, 1000])
def test_chunk_size_changes_nothing(chunk_size, backend):
    assert_same(inputs(), backend, chunk_size=chunk_size)


@pytest.mark.parametrize("limit", [(0.0, float("inf")), (0.2, 0.6), (-1.0, 1.0)])
def test_limits_of_the_step_size(limit, backend):
    """Without a softplus the default limit cuts negative steps off, as in mamba_ssm."""
    arguments = inputs()
    arguments["dt"] = (arguments["dt"].detach() - 0.5).requires_grad_()
    assert_same(arguments, backend, dt_limit=limit)


@pytest.mark.parametrize("first", [0, 3])
def test_packed_sequences(first, backend):
    """States do not pass from one sequence to the next, even where a number comes back."""
    lengths = torch.tensor([[3, 1, 9, 8], [8, 8, 4, 1]])
    numbers = torch.tensor([first, 5, first, 7])
    index = torch.stack([numbers.repeat_interleave(row) for row in lengths])
    assert_same(inputs(length=21), backend, seq_idx=index)


@pytest.mark.parametrize("lengths", [(21,), (5, 16), (1, 7, 8, 5), (0, 4, 0, 0, 17, 0)])
@pytest.mark.parametrize("softplus", [False, True])
def test_states_of_packed_sequences(lengths, softplus, backend):
    """Equal to those of each sequence alone, with gradients; an empty one has zeros."""
    told = {"cu_seqlens": torch.tensor([0, *lengths]).cumsum(0), "return_varlen_states": True}
    told["seq_idx"] = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))[None]
    arguments = inputs(batch=1, groups=2)
    assert_same(arguments, backend, dt_softplus=softplus, dt_limit=(0.01, 2.0), **told)
    states = mamba_chunk_scan_combined(**arguments, chunk_size=CHUNK, **told, backend=backend)[-1]
    alone = inputs(batch=1, groups=2)
    start = sum(lengths[:-1])
    for name in ("x", "dt", "B", "C", "z"):
        alone[name] = alone[name][:, start:]
    if len(lengths) > 1:
        del alone["initial_states"]
    last = mamba_chunk_scan_combined(**alone, chunk_size=CHUNK, return_final_states=True, backend=backend)[1]
    torch.testing.assert_close(states[-1], last[0] if lengths[-1] else torch.zeros_like(last[0]))


def test_pieces_equal_the_whole(backend):
    arguments = inputs(options=("D", "z"))
    told = {"chunk_size": CHUNK, "return_final_states": True, "backend": backend}
    y, last = mamba_chunk_scan_combined(**arguments, **told)
    state, pieces = None, []
    for at in (slice(0, 10), slice(10, 11), slice(11, 21)):
        piece = {k: v[:, at] if k in ("x", "dt", "B", "C", "z") else v for k, v in arguments.items()}
        part, state = mamba_chunk_scan_combined(**piece, initial_states=state, **told)
        pieces.append(part)
    torch.testing.assert_close(torch.cat(pieces, 1), y)
    torch.testing.assert_close(state, last)


def test_empty_length(backend):
    arguments = inputs(length=0)
    y, last = mamba_chunk_scan_combined(**arguments, chunk_size=4, return_final_states=True, backend=backend)
    assert y.shape == arguments["x"].shape
    torch.testing.assert_close(last, arguments["initial_states"])
    (grad,) = torch.autograd.grad(last.sum(), arguments["initial_states"])
    assert (grad == 1).all()
    told = {"cu_seqlens": torch.tensor([0, 0]), "return_varlen_states": True}
    assert not mamba_chunk_scan_combined(**inputs(batch=1, length=0), chunk_size=4, **told, backend=backend)[1].any()
    assert mamba_chunk_scan_combined(**inputs(batch=0), chunk_size=4, backend=backend).shape[0] == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("dt", "rate"), [(1e4, 1.0), (1e4, 1e3), (1e-8, 1e4), (0.0, 1.0), (10.0, 1e-8), (50.0, 1.0)])
def test_extreme_steps_and_rates(dt, rate, dtype, backend):
    """Nothing overflows, and ordinary steps next to extreme ones keep their digits."""
    arguments = {k: v.detach() for k, v in inputs(options=("D",)).items()}
    arguments["dt"][:, ::3] = dt
    arguments["A"] = arguments["A"] * rate
    low = {k: v.to(dtype).requires_grad_() for k, v in arguments.items()}
    high = {k: v.to(dtype).double().requires_grad_() for k, v in arguments.items()}
    told = {"chunk_size": CHUNK, "return_final_states": True}
    got, want = mamba_chunk_scan_combined(**low, **told, backend=backend), reference(**high, **told)
    results = [*got, *gradients(got, list(low.values()))]
    truths = [*want, *gradients(want, list(high.values()))]
    tolerance = 2e-5 if dtype == torch.float32 else 1e-10
    for a, b in zip(results, truths, strict=True):
        assert a.isfinite().all()
        torch.testing.assert_close(a.double(), b, rtol=tolerance, atol=tolerance * float(b.detach().abs().max()))


def test_zero_step_freezes_the_state(backend):
    arguments = inputs(options=("initial_states",))
    arguments["dt"] = torch.zeros_like(arguments["dt"])
    _, last = mamba_chunk_scan_combined(**arguments, chunk_size=4, return_final_states=True, backend=backend)
    torch.testing.assert_close(last, arguments["initial_states"], rtol=0, atol=0)


def test_long_float32(backend, monkeypatch):
    """Several slabs and several kept states: no error grows with time."""
    monkeypatch.setattr(plain_ssd, "SLAB", 1 << 14)
    monkeypatch.setattr(cpp_ssd, "LONGEST", 16)
    arguments = inputs(batch=1, length=203, channels=16)
    low = {k: v.detach().float().requires_grad_() for k, v in arguments.items()}
    told = {"chunk_size": 16, "return_final_states": True, "dt_softplus": True}
    got, want = mamba_chunk_scan_combined(**low, **told, backend=backend), reference(**arguments, **told)
    results, truths = ([*r, *gradients(r, list(leaves.values()))] for r, leaves in ((got, low), (want, arguments)))
    for a, b in zip(results, truths, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-5, atol=1e-5 * float(b.detach().abs().max()))


def test_gradcheck(backend):
    arguments = inputs(batch=1, length=5, states=2, channels=2)
    index = torch.tensor([[0, 0, 1, 1, 1]])
    told = {"chunk_size": 2, "seq_idx": index, "cu_seqlens": torch.tensor([0, 2, 5]), "dt_softplus": True}
    told |= {"return_final_states": True, "return_varlen_states": True, "backend": backend}

    def run(*tensors):
        return mamba_chunk_scan_combined(**dict(zip(arguments, tensors, strict=True)), **told)

    assert torch.autograd.gradcheck(run, tuple(arguments.values()))


@pytest.mark.parametrize("only", range(2))
def test_gradient_of_one_result(only, backend):
    """The other result need not be used."""
    arguments = inputs()
    told = {"chunk_size": CHUNK, "return_final_states": True}
    tensors = [v for k, v in arguments.items() if not (only == 1 and k in "CDz")]
    got = mamba_chunk_scan_combined(**arguments, **told, backend=backend)[only]
    want = reference(**arguments, **told)[only]
    for a, b in zip(gradients([got], tensors), gradients([want], tensors), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("single", [name for name in inputs() if name != "A"])
def test_gradient_of_one_argument(single, backend):
    arguments = {k: v.detach().requires_grad_(k == single) for k, v in inputs().items()}
    got = mamba_chunk_scan_combined(**arguments, chunk_size=CHUNK, backend=backend)
    want = reference(**arguments)
    torch.testing.assert_close(gradients([got], [arguments[single]]), gradients([want], [arguments[single]]))


def test_inputs_are_left_alone(backend):
    """Neither written to nor returned, though their memory may be read in place."""
    arguments = {k: v.detach() for k, v in inputs(heads=1, channels=1, states=1).items()}
    before = {k: v.clone() for k, v in arguments.items()}
    results = mamba_chunk_scan_combined(**arguments, chunk_size=4, return_final_states=True, backend=backend)
    assert all(torch.equal(arguments[k], before[k]) for k in arguments)
    addresses = {v.untyped_storage().data_ptr() for v in arguments.values()}
    assert not addresses & {r.untyped_storage().data_ptr() for r in results}


def test_any_memory_layout(backend):
    """Slices of one projection, as Mamba-2 makes them, transposed and expanded tensors."""
    torch.manual_seed(0)
    whole = torch.randn(2, 13, 6 + 4 + 4, dtype=torch.float64, requires_grad=True)
    x, B, C = whole.split([6, 4, 4], dim=2)
    dt = torch.rand(2, 2, 13, dtype=torch.float64).transpose(1, 2)
    A, z = (
        -torch.ones(1, dtype=torch.float64).expand(2),
        torch.randn(3, 2, 13, 2, dtype=torch.float64).permute(1, 2, 3, 0),
    )
    tensors = (x.unflatten(2, (2, 3)), dt, A, B.unflatten(2, (1, 4)), C.unflatten(2, (1, 4)))
    got = mamba_chunk_scan_combined(*tensors, 4, z=z, backend=backend)
    want = mamba_chunk_scan_combined(*(t.contiguous() for t in tensors), 4, z=z.contiguous(), backend=backend)
    torch.testing.assert_close(got, want)
    for grad in (torch.ones(()), torch.randn(2, 13, 2, 3).double()):
        sides = [torch.autograd.grad(y, whole, grad.to(y).expand_as(y), retain_graph=True) for y in (got, want)]
        torch.testing.assert_close(*sides)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype, backend):
    """As autocast gives them: signals in 16 bits, parameters in float32; only results are rounded."""
    halves = ("x", "dt", "B", "C", "z")
    low = {k: v.detach().to(dtype if k in halves else torch.float32).requires_grad_() for k, v in inputs().items()}
    high = {k: v.detach().double().requires_grad_() for k, v in low.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = mamba_chunk_scan_combined(**low, chunk_size=CHUNK, return_final_states=True, backend=backend)
    want = reference(**high, return_final_states=True)
    assert got[0].dtype == dtype and got[1].dtype == torch.float32
    torch.testing.assert_close(got[1].double(), want[1], rtol=1e-5, atol=1e-5)
    results, truths = (
        [r[0], *torch.autograd.grad(r[0].sum(), list(t.values()))] for r, t in ((got, low), (want, high))
    )
    for a, b in zip(results, truths, strict=True):
        torch.testing.assert_close(a.double(), b, rtol=2e-2, atol=2e-2)
    assert [a.dtype for a in results[1:]] == [v.dtype for v in low.values()]


@pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not()))
def test_threads_change_nothing():
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(batch=3, heads=6, length=40).items()}
    found = []
    threads = torch.get_num_threads()
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            y = mamba_chunk_scan_combined(**arguments, chunk_size=CHUNK, backend="cpp")
            found.append([y, *gradients([y], list(arguments.values()))])
    finally:
        torch.set_num_threads(threads)
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("save", [False, True])
def test_operator_contract(save, backend):
    """Schema, shapes of fake tensors and autograd registration hold, as compilers assume."""
    arguments = {k: v.detach() for k, v in inputs(wide_D=True).items()}
    x, dt, A, B, C, D = (arguments[k] for k in ("x", "dt", "A", "B", "C", "D"))
    initial = arguments["initial_states"]
    tensors = [t.requires_grad_(save) for t in (x, dt, (dt * A).detach(), B, C)]
    if backend == "cpp":
        torch.library.opcheck(cpp_ssd._forward_op, (*tensors, D, initial, save))
    else:
        torch.library.opcheck(plain_ssd._forward, (*tensors, initial, save, CHUNK))


def test_compiles_in_one_piece(backend):
    """One graph for all lengths and batches, with its gradients."""
    torch._dynamo.reset()

    def step(**arguments):
        told = {"chunk_size": CHUNK, "dt_softplus": True, "return_final_states": True}
        return mamba_chunk_scan_combined(**arguments, **told, backend=backend)

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager", dynamic=True)
    for batch, length in ((2, 21), (3, 9), (2, 70)):
        arguments = inputs(batch=batch, length=length)
        got, want = compiled(**arguments), step(**arguments)
        torch.testing.assert_close(got, want)
        leaves = list(arguments.values())
        torch.testing.assert_close(gradients(got, leaves), gradients(want, leaves))


def test_compiles_packed_sequences(backend):
    torch._dynamo.reset()
    told = {"seq_idx": torch.tensor([[0] * 5 + [1] * 16]), "cu_seqlens": torch.tensor([0, 5, 21])}
    told |= {"chunk_size": CHUNK, "return_varlen_states": True, "backend": backend}
    compiled = torch.compile(mamba_chunk_scan_combined, fullgraph=True, backend="aot_eager")
    arguments = {k: v.detach() for k, v in inputs(batch=1).items()}
    torch.testing.assert_close(compiled(**arguments, **told), mamba_chunk_scan_combined(**arguments, **told))


@pytest.mark.slow
def test_inductor():
    torch._dynamo.reset()
    arguments = inputs()
    told = {"chunk_size": CHUNK}
    got = torch.compile(mamba_chunk_scan_combined, fullgraph=True)(**arguments, **told)
    want, leaves = mamba_chunk_scan_combined(**arguments, **told), list(arguments.values())
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(gradients([got], leaves), gradients([want], leaves))


class _Module(torch.nn.Module):
    def __init__(self, backend):
        super().__init__()
        self.A, self.backend = torch.nn.Parameter(-torch.ones(2)), backend

    def forward(self, x, dt, B):
        told = {"return_final_states": True, "backend": self.backend}
        return mamba_chunk_scan_combined(x, dt, self.A, B, B, CHUNK, **told)


def test_exports_with_any_batch_and_length(backend):
    module = _Module(backend)
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length")

    def signals(b, t):
        return torch.randn(b, t, 2, 3), torch.rand(b, t, 2), torch.randn(b, t, 1, 4)

    shapes = tuple({0: batch, 1: length} for _ in range(3))
    exported = torch.export.export(module, signals(2, 20), dynamic_shapes=shapes).module()
    for sizes in ((2, 20), (5, 3), (2, 130)):
        arguments = signals(*sizes)
        torch.testing.assert_close(exported(*arguments), module(*arguments))


def test_memory_of_the_backward_is_bounded(backend):
    """What is kept between the passes, beyond inputs and outputs, does not grow with length times states."""
    arguments = {k: v.detach().float().requires_grad_() for k, v in inputs(1, 512, 1, 64, 1, 64, ("D",)).items()}
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        mamba_chunk_scan_combined(**arguments, chunk_size=64, backend=backend)
    every_state = 512 * 64 * 64
    assert sum(t.numel() for t in {t.data_ptr(): t for t in kept}.values()) < every_state / 8


def test_shape_errors():
    good = {k: v.detach() for k, v in inputs(heads=3).items()}
    wrong = {
        "x": torch.zeros(2, 21, 9),
        "dt": torch.zeros(2, 21, 4),
        "A": torch.zeros(3, 4),
        "B": torch.zeros(2, 21, 2, 4),
        "C": torch.zeros(2, 21, 1, 5),
        "D": torch.zeros(3, 4),
        "z": torch.zeros(2, 21, 3, 4),
        "dt_bias": torch.zeros(1),
        "initial_states": torch.zeros(2, 3, 4, 3),
        "seq_idx": torch.zeros(21, dtype=torch.int32),
    }
    for name, tensor in wrong.items():
        with pytest.raises(ValueError, match=rf"^{name} must be .*got \("):
            mamba_chunk_scan_combined(**{**good, name: tensor}, chunk_size=4)
    with pytest.raises(ValueError, match="seq_idx must be of an integer dtype"):
        mamba_chunk_scan_combined(**good, chunk_size=4, seq_idx=torch.zeros(2, 21))
    with pytest.raises(ValueError, match="on the device of x"):
        mamba_chunk_scan_combined(**{**good, "A": torch.zeros(3, device="meta")}, chunk_size=4)
    with pytest.raises(ValueError, match="chunk_size must be at least 1"):
        mamba_chunk_scan_combined(**good, chunk_size=0)


def test_packing_errors():
    good = {k: v.detach() for k, v in inputs(batch=1).items()} | {"chunk_size": 4, "return_varlen_states": True}
    ends = torch.tensor([0, 5, 21])
    with pytest.raises(ValueError, match="needs cu_seqlens"):
        mamba_chunk_scan_combined(**good)
    with pytest.raises(ValueError, match="need seq_idx"):
        mamba_chunk_scan_combined(**good, cu_seqlens=ends)
    with pytest.raises(ValueError, match="must be integers"):
        mamba_chunk_scan_combined(**good, cu_seqlens=ends.float())
    two = {k: v.detach() for k, v in inputs(batch=2).items()}
    with pytest.raises(ValueError, match="batch of one"):
        mamba_chunk_scan_combined(**two, chunk_size=4, return_varlen_states=True, cu_seqlens=ends)


def test_what_cannot_run_says_why():
    good = {k: v.detach() for k, v in inputs().items()}
    with pytest.raises(BackendError, match="fused.*CUDA device"):
        mamba_chunk_scan_combined(**good, chunk_size=4, backend="fused")
    meta = {k: v.to("meta") for k, v in good.items()}
    with pytest.raises(BackendError, match="cpp.*on the CPU"):
        mamba_chunk_scan_combined(**meta, chunk_size=4, backend="cpp")


def test_adapter_gives_the_kernels_what_they_take(monkeypatch):
    """One dtype for factors, float32 parameters, a power of two as the chunk, sequences numbered in a row."""
    seen = {}

    def kernel(x, dt, A, B, C, chunk_size, **told):
        seen.update(told, x=x, dt=dt, A=A, B=B, C=C, chunk_size=chunk_size)
        told["D"] = None if told["D"] is None else told["D"].double()
        return reference(x, dt, A, B, C, chunk_size, **told)

    module = types.ModuleType(fused_ssd.MODULE)
    module.mamba_chunk_scan_combined = kernel
    for name in ("mamba_ssm", "mamba_ssm.ops", "mamba_ssm.ops.triton"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, fused_ssd.MODULE, module)
    monkeypatch.setattr(fused_ssd, "why_not", lambda x: None)
    arguments = {k: v.detach().float() for k, v in inputs(batch=1).items()}
    arguments |= {k: arguments[k].bfloat16() for k in ("x", "z", "dt")}
    index = torch.tensor([[4] * 5 + [2] * 8 + [4] * 8])
    told = {"chunk_size": 20, "seq_idx": index, "dt_softplus": True, "return_final_states": True}
    got = mamba_chunk_scan_combined(**arguments, **told, backend="fused")
    want = mamba_chunk_scan_combined(**arguments, **told, backend="torch")
    torch.testing.assert_close(got[0], want[0])
    torch.testing.assert_close(got[1].float(), want[1], rtol=1e-5, atol=1e-5)
    assert {seen[k].dtype for k in "xBCz"} == {torch.float32} and seen["chunk_size"] == 32
    assert seen["seq_idx"].dtype == torch.int32 and seen["seq_idx"].unique().tolist() == [1, 2, 3]
    told |= {"cu_seqlens": torch.tensor([0, 5, 13, 21]), "return_varlen_states": True}
    got, want = (mamba_chunk_scan_combined(**arguments, **told, backend=name)[2] for name in ("fused", "torch"))
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("backend", ["fused", "torch"])
def test_gpu_equals_cpu(backend, packed, monkeypatch):
    monkeypatch.setenv("TRITON_F32_DEFAULT", "ieee")
    arguments = {k: v.detach().float() for k, v in inputs(1, 150, 4, 32, 2, 16).items()}
    told = {"chunk_size": 64, "dt_softplus": True, "return_final_states": True}
    on_gpu = {k: v.cuda().requires_grad_() for k, v in arguments.items()}
    if backend == "fused" and (reason := fused_ssd.why_not(on_gpu["x"])):
        pytest.skip(reason)
    on_cpu = {k: v.requires_grad_() for k, v in arguments.items()}
    results = []
    for leaves, name in ((on_gpu, backend), (on_cpu, "torch")):
        packing = {"seq_idx": torch.arange(150)[None] // 40, "cu_seqlens": torch.tensor([0, 40, 80, 120, 150])}
        packing = {k: v.to(leaves["x"].device) for k, v in packing.items()} | {"return_varlen_states": True}
        y = mamba_chunk_scan_combined(**leaves, **told, **(packing if packed else {}), backend=name)
        grads = torch.autograd.grad(sum(t.square().sum() for t in y), list(leaves.values()))
        results.append([t.cpu() for t in (*y, *grads)])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4 * float(b.detach().abs().max()))
