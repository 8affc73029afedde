"""Every backend of the causal convolution, and of its single step, against float64 loops."""

import pytest
import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.backends import BackendError
from serenanet_modules.ops.causal_conv1d import causal_conv1d_fn, causal_conv1d_update, causal_conv1d_varlen_states
from serenanet_modules.ops.reference import conv as reference

CPP = pytest.param("cpp", marks=pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not())))
SIZES = [(1, 4, 1, 4), (2, 3, 17, 4), (3, 8, 2, 3), (1, 1, 9, 2), (2, 130, 7, 1), (2, 5, 40, 11), (1, 3, 300, 31)]


@pytest.fixture(params=[CPP, "torch"])
def backend(request):
    return request.param


def inputs(batch, channels, length, width, options=("bias", "initial_states"), channel_last=False, seed=0):
    """Random float64 arguments by name, each requiring a gradient."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x = normal(batch, channels, length)
    made = {
        "x": x.transpose(1, 2).contiguous().transpose(1, 2) if channel_last else x,
        "weight": normal(channels, width),
        "bias": normal(channels),
        "initial_states": normal(batch, channels, width - 1),
    }
    return {k: v.requires_grad_() for k, v in made.items() if k in ("x", "weight", *options)}


def gradients(results, tensors):
    """Of a random projection of all results."""
    generator = torch.Generator().manual_seed(1)
    weights = [torch.randn(t.shape, generator=generator, dtype=torch.float64).to(t.dtype) for t in results]
    return torch.autograd.grad(sum((w * t).sum() for w, t in zip(weights, results, strict=True)), tensors)


def assert_same(arguments, backend, tolerance=1e-10, **settings):
    """All results and every gradient."""
    tensors = list(arguments.values())
    got, want = (
        function(**arguments, **settings, **choice)
        for function, choice in ((causal_conv1d_fn, {"backend": backend}), (reference.causal_conv1d_fn, {}))
    )
    got, want = ([y] if torch.is_tensor(y) else y for y in (got, want))
    torch.testing.assert_close(got, [y.to(arguments["x"].dtype) for y in want], rtol=tolerance, atol=tolerance)
    found, expected = gradients(got, tensors), gradients(want, tensors)
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize("activation", [None, "silu", "swish"])
def test_output_states_and_gradients(size, channel_last, activation, backend):
    for options in ((), ("bias",), ("initial_states",), ("bias", "initial_states")):
        arguments = inputs(*size, options, channel_last)
        assert_same(arguments, backend, activation=activation)
        assert_same(arguments, backend, activation=activation, return_final_states=True)


@pytest.mark.parametrize("width", [1, 3, 4, 12])
@pytest.mark.parametrize("channel_last", [False, True])
def test_sequences_do_not_hear_each_other(width, channel_last, backend):
    seq_idx = torch.tensor([[0] * 5 + [1] * 2 + [2] * 9 + [-1] * 2, [-1] * 3 + [7] * 15])
    for activation in (None, "silu"):
        arguments = inputs(2, 6, 18, width, ("bias",), channel_last)
        assert_same(arguments, backend, seq_idx=seq_idx, activation=activation)
        y = causal_conv1d_fn(**arguments, seq_idx=seq_idx, activation=activation, backend=backend)
        assert y[0, :, 16:].abs().max() == 0 and y[1, :, :3].abs().max() == 0
        alone = {**arguments, "x": arguments["x"][:1, :, 7:16]}
        torch.testing.assert_close(y[:1, :, 7:16], causal_conv1d_fn(**alone, activation=activation, backend=backend))


def test_other_sequences_may_hold_anything(backend):
    x = torch.randn(1, 4, 12)
    x[..., :6] = float("nan")
    seq_idx = torch.arange(12)[None] // 6
    y = causal_conv1d_fn(x, torch.randn(4, 3), seq_idx=seq_idx, backend=backend)
    assert y[..., 6:].isfinite().all()


@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize("cuts", [(1,), (2, 3), (5, 1, 1, 20)])
def test_pieces_equal_the_whole(cuts, channel_last, backend):
    arguments = inputs(2, 8, 40, 4, ("bias",), channel_last)
    x, weight, bias = arguments.values()
    want = causal_conv1d_fn(x, weight, bias, activation="silu", backend=backend)
    state, got = x.new_zeros(2, 8, 3), []
    for piece in x.split([*cuts, 40 - sum(cuts)], dim=2):
        y, state = causal_conv1d_fn(piece, weight, bias, None, state, True, None, "silu", backend=backend)
        got.append(y)
    torch.testing.assert_close(torch.cat(got, dim=2), want)
    found, expected = (gradients([y], [x, weight, bias]) for y in (torch.cat(got, dim=2), want))
    torch.testing.assert_close(found, expected)


def test_final_states_are_written_where_asked(backend):
    arguments = inputs(2, 3, 9, 4)
    out = torch.full((2, 3, 3), 7.0, dtype=torch.float64)
    y, final = causal_conv1d_fn(**arguments, return_final_states=True, final_states_out=out, backend=backend)
    assert final is out
    assert torch.equal(out, arguments["x"][..., 6:])
    final.sum().backward()
    assert torch.equal(arguments["x"].grad, (torch.arange(9) > 5).double().expand(2, 3, 9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("channel_last", [False, True])
def test_dtypes(dtype, channel_last, backend):
    """Inputs in any type, parameters in float32: the output has the input's type, each gradient its tensor's."""
    made = inputs(2, 16, 50, 4, channel_last=channel_last)
    made = {k: v.detach().to(dtype if k in ("x", "initial_states") else torch.float32) for k, v in made.items()}
    exact = {k: v.double().requires_grad_() for k, v in made.items()}
    made = {k: v.requires_grad_() for k, v in made.items()}
    y = causal_conv1d_fn(**made, activation="silu", backend=backend)
    want = reference.causal_conv1d_fn(**exact, activation="silu")
    tolerance = 4 * torch.finfo(dtype).eps
    assert y.dtype == dtype
    torch.testing.assert_close(y.double(), want, rtol=tolerance, atol=tolerance)
    direction = torch.randn_like(y)
    found = torch.autograd.grad(y, list(made.values()), direction)
    expected = torch.autograd.grad(want, list(exact.values()), direction.double())
    for tensor, a, b in zip(made.values(), found, expected, strict=True):
        assert a.dtype == tensor.dtype
        torch.testing.assert_close(a.double(), b, rtol=20 * tolerance, atol=20 * tolerance)


def test_memory_layouts(backend):
    """Any strides in, the same numbers out; what lies next to each other in the input does so in the output."""
    x = torch.randn(2, 30, 24)
    weight, bias = torch.randn(24, 8)[:, ::2], torch.randn(48)[::2]
    want = reference.causal_conv1d_fn(x.transpose(1, 2), weight, bias)
    views = {
        "channel first": x.transpose(1, 2).contiguous(),
        "channel last": x.transpose(1, 2),
        "slice of channels": torch.cat([x, x], dim=2)[..., 24:].transpose(1, 2),
        "slice of time": torch.cat([x, x], dim=1)[:, 30:].transpose(1, 2),
        "every other": x.transpose(1, 2).repeat_interleave(2, 2)[..., ::2],
        "expanded": x.transpose(1, 2),
    }
    for name, view in views.items():
        leaf = view.detach().requires_grad_()
        y = causal_conv1d_fn(leaf, weight, bias, backend=backend)
        torch.testing.assert_close(y, want.float(), msg=lambda m, name=name: f"{name}: {m}")
        assert (y.stride(1) == 1) == (view.stride(1) == 1), name
        (grad,) = torch.autograd.grad(y, leaf, torch.ones(1, 1, 1).expand_as(y))
        flat = torch.autograd.grad(reference.causal_conv1d_fn(leaf, weight, bias).sum(), leaf)[0]
        torch.testing.assert_close(grad, flat)


@pytest.mark.parametrize("channel_last", [False, True])
def test_results_may_be_changed_in_place(channel_last, backend):
    x, weight, *_ = inputs(2, 8, 9, 4, (), channel_last).values()
    y, final = causal_conv1d_fn(x, weight, return_final_states=True, activation="silu", backend=backend)
    want = torch.autograd.grad((3 * y).sum() + (2 * final).sum(), (x, weight), retain_graph=True)
    y *= 3
    final *= 2
    torch.testing.assert_close(torch.autograd.grad(y.sum() + final.sum(), (x, weight)), want)


def test_empty(backend):
    for shape in ((2, 4, 0), (0, 4, 5)):
        x, weight = torch.randn(shape, requires_grad=True), torch.randn(4, 3, requires_grad=True)
        initial = torch.randn(shape[0], 4, 2)
        y, final = causal_conv1d_fn(x, weight, initial_states=initial, return_final_states=True, backend=backend)
        assert y.shape == shape
        assert torch.equal(final, initial if shape[2] == 0 else x[..., 3:])
        assert final.data_ptr() != initial.data_ptr() or final.numel() == 0
        y.sum().backward()
        assert x.grad.shape == shape and weight.grad.abs().max() == 0


def test_the_future_is_not_seen(backend):
    for width in (4, 20):
        x, weight = torch.randn(1, 2, 39), torch.randn(2, width)
        y = causal_conv1d_fn(x, weight, backend=backend)
        x[..., 25:] = 100.0
        assert torch.equal(causal_conv1d_fn(x, weight, backend=backend)[..., :25], y[..., :25])


@pytest.mark.parametrize("channel_last", [False, True])
def test_extreme_sums(channel_last, backend):
    """SiLU and its slope stay finite and exact far from zero."""
    x = torch.tensor([[[-1e30, -1e4, -90.0, 0.0, 90.0, 1e4, 1e30]] * 2])
    x = x.transpose(1, 2).contiguous().transpose(1, 2) if channel_last else x
    x.requires_grad_()
    y = causal_conv1d_fn(x, torch.ones(2, 1), activation="silu", backend=backend)
    torch.testing.assert_close(y, torch.nn.functional.silu(x))
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad[0, 0], torch.tensor([0.0, 0, 0, 0.5, 1, 1, 1]))


def test_gradcheck(backend):
    for channel_last in (False, True):
        for width in (3, 9):
            tensors = list(inputs(2, 2, 7, width, channel_last=channel_last).values())
            assert torch.autograd.gradcheck(
                lambda x, w, b, s: causal_conv1d_fn(x, w, b, None, s, True, None, "silu", backend=backend), tensors
            )


@pytest.mark.parametrize("channel_last", [False, True])
def test_the_number_of_threads_changes_nothing(channel_last):
    if cpp.why_not():
        pytest.skip(cpp.why_not())
    made = inputs(3, 200, 70, 4, channel_last=channel_last)
    made = {k: v.detach().float().requires_grad_() for k, v in made.items()}

    def run():
        y = causal_conv1d_fn(**made, activation="silu", backend="cpp")
        return [y, *gradients([y], list(made.values()))]

    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run()
        torch.set_num_threads(3)
        several = run()
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(one, several, strict=True))


def block(x, weight, bias, state, backend):
    y, final = causal_conv1d_fn(x * 2, weight, bias, None, state, True, None, "silu", backend=backend)
    return y + 1, final


def float_inputs(length, channel_last, seed=0):
    made = inputs(2, 8, length, 4, channel_last=channel_last, seed=seed)
    return [v.detach().float().requires_grad_() for v in made.values()]


@pytest.mark.parametrize("channel_last", [False, True])
def test_compile_without_a_break(channel_last, backend):
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True, dynamic=True)
    for length in (12, 25):
        tensors = float_inputs(length, channel_last)
        got, want = (f(*tensors, backend) for f in (compiled, block))
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(gradients(got, tensors), gradients(want, tensors))


def test_compile_with_the_automatic_choice():
    """Whatever sizes the compiler keeps open, the filter's width too."""
    x, weight, bias, _ = float_inputs(9, True)
    for dynamic in (False, True):
        compiled = torch.compile(causal_conv1d_fn, backend="aot_eager", fullgraph=True, dynamic=dynamic)
        torch.testing.assert_close(compiled(x, weight, bias), causal_conv1d_fn(x, weight, bias))


@pytest.mark.slow
def test_compile_with_inductor():
    compiled = torch.compile(block, fullgraph=True, dynamic=True)
    for channel_last in (False, True):
        tensors = float_inputs(14, channel_last)
        got, want = (f(*tensors, None) for f in (compiled, block))
        torch.testing.assert_close(got, want)
        torch.testing.assert_close(gradients(got, tensors), gradients(want, tensors))


def test_export_with_any_length(backend):
    class Block(torch.nn.Module):
        def forward(self, x, weight, bias, state):
            return block(x, weight, bias, state, backend)

    length = torch.export.Dim("length", min=4, max=4096)
    example = tuple(t.detach() for t in float_inputs(12, True))
    exported = torch.export.export(Block(), example, dynamic_shapes=({2: length}, None, None, None))
    longer = tuple(t.detach() for t in float_inputs(31, True))
    torch.testing.assert_close(exported.module()(*longer), Block()(*longer))


@pytest.mark.parametrize("options", [(), ("bias", "initial_states")])
def test_the_operator_keeps_its_promises(options, backend):
    """Shapes, strides and dtypes that the compiler is told are those that come out."""
    op = getattr(torch.ops.serenanet, f"conv_{backend}").default
    for channel_last in (False, True):
        made = inputs(2, 8, 12, 4, options, channel_last)
        tensors = [made.get(name) for name in ("x", "weight", "bias", "initial_states")]
        torch.library.opcheck(op, (*tensors, None, 3, True, channel_last))


def test_autocast(backend):
    x, weight, bias, state = float_inputs(20, True)
    with torch.autocast("cpu", torch.bfloat16):
        y = causal_conv1d_fn(x.to(torch.bfloat16), weight, bias, activation="silu", backend=backend)
        wide = causal_conv1d_fn(x, weight.repeat(1, 4), bias, backend=backend)
    assert y.dtype == torch.bfloat16 and wide.dtype == torch.float32
    assert torch.equal(wide, causal_conv1d_fn(x, weight.repeat(1, 4), bias, backend=backend))
    y.float().sum().backward()
    assert x.grad.dtype == weight.grad.dtype == torch.float32


def test_what_does_not_fit_is_named():
    x, weight = torch.ones(1, 2, 3), torch.ones(2, 4)
    for message, arguments in {
        "'relu'": {"activation": "relu"},
        r"x has shape \(2, 3\)": {"x": x[0]},
        "int64": {"x": x.long()},
        r"weight has shape \(3, 4\)": {"weight": torch.ones(3, 4)},
        "W > 0": {"weight": torch.ones(2, 0)},
        r"bias must be of shape \(2,\); got \(3,\)": {"bias": torch.ones(3)},
        r"initial_states must be of shape \(1, 2, 3\); got \(1, 2, 2\)": {"initial_states": torch.ones(1, 2, 2)},
        "seq_idx must be of shape": {"seq_idx": torch.zeros(1, 2, dtype=torch.int32)},
        "seq_idx excludes": {"seq_idx": torch.zeros(1, 3, dtype=torch.int32), "return_final_states": True},
        "weight must be on the device of x, cpu; it is on meta": {"weight": weight.to("meta")},
    }.items():
        with pytest.raises(ValueError, match=message):
            causal_conv1d_fn(**{"x": x, "weight": weight, **arguments})
    with pytest.raises(BackendError, match="CUDA device"):
        causal_conv1d_fn(x, weight, backend="fused")
    with pytest.raises(BackendError, match="choose one of"):
        causal_conv1d_fn(x, weight, backend="numpy")


def window_inputs(steps, size, width, circular, owned, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    batch, channels = 3, 5
    rows = 7 if owned else batch
    x = torch.randn(batch, channels, *steps, generator=generator, dtype=torch.float64).to(dtype)
    state = torch.randn(rows, size, channels, generator=generator, dtype=torch.float64).to(dtype).transpose(1, 2)
    weight = torch.randn(channels, width, generator=generator, dtype=torch.float64)
    settings = {
        "bias": torch.randn(channels, generator=generator, dtype=torch.float64),
        "cache_seqlens": torch.tensor([0, 5, 1021], dtype=torch.int32) if circular else None,
        "conv_state_indices": torch.tensor([4, -1, 0], dtype=torch.int32) if owned else None,
    }
    return x, state, weight, settings


@pytest.mark.parametrize("steps", [(), (1,), (4,), (9,)])
@pytest.mark.parametrize(("size", "width"), [(3, 4), (8, 4), (0, 1), (2, 1), (1, 2)])
@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("owned", [False, True])
def test_update(steps, size, width, circular, owned, backend):
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x, state, weight, settings = window_inputs(steps, size, width, circular, owned, dtype)
        after = state.clone()
        want = reference.causal_conv1d_update(x, after, weight, activation="silu", **settings)
        got = causal_conv1d_update(x, state, weight, activation="silu", **settings, backend=backend)
        tolerance = 4 * torch.finfo(dtype).eps
        assert got.shape == x.shape and got.dtype == dtype
        torch.testing.assert_close(got.double(), want, rtol=tolerance, atol=tolerance)
        assert torch.equal(state, after)


def test_updates_equal_the_whole(backend):
    x, weight = torch.randn(2, 6, 30), torch.randn(6, 4)
    state, got = torch.zeros(2, 6, 3), []
    for piece in x.split([1, 1, 2, 10, 16], dim=2):
        got.append(causal_conv1d_update(piece, state, weight, None, "silu", backend=backend))
    torch.testing.assert_close(torch.cat(got, dim=2), causal_conv1d_fn(x, weight, activation="silu", backend=backend))
    assert torch.equal(state, x[..., 27:])


def test_update_inside_a_compiled_function(backend):
    def step(x, state, weight):
        return causal_conv1d_update(x * 2, state, weight, backend=backend)

    x, weight, state = torch.randn(2, 4), torch.randn(4, 3), torch.randn(2, 4, 2)
    again = state.clone()
    got = torch.compile(step, backend="aot_eager", fullgraph=True)(x, state, weight)
    torch.testing.assert_close(got, step(x, again, weight))
    assert torch.equal(state, again)


def test_what_does_not_fit_an_update_is_named():
    x, state, weight = torch.ones(2, 4), torch.ones(2, 4, 2), torch.ones(4, 3)
    for message, arguments in {
        r"conv_state has shape \(2, 4, 1\)": {"conv_state": torch.ones(2, 4, 1)},
        r"\(2, 4, at least 2\)": {"conv_state": torch.ones(3, 4, 2)},
        "conv_state has dtype": {"conv_state": state.double()},
        r"x has shape \(4,\)": {"x": torch.ones(4)},
        "cache_seqlens must be of shape": {"cache_seqlens": torch.zeros(3, dtype=torch.int32)},
        "'gelu'": {"activation": "gelu"},
    }.items():
        with pytest.raises(ValueError, match=message):
            causal_conv1d_update(**{"x": x, "conv_state": state, "weight": weight, **arguments})


def test_states_of_sequences_behind_one_another():
    x = torch.randn(20, 3)
    ends = torch.tensor([0, 2, 2, 13, 20])
    states = causal_conv1d_varlen_states(x, ends, 4)
    for state, begin, end in zip(states, ends[:-1].tolist(), ends[1:].tolist(), strict=True):
        kept = min(4, end - begin)
        assert torch.equal(state[:, 4 - kept :], x[end - kept : end].T)
        assert state[:, : 4 - kept].abs().sum() == 0


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("channel_last", [False, True])
@pytest.mark.parametrize("options", [(), ("bias",), ("bias", "initial_states")])
@pytest.mark.parametrize("other", ["fused", "torch"])
def test_backends_agree_on_a_gpu(other, options, channel_last):
    made = inputs(2, 16, 70, 4, options, channel_last)
    exact = [v.detach().requires_grad_() for v in made.values()]
    want = causal_conv1d_fn(**dict(zip(made, exact, strict=True)), activation="silu", backend="torch")
    there = {k: v.detach().float().cuda().requires_grad_() for k, v in made.items()}
    try:
        got = causal_conv1d_fn(**there, activation="silu", backend=other)
    except BackendError as error:
        pytest.skip(str(error))
    torch.testing.assert_close(got.cpu().double(), want, rtol=1e-5, atol=1e-5)
    found, expected = gradients([got.cpu()], list(there.values())), gradients([want], exact)
    torch.testing.assert_close([g.cpu().double() for g in found], list(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("circular", [False, True])
@pytest.mark.parametrize("owned", [False, True])
def test_updates_agree_on_a_gpu(circular, owned):
    x, state, weight, settings = window_inputs((4,), 5, 4, circular, owned, torch.float32)
    after = state.clone()
    want = reference.causal_conv1d_update(x, after, weight, activation="silu", **settings)
    there = {k: None if v is None else v.cuda() for k, v in settings.items()} | {
        "bias": settings["bias"].float().cuda()
    }
    for backend in ("fused", "torch"):
        held = state.cuda()
        arguments = (x.cuda(), held, weight.float().cuda())
        try:
            got = causal_conv1d_update(*arguments, activation="silu", **there, backend=backend)
        except BackendError as error:
            pytest.skip(str(error))
        torch.testing.assert_close(got.cpu().double(), want, rtol=1e-5, atol=1e-5)
        assert torch.equal(held.cpu(), after)
