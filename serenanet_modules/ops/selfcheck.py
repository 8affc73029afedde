"""Every operation on one small problem, in float32 against its float64 reference."""

import importlib
import math
from dataclasses import dataclass, field
from functools import partial

import torch

from serenanet_modules import ops
from serenanet_modules.ops.backends import BackendError

BATCH, LENGTH, CHANNELS, STATE, HEADS, WIDTH = 2, 77, 32, 8, 4, 4  # the length is no multiple of any block


@dataclass(frozen=True)
class Check:
    """One operation: the module of its reference, its tensors by name, its other arguments.

    ``changed`` names the tensors that the operation writes to; such an operation has no gradients.
    """

    module: str
    tensors: dict
    options: dict = field(default_factory=dict)
    changed: tuple = ()


def checks(length=LENGTH, channels=CHANNELS, seed=0):
    """By name of the operation, its `Check`; tensors are float64 and, of a seed, always the same.

    Every operation of ``ops`` that has backends has one here. In it, tensors of utterances have `BATCH` as their first
    size, and time is the size ``length``.

    Parameters
    ----------
    length, channels, seed : int
        ``channels`` is a multiple of `HEADS`.
    """
    draw = partial(torch.randn, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    signal, frames = (BATCH, channels, length), (BATCH, length, HEADS)
    size = channels // HEADS
    return {
        "selective_scan_fn": Check(
            "scan",
            {"u": draw(*signal), "delta": draw(*signal), "A": -draw(channels, STATE).exp()}
            | {name: draw(BATCH, STATE, length) for name in "BC"}
            | {"D": draw(channels), "z": draw(*signal), "delta_bias": draw(channels) - 1},
            {"delta_softplus": True},
        ),
        "selective_state_update": Check(
            "scan",
            {"state": draw(BATCH, channels, STATE), "A": -draw(channels, STATE).exp()}
            | {name: draw(BATCH, channels) for name in ("x", "dt", "z")}
            | {name: draw(BATCH, STATE) for name in "BC"}
            | {name: draw(channels) for name in ("D", "dt_bias")},
            {"dt_softplus": True},
            changed=("state",),
        ),
        "mamba_chunk_scan_combined": Check(
            "ssd",
            {"x": draw(*frames, size), "dt": draw(*frames), "A": -draw(HEADS).exp()}
            | {name: draw(BATCH, length, 2, STATE) for name in "BC"}
            | {"D": draw(HEADS), "z": draw(*frames, size), "dt_bias": draw(HEADS) - 1}
            | {"initial_states": draw(BATCH, HEADS, size, STATE)},
            {"chunk_size": 16, "dt_softplus": True},
        ),
        "causal_conv1d_fn": Check(
            "conv",
            {"x": draw(*signal), "weight": draw(channels, WIDTH), "bias": draw(channels)},
            {"activation": "silu"},
        ),
        "causal_conv1d_update": Check(
            "conv",
            {"x": draw(BATCH, channels, 3), "conv_state": draw(BATCH, channels, WIDTH - 1)}
            | {"weight": draw(channels, WIDTH), "bias": draw(channels)},
            {"activation": "silu"},
            changed=("conv_state",),
        ),
        "depthwise_conv1d": Check(
            "conv",
            {"x": draw(*signal), "weight": draw(channels, 2 * WIDTH - 1), "bias": draw(channels)},
            {"padding": "same"},
        ),
    }


def errors(name, check, backend):
    """Compare an operation on one backend with its reference.

    Returns
    -------
    (float, float or None)
        Largest relative error of outputs and changed tensors, and of the gradients of all tensors; each is relative to
        the largest value of its tensor. Where there is a GPU, the larger of the errors there and on the CPU.

    Raises
    ------
    BackendError
        If the backend cannot run this operation here.
    """
    reference = getattr(importlib.import_module(f"serenanet_modules.ops.reference.{check.module}"), name)
    truth = _run(reference, check, torch.float64, "cpu")
    found, refused = [], None
    if backend == "fused" and not torch.cuda.is_available():
        raise BackendError("There is no CUDA device.")
    for device in ["cuda", "cpu"] if torch.cuda.is_available() else ["cpu"]:
        try:
            found.append(_run(getattr(ops, name), check, torch.float32, device, backend=backend))
        except BackendError as error:
            refused = refused or error  # what stops it on the GPU says more
    if not found:
        raise refused
    outputs, gradients = (max(_largest(one[part], truth[part]) for one in found) for part in (0, 1))
    return outputs, None if check.changed else gradients


def _run(function, check, dtype, device, **backend):
    """([outputs and changed tensors], [gradients])."""
    tensors = {name: value.to(device, dtype).clone() for name, value in check.tensors.items()}
    with torch.set_grad_enabled(not check.changed):
        for value in tensors.values():
            value.requires_grad_(not check.changed)
        output = function(**tensors, **check.options, **backend)
    if check.changed:
        return [output, *(tensors[name] for name in check.changed)], []
    weights = torch.linspace(-1, 1, output.numel(), dtype=torch.float64).view(output.shape)
    return [output], torch.autograd.grad(output, list(tensors.values()), weights.to(output))


def _largest(values, truths):
    worst = 0.0
    for value, truth in zip(values, truths, strict=True):
        error = float((value.detach().cpu().double() - truth.detach()).abs().max() / truth.detach().abs().max())
        worst = max(worst, math.inf if math.isnan(error) else error)
    return worst
