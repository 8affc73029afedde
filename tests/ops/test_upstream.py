"""mamba-ssm's and causal-conv1d's own test files pass with our functions on the CPU.

They are run where checkouts are at hand: ``MAMBA_SSM_SOURCE`` and ``CAUSAL_CONV1D_SOURCE`` name their folders,
``UPSTREAM_ALL=1`` runs every case and not a sample.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serenanet_modules.ops import cpp

ROOT = Path(__file__).parents[2]
MAMBA, CONV = "MAMBA_SSM_SOURCE", "CAUSAL_CONV1D_SOURCE"
FILES = {
    "selective_scan": (MAMBA, "tests/ops/test_selective_scan.py"),
    "selective_state_update": (MAMBA, "tests/ops/triton/test_selective_state_update.py"),
    "ssd": (MAMBA, "tests/ops/triton/test_ssd.py"),
    "causal_conv1d": (CONV, "tests/test_causal_conv1d.py"),
}
# Their reference of the whole Mamba-2 scan, which their own tests leave unused.
SSD_REFERENCE = """
import pytest, torch
from mamba_ssm.ops.triton.ssd_combined import mamba_chunk_scan_combined, ssd_chunk_scan_combined_ref

@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("length", [64, 160])
def test_equals_the_reference(length, groups):
    torch.manual_seed(0)
    draw = lambda *shape: torch.randn(*shape, dtype=torch.float64, requires_grad=True)
    batch, heads, size, state = 2, 4, 8, 16
    x, z = draw(batch, length, heads, size), draw(batch, length, heads, size)
    dt, bias, D = draw(batch, length, heads), draw(heads), draw(heads, size)
    A = -draw(heads).abs()
    B, C = draw(batch, length, groups, state), draw(batch, length, groups, state)
    common = dict(D=D, z=z, dt_bias=bias, dt_softplus=True)
    leaves = (x, z, dt, bias, D, A, B, C)
    ours = mamba_chunk_scan_combined(x, dt, A, B, C, 32, **common)
    theirs = ssd_chunk_scan_combined_ref(x, dt, A, B, C, 32, **common)
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)  # theirs rounds dt to float32
    for a, b in zip(*(torch.autograd.grad(y.square().sum(), leaves) for y in (ours, theirs))):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)
"""

pytestmark = pytest.mark.slow


def _stubs():
    spec = importlib.util.spec_from_file_location("upstream_stubs", Path(__file__).with_name("upstream_stubs.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _need(variable, backend):
    if not os.environ.get(variable):
        pytest.skip(f"{variable} names no checkout")
    for package in ("einops", "triton"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"their files import {package}, which is not installed")
    if backend == "cpp" and cpp.why_not():
        pytest.skip(cpp.why_not())


def _run(folder, source, backend):
    """pytest on the text of a test file, with the stubs as a plugin; returns what it printed."""
    (folder / "test_upstream.py").write_text(source)
    paths = [str(ROOT), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "SERENANET_OPS_BACKEND": backend}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "upstream_stubs", "-p", "no:cacheprovider", "--rootdir", "."]
    run = subprocess.run([*command, "test_upstream.py"], cwd=folder, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    assert re.search(r"[1-9]\d* passed", run.stdout), run.stdout[-2000:]
    return run.stdout


@pytest.mark.parametrize("backend", ["cpp", "torch"])
@pytest.mark.parametrize("name", FILES)
def test_their_tests_pass(name, backend, tmp_path):
    """Their test file, with only the device changed, passes on our functions."""
    variable, path = FILES[name]
    _need(variable, backend)
    source = (Path(os.environ[variable]) / path).read_text()
    print(_run(tmp_path, _stubs().translate(source), backend))


@pytest.mark.parametrize("backend", ["cpp", "torch"])
def test_ssd_equals_their_reference(backend, tmp_path):
    """The whole Mamba-2 scan and all its gradients equal mamba-ssm's PyTorch reference."""
    _need(MAMBA, backend)
    _run(tmp_path, SSD_REFERENCE, backend)
