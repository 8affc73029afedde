"""Precisions: what a machine must have is said in one sentence, and what is rounded is rounded by known amounts."""

from importlib import metadata
from statistics import fmean

import pytest
import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.errors import UserError
from serenanet_modules.runtime import precision
from serenanet_modules.runtime.lowered import Lowered
from serenanet_modules.runtime.precision import KINDS, Context, check_precision

BOUNDS = {"tf32": 0.001, "fp8": 0.065, "mxfp8": 0.065, "mxfp4": 0.26}  # of a feed-forward part, forward and backward
NEEDS = {"tf32": "8.0", "fp16": "5.3", "fp8": "8.9", "mxfp8": "10.0", "mxfp4": "10.0"}


def feed_forward(width=64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))


def measured(model, x, grad):
    """Output, gradient of x, and gradients of the weights."""
    x = x.clone().requires_grad_()
    model.zero_grad()
    y = model(x)
    y.backward(grad.to(y.dtype))
    return [y.detach().float(), x.grad, *(p.grad.clone() for p in model.parameters())]


@pytest.mark.parametrize("name", BOUNDS)
def test_errors_are_those_of_the_numbers(name):
    """Of 111 frames, a multiple of nothing: relative to fp32, and far above rounding, for outputs and all gradients."""
    model, (x, grad) = feed_forward(), torch.randn(2, 3, 37, 64)
    exact = measured(model, x, grad)
    lowered = Lowered(model, training=name, emulated=True)
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(measured(model, x, grad), exact, strict=True)]
    print(name, [f"{100 * error:.2f} %" for error in errors])
    assert max(errors) < BOUNDS[name] and min(errors[:2]) > BOUNDS[name] / 10
    assert lowered.called == {"0", "2"}


def test_weights_and_evaluation_stay_as_they_are():
    model, x = feed_forward(), torch.randn(1, 5, 64)
    before, exact = {name: t.clone() for name, t in model.state_dict().items()}, model(x)
    Lowered(model, training="mxfp8", emulated=True)
    assert {type(module) for module in model} == {nn.Linear, nn.SiLU}
    assert all(torch.equal(t, before[name]) and t.dtype == torch.float32 for name, t in model.state_dict().items())
    assert not torch.equal(model(x), exact) and torch.equal(model.eval()(x), exact)
    assert model(torch.empty(0, 64)).shape == (0, 64)


@pytest.mark.parametrize("name", BOUNDS)
def test_use_without_gradients(name):
    """In inference mode, as finished models are used, the numbers are those of training."""
    model, x = feed_forward(), torch.randn(1, 5, 64)
    Lowered(model, training=name, evaluation=name, emulated=True)
    with torch.inference_mode(), Context(name, "cpu"):
        used = model.eval()(x)
    with torch.no_grad(), Context(name, "cpu"):
        assert torch.equal(used, model.train()(x))


def test_under_autocast_the_output_is_bf16():
    model, x = feed_forward(), torch.randn(3, 64)
    exact = model(x)
    Lowered(model, evaluation="fp8", emulated=True)
    with Context("fp8", "cpu"):
        y = model.eval()(x)
    assert y.dtype == torch.bfloat16 and (y - exact).norm() < 0.07 * exact.norm()


def test_what_is_converted_is_told():
    """Sizes that do not fit, parts that must stay exact and frozen ones are left; what is never called is named."""
    sizes = {"front": (32, 32), "odd": (48, 32), "head": (32, 7), "frozen": (32, 32)}
    model = nn.ModuleDict({"a": feed_forward(32), **{name: nn.Linear(*size) for name, size in sizes.items()}})
    model["frozen"].requires_grad_(False)
    lowered = Lowered(model, exact=[model["front"]], training="mxfp8", emulated=True)
    size = "a size that is no multiple of 32"
    assert lowered.left == {"front": "front end or output", "odd": size, "head": size, "frozen": "frozen"}
    model["a"][0](torch.ones(1, 32))
    about = lowered.about()
    assert about["converted_layers"] == 2 and about["never_called"] == ["a.2"] and about["emulated"]
    assert about["share_of_linear_weights"] == round(8192 / (8192 + 1024 * 2 + 1536 + 224), 4)
    left = f"1 not (front end or output), 2 not ({size}), 1 not (frozen)"
    assert str(lowered) == f"mxfp8: 2 linear layers, 68 % of the linear layers' weights; {left}; emulated"
    assert Lowered(model, training="bf16").about() == {}


def test_a_model_learns_in_any_numbers():
    """CTC loss after 25 steps, the mean of three paired seeds, beside fp32's: 10 % for eight bits, 25 % for four."""
    found = {name: fmean(_trained(name, seed) for seed in (1, 2, 3)) for name in ("fp32", "fp8", "mxfp8", "mxfp4")}
    print(found)
    assert found["fp32"] < 0.4 * _trained("fp32", 1, steps=0)
    assert all(
        abs(found[name] / found["fp32"] - 1) < most for name, most in (("fp8", 0.1), ("mxfp8", 0.1), ("mxfp4", 0.25))
    )


def _trained(name, seed, steps=25):
    model, generator = feed_forward(32), torch.Generator().manual_seed(seed)
    model.append(nn.Linear(32, 8))
    x, labels = torch.randn(4, 20, 32, generator=generator), torch.randint(1, 8, (4, 6), generator=generator)
    Lowered(model, exact=[model[-1]], training=name, emulated=True)
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for step in range(steps + 1):
        log_probs = model(x).float().log_softmax(-1).transpose(0, 1)
        loss = functional.ctc_loss(log_probs, labels, torch.full((4,), 20), torch.full((4,), 6))
        if step < steps:
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return loss.item()


# --- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_on_a_cpu(name):
    if name not in NEEDS:
        return check_precision(name, "cpu", False, "x:")
    with pytest.raises(UserError) as caught:
        check_precision(name, "cpu", False, "x.yaml: 'precision'")
    sentence = str(caught.value)
    assert sentence.startswith(f"x.yaml: 'precision' {name} needs a GPU; use bf16 or fp32 on a CPU")
    assert f"compute capability {NEEDS[name]}" in sentence and "\n" not in sentence
    assert ("--emulate_precision" in sentence) == (name != "fp16")


@pytest.mark.parametrize("has", [False, True])
def test_bf16_on_a_cpu_without_units_for_it(has, monkeypatch, caplog):
    """One sentence of warning: PyTorch computes it there, many times slower than fp32."""
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: has)
    check_precision("fp32", "cpu", False, "x:")
    check_precision("bf16", "cuda", False, "x:")
    assert not caplog.messages
    check_precision("bf16", "cpu", False, "x.yaml: 'precision'")
    sentence = "x.yaml: 'precision' bf16 is many times slower than fp32 on this CPU, which has no bf16 units; use fp32"
    assert caplog.messages == ([] if has else [sentence])


@pytest.mark.parametrize("name", NEEDS)
def test_on_a_gpu(name, monkeypatch):
    """One that has it, and one that is a generation too old, which is named."""
    least = tuple(map(int, NEEDS[name].split(".")))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "An Old GPU")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: least)
    check_precision(name, "cuda:0", False, "x")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (least[0] - 1, 9))
    with pytest.raises(
        UserError, match=f"needs a GPU of compute capability {NEEDS[name]}, and An Old GPU has {least[0] - 1}.9"
    ):
        check_precision(name, "cuda:0", False, "x")


def test_without_torchao_and_with_another(monkeypatch):
    def none(name):
        raise metadata.PackageNotFoundError

    monkeypatch.setattr(precision.metadata, "version", none)
    with pytest.raises(
        UserError, match=r"x fp8 needs torchao 0.18.0, and it is not here; pip install 'serenanet\[lowp"
    ):
        check_precision("fp8", "cpu", True, "x")
    monkeypatch.setattr(precision.metadata, "version", lambda name: "0.17.0")
    with pytest.raises(UserError, match="and torchao 0.17.0 is here"):
        check_precision("mxfp4", "cuda", False, "x")
    check_precision("tf32", "cpu", True, "x")
    with pytest.raises(UserError, match="x fp16 cannot be emulated; use bf16"):
        check_precision("fp16", "cpu", True, "x")


def test_tf32_is_used_where_it_is_asked_for_alone():
    for name in ("tf32", "fp32", "bf16"):
        with Context(name, "cpu"):
            assert torch.backends.cuda.matmul.allow_tf32 == torch.backends.cudnn.allow_tf32 == (name == "tf32")
