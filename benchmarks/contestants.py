"""What is compared: every scan, convolution and layer under one name, each on the same inputs and with equal work.

A builder returns a function of the inputs, or raises `Absent` with the reason why it cannot.
"""

import contextlib
import os
import sys
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from serenanet_modules import ops
from serenanet_modules.ops import backends

FRAMES_PER_SECOND = 25  # 40 ms
WIDTH = 256
HEAD = 64  # channels of one Mamba-2 head


class Absent(Exception):
    """Not installed, or it cannot run here; the message says why."""


@dataclass(frozen=True)
class Sizes:
    """Batch, channels and states of a scan."""

    batch: int = 8
    channels: int = 512
    state: int = 16


# ---- inputs -------------------------------------------------------------------------------------------------------


def scan_inputs(sizes, length, dtype, device):
    """Leaf tensors by name: u, delta, z (B, D, L); A (D, N); B, C (B, N, L); D, delta_bias (D,)."""
    draw = _drawer(device)
    batch, channels, state = sizes.batch, sizes.channels, sizes.state
    leaves = {
        "u": draw(batch, channels, length).to(dtype),
        "delta": (0.5 * draw(batch, channels, length)).to(dtype),
        "A": -torch.arange(1.0, state + 1, device=device).repeat(channels, 1),
        "B": draw(batch, state, length).to(dtype),
        "C": draw(batch, state, length).to(dtype),
        "D": draw(channels),
        "z": draw(batch, channels, length).to(dtype),
        "delta_bias": draw(channels) - 4.0,  # steps of about 0.02, as after Mamba's initialisation
    }
    return {name: tensor.requires_grad_() for name, tensor in leaves.items()}


def ssd_inputs(sizes, length, dtype, device):
    """Mamba-2's inputs at the same number of channels: x, z (B, L, H, P); dt (B, L, H); B, C (B, L, 1, N)."""
    draw = _drawer(device)
    head = min(HEAD, sizes.channels)
    batch, heads, state = sizes.batch, sizes.channels // head, sizes.state
    leaves = {
        "x": draw(batch, length, heads, head).to(dtype),
        "dt": (0.5 * draw(batch, length, heads)).to(dtype),
        "A": -1.0 - draw(heads).abs(),
        "B": draw(batch, length, 1, state).to(dtype),
        "C": draw(batch, length, 1, state).to(dtype),
        "D": draw(heads),
        "z": draw(batch, length, heads, head).to(dtype),
        "dt_bias": draw(heads) - 4.0,
    }
    return {name: tensor.requires_grad_() for name, tensor in leaves.items()}


def conv_inputs(batch, channels, width):
    """Builder of x (B, D, L), weight (D, W), bias (D,)."""

    def inputs(sizes, length, dtype, device):
        draw = _drawer(device)
        leaves = {"x": draw(batch, channels, length).to(dtype), "weight": draw(channels, width), "bias": draw(channels)}
        return {name: tensor.requires_grad_() for name, tensor in leaves.items()}

    return inputs


def layer_inputs(sizes, length, dtype, device):
    """x (B, T, WIDTH) float32; a half precision is autocast's business."""
    return {"x": _drawer(device)(sizes.batch, length, WIDTH).requires_grad_()}


def _drawer(device):
    generator = torch.Generator().manual_seed(0)  # on the CPU: the same numbers on every device

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(device)

    return draw


# ---- scans --------------------------------------------------------------------------------------------------------


def ours(name, backend, **options):
    """An operation of `serenanet_modules.ops` on one backend."""

    def build():
        function = getattr(ops, name, None)
        if function is None:
            raise Absent(f"serenanet_modules.ops has no {name}")

        def run(**inputs):
            return function(**inputs, **options, backend=backend)

        return run

    return build


def transformers_slow_path():
    """The scan of transformers' MambaMixer without kernels."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    with _hidden("mamba_ssm", "causal_conv1d"):  # or it would take their kernels
        try:
            from transformers.models.mamba import modeling_mamba
        except ImportError as error:
            raise Absent(f"not installed ({error})") from None
    scan = getattr(modeling_mamba, "mamba_selective_scan", None)
    if scan is None:
        raise Absent("this transformers has no mamba_selective_scan; 5.0 and later have")

    def run(u, delta, A, B, C, D, z, delta_bias):
        return scan(u, delta, A, B, C, D, z=z, delta_bias=delta_bias, delta_softplus=True)

    return run


def mambapy_scan():
    """mamba.py: the parallel scan of package mambapy, through its block's own method."""
    try:
        from mambapy.mamba import MambaBlock
    except ImportError as error:
        raise Absent(f"not installed ({error})") from None

    def run(u, delta, A, B, C, D, z, delta_bias):
        u, delta, B, C, z = (tensor.transpose(1, 2) for tensor in (u, delta, B, C, z))
        delta = functional.softplus(delta + delta_bias)
        y = MambaBlock.selective_scan(None, u, delta, A, B, C, D)  # uses nothing of the block
        return (y * functional.silu(z)).transpose(1, 2)

    return run


def associative():
    """torch's associative_scan on (decay, input) pairs, uncompiled."""
    try:
        from torch._higher_order_ops.associative_scan import associative_scan
    except ImportError as error:
        raise Absent(f"this torch has none ({error})") from None

    def combine(left, right):
        return left[0] * right[0], right[0] * left[1] + right[1]

    def run(u, delta, A, B, C, D, z, delta_bias):
        delta = _wide(functional.softplus(delta + delta_bias[:, None]))
        decay = torch.exp(delta.unsqueeze(-1) * A[:, None])  # (B, D, L, N)
        pushed = (delta * u).unsqueeze(-1) * B.transpose(1, 2).unsqueeze(1)
        _, states = associative_scan(combine, (decay, pushed), dim=2, combine_mode="generic")
        y = torch.einsum("bdln,bnl->bdl", states, C.to(states.dtype))
        return ((y + D[:, None] * u) * functional.silu(z)).to(u.dtype)

    return run


def lean_loop():
    """A plain loop under autograd that never holds more of the decays than one step."""

    def run(u, delta, A, B, C, D, z, delta_bias):
        delta = _wide(functional.softplus(delta + delta_bias[:, None]))
        state = A.new_zeros(*u.shape[:2], A.shape[1])
        steps = ((delta * u).unbind(2), delta.unbind(2), _wide(B).unbind(2), _wide(C).unbind(2))
        outputs = []
        for pushed, step, b, c in zip(*steps, strict=True):
            state = torch.exp(step.unsqueeze(-1) * A) * state + pushed.unsqueeze(-1) * b.unsqueeze(1)
            outputs.append((state @ c.unsqueeze(-1)).squeeze(-1))
        y = torch.stack(outputs, dim=2)
        return ((y + D[:, None] * u) * functional.silu(z)).to(u.dtype)

    return run


def _wide(tensor):
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@contextlib.contextmanager
def _hidden(*names):
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(dict.fromkeys(names))
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


# ---- convolutions -------------------------------------------------------------------------------------------------


def torch_conv(padding):
    """torch's own grouped convolution; ``padding``: ``same``, or ``causal`` with SiLU as in a Mamba block."""

    def build():
        def run(x, weight, bias):
            width = weight.shape[1]
            weight = weight.unsqueeze(1).to(x.dtype)
            if padding == "same":
                return functional.conv1d(x, weight, bias.to(x.dtype), padding="same", groups=len(weight))
            y = functional.conv1d(x, weight, bias.to(x.dtype), padding=width - 1, groups=len(weight))
            return functional.silu(y[..., : x.shape[2]])

        return run

    return build


# ---- layers -------------------------------------------------------------------------------------------------------


def mamba_layer(kind, backend, bidirectional=False):
    """A block of the lobes on one backend."""

    def build():
        from serenanet_modules.lobes.blocks.mamba import Bidirectional, Mamba
        from serenanet_modules.lobes.blocks.mamba2 import Mamba2

        block = {"Mamba": Mamba, "Mamba-2": Mamba2}[kind]
        layer = _seeded(lambda: Bidirectional(lambda: block(WIDTH)) if bidirectional else block(WIDTH))

        def run(x):
            with _backend(backend):
                if bidirectional:
                    return layer(x, torch.full((len(x),), x.shape[1], device=x.device))
                return layer(x)

        return _with_layer(run, layer)

    return build


def transformer_layer():
    """torch's encoder layer: 4 heads, feed-forward 1024, pre-norm."""
    return _plain(
        lambda: nn.TransformerEncoderLayer(WIDTH, 4, 4 * WIDTH, dropout=0.0, batch_first=True, norm_first=True)
    )


def lstm_layer(bidirectional=False):
    """torch's LSTM with ``WIDTH`` units per direction."""
    return lambda: _plain(lambda: nn.LSTM(WIDTH, WIDTH, batch_first=True, bidirectional=bidirectional))


def _plain(make):
    layer = _seeded(make)

    def run(x):
        y = layer(x)
        return y[0] if isinstance(y, tuple) else y

    return _with_layer(run, layer)


def _seeded(make):
    torch.manual_seed(0)
    return make().train()


def _with_layer(run, layer):
    run.layer = layer
    return run


@contextlib.contextmanager
def _backend(name):
    before = os.environ.get(backends.VARIABLE)
    os.environ[backends.VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[backends.VARIABLE]
        else:
            os.environ[backends.VARIABLE] = before


# ---- who meets whom -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Group:
    """One table: builders by name on common inputs; ``rivals`` are what ratios are given against.

    Outputs and gradients are compared with those of ``truth`` in float64.
    """

    title: str
    inputs: callable
    builders: dict
    rivals: tuple = ()
    truth: str | None = None
    lengths: tuple = ()  # besides those asked for


def groups(device):
    """Groups by name, for ``cpu`` or ``cuda``."""
    fast = "cpp" if device == "cpu" else "fused"

    def pair(name, **options):
        return {f"ours, {backend}": ours(name, backend, **options) for backend in (fast, "torch")}

    rivals = {
        "transformers": transformers_slow_path,
        "mamba.py": mambapy_scan,
        "associative_scan": associative,
        "lean loop": lean_loop,
    }
    scan, ssd = (
        pair("selective_scan_fn", delta_softplus=True),
        pair("mamba_chunk_scan_combined", chunk_size=64, dt_softplus=True),
    )
    layers = {
        **{f"Mamba, {b}": mamba_layer("Mamba", b) for b in (fast, "torch")},
        **{f"BiMamba, {b}": mamba_layer("Mamba", b, bidirectional=True) for b in (fast, "torch")},
        **{f"Mamba-2, {b}": mamba_layer("Mamba-2", b) for b in (fast, "torch")},
        "transformer": transformer_layer,
        "LSTM": lstm_layer(),
        "BiLSTM": lstm_layer(bidirectional=True),
    }
    causal = {**pair("causal_conv1d_fn", activation="silu"), "torch conv1d": torch_conv("causal")}
    depthwise = {**pair("depthwise_conv1d", padding="same"), "torch conv1d": torch_conv("same")}
    conv = ("torch conv1d",)
    return {
        "scan": Group("Selective scan (Mamba)", scan_inputs, {**scan, **rivals}, tuple(rivals), "lean loop"),
        "ssd": Group("Mamba-2 scan (SSD), as many channels", ssd_inputs, ssd, truth="ours, torch"),
        "conv": Group("Causal convolution, 8 × 512, width 4, SiLU", conv_inputs(8, 512, 4), causal, conv, *conv),
        "depthwise": Group(
            "Depthwise convolution, 16 × 144, width 15", conv_inputs(16, 144, 15), depthwise, conv, *conv, lengths=(80,)
        ),
        "layers": Group(f"One encoder layer of width {WIDTH}", layer_inputs, layers, ("transformer",)),
    }
