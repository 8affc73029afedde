"""What lobes share: padding that is harmless, steps that equal the whole, equality with mamba_ssm's modules."""

import importlib
import os
import sys
import types
from pathlib import Path

import pytest
import torch

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}


def assert_padding_is_harmless(run, lobe, features, lengths=(1, 5, 12, 23, 40)):
    """Compare each utterance alone with the same one in batches with other padding, mates and padding content.

    Parameters
    ----------
    run : callable
        (x (B, T, F), lengths (B,)) -> list of tensors (B, T', ...) whose padding is already cut off or zero.
    lobe : Module
        In evaluation mode; its parameters' gradients are compared too.
    features : int
    lengths : tuple of int
        Of the utterances.
    """
    generator = torch.Generator().manual_seed(0)
    utterances = [torch.randn(n, features, generator=generator) for n in lengths]
    mates = [torch.randn(n, features, generator=generator) for n in (max(lengths) + 9, 2)]
    for x in utterances:
        alone, direction = _outputs_and_gradients(run, lobe, [x], len(x), 0.0, None)
        for extra, content, others in ((7, 0.0, []), (64, 1e3, []), (3, float("nan"), []), (5, float("nan"), mates)):
            total = max(map(len, [x, *others])) + extra
            batch, _ = _outputs_and_gradients(run, lobe, [x, *others], total, content, direction)
            for name, expected in alone.items():
                where = f"{name} of {len(x)} frames, padding {content}, {len(others)} mates: "
                torch.testing.assert_close(batch[name], expected, **TOLERANCE, msg=where.__add__)


def _outputs_and_gradients(run, lobe, utterances, total, content, direction):
    """Outputs of the first utterance and gradients of a projection of them, by name, and that projection."""
    lengths = torch.tensor([len(u) for u in utterances])
    x = torch.full((len(utterances), total, utterances[0].shape[1]), content)
    for i, u in enumerate(utterances):
        x[i, : len(u)] = u
    x.requires_grad_()
    outputs = run(x, lengths)
    if direction is None:
        generator = torch.Generator().manual_seed(1)
        direction = [torch.randn(y[0].shape, generator=generator) for y in outputs]
    first = [y[0, : len(d)] for y, d in zip(outputs, direction, strict=True)]
    parameters = dict(lobe.named_parameters())
    loss = sum((y * d).mean() for y, d in zip(first, direction, strict=True))
    grads = torch.autograd.grad(loss, [x, *parameters.values()], allow_unused=True, materialize_grads=True)
    found = {f"output {i}": y.detach() for i, y in enumerate(first)}
    found["gradient of the input"] = grads[0][0, : len(utterances[0])]
    found |= {f"gradient of {name}": g for name, g in zip(parameters, grads[1:], strict=True)}
    return found, direction


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


@pytest.fixture(name="assert_padding_is_harmless")
def _assert_padding_is_harmless():
    return assert_padding_is_harmless


@pytest.fixture(name="mamba_ssm_modules", scope="module")
def _mamba_ssm_modules():
    """mamba_ssm's own modules from the checkout that MAMBA_SSM_SOURCE names, on its PyTorch references.

    Its package initialisation, which wants every CUDA extension, never runs.
    """
    source = Path(os.environ.get("MAMBA_SSM_SOURCE") or pytest.skip("MAMBA_SSM_SOURCE names no checkout"))
    for package in ("einops", "triton", "huggingface_hub"):
        pytest.importorskip(package)
    before = dict(sys.modules)
    try:
        sys.modules["causal_conv1d"] = None  # its absence makes the modules take PyTorch's convolution
        sys.modules["selective_scan_cuda"] = types.ModuleType("selective_scan_cuda")
        package = sys.modules["mamba_ssm"] = types.ModuleType("mamba_ssm")
        package.__path__ = [str(source / "mamba_ssm")]
        simple, second, norm, scan, ssd = (
            importlib.import_module(f"mamba_ssm.{name}")
            for name in (
                "modules.mamba_simple",
                "modules.mamba2",
                "ops.triton.layernorm_gated",
                "ops.selective_scan_interface",
                "ops.triton.ssd_combined",
            )
        )
        simple.selective_scan_fn = scan.selective_scan_ref
        norm.rmsnorm_fn = norm.rms_norm_ref

        def chunk_scan(*args, seq_idx, cu_seqlens, return_final_states, return_varlen_states, **options):
            return ssd.ssd_chunk_scan_combined_ref(*args, **options)

        second.mamba_chunk_scan_combined = chunk_scan
        yield types.SimpleNamespace(Mamba=simple.Mamba, Mamba2=second.Mamba2)
    finally:
        for name in sys.modules.keys() - before.keys():
            if name.split(".")[0] in ("mamba_ssm", "selective_scan_cuda", "causal_conv1d"):
                del sys.modules[name]
        sys.modules.update({k: before[k] for k in ("mamba_ssm", "selective_scan_cuda", "causal_conv1d") if k in before})


def assert_same_module(ours, theirs, x):
    """State dicts load either way, initial values follow the same rules, outputs and gradients are equal."""
    assert {k: v.shape for k, v in ours.state_dict().items()} == {k: v.shape for k, v in theirs.state_dict().items()}
    assert {k: v.dtype for k, v in ours.state_dict().items()} == {k: v.dtype for k, v in theirs.state_dict().items()}
    ours.load_state_dict(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())
    outputs = [module(x) for module in (ours, theirs)]
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)
    for y in outputs:
        (y * torch.linspace(-1, 1, y.numel()).view_as(y)).sum().backward()
    for (name, a), b in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-3, atol=1e-4, msg=f"gradient of {name}: {{}}".format)


@pytest.fixture(name="assert_same_module")
def _assert_same_module():
    return assert_same_module


def assert_steps_equal_forward(block, x, cuts=((1,) * 11, (4, 1, 6), (11,))):
    """Any cut of x into chunks gives what `forward` gives, gradients included, and leaves the given state alone."""
    x = x.detach().requires_grad_()
    want = block(x)
    parameters = [x, *block.parameters()]
    expected = torch.autograd.grad(want.square().sum(), parameters)
    for cut in cuts:
        state, outputs = block.init_state(len(x)), []
        for chunk in x.split(list(cut), dim=1):
            copies = [part.detach().clone() for part in state]
            y, following = block.step(chunk, state)
            assert all(torch.equal(a, b) for a, b in zip(state, copies, strict=True))
            assert [part.shape for part in following] == [part.shape for part in state]
            state = following
            outputs.append(y)
        got = torch.cat(outputs, dim=1)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(torch.autograd.grad(got.square().sum(), parameters), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture(name="assert_steps_equal_forward")
def _assert_steps_equal_forward():
    return assert_steps_equal_forward
