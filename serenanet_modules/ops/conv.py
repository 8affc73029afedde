"""The depthwise convolution behind `causal_conv1d` and `depthwise`, as a differentiable custom operation.

    y[t] = act(bias + sum_w weight[w] x[t - left + w])

``left`` is the width - 1 for a causal convolution, about half of it for a centred one. A backend brings a forward and a
backward function; `register` makes them an operation that `torch.compile` and `torch.export` take as one node.
"""

import torch

from serenanet_modules.ops.arguments import check_devices, check_shapes
from serenanet_modules.ops.observers import bare, custom_op

ARGUMENTS = """
    Tensor x, Tensor weight, Tensor? bias, Tensor? initial, Tensor? seq_idx, int left, bool silu, bool channel_last
""".strip()


def register(name, forward, backward):
    """Make ``serenanet::<name>`` of a backend's two functions.

    Parameters
    ----------
    name : str
    forward : callable
        (x (B, D, L), weight (D, W), bias (D,) or None, initial (B, D, left) or None, seq_idx (B, L) int32 or None,
        left, silu, channel_last) -> y (B, D, L) as made by `empty`. Outputs at which ``seq_idx`` is negative are zero,
        and inputs of another sequence than the output's count as zero.
    backward : callable
        (gradient of y, and the arguments of ``forward``) -> gradients of x, weight, bias and initial, empty ones for
        what is None.

    Returns
    -------
    callable
        With the arguments of ``forward``.
    """

    @custom_op(
        f"serenanet::{name}_backward",
        mutates_args=(),
        schema=f"(Tensor g, {ARGUMENTS}) -> (Tensor, Tensor, Tensor, Tensor)",
    )
    def gradient(g, x, *arguments):
        with torch.autocast(x.device.type, enabled=False):
            return backward(g, x, *arguments)

    @gradient.register_fake
    def _(g, x, weight, bias, initial, seq_idx, left, silu, channel_last):
        return _gradients(x, weight, bias, initial, channel_last)

    @custom_op(f"serenanet::{name}", mutates_args=(), schema=f"({ARGUMENTS}) -> Tensor")
    def op(x, *arguments):
        with torch.autocast(x.device.type, enabled=False):
            return forward(x, *arguments)

    @op.register_fake
    def _(x, weight, bias, initial, seq_idx, left, silu, channel_last):
        return empty(x, x.shape, x.dtype, channel_last)

    def keep(ctx, inputs, output):
        *tensors, ctx.left, ctx.silu, ctx.channel_last = inputs
        ctx.save_for_backward(*tensors)

    def differentiate(ctx, g):
        x, weight, bias, initial, seq_idx = ctx.saved_tensors
        grads = gradient(g, x, weight, bias, initial, seq_idx, ctx.left, ctx.silu, ctx.channel_last)
        grad_x, grad_weight, grad_bias, grad_initial = grads
        given = (None if bias is None else grad_bias), (None if initial is None else grad_initial)
        return grad_x, grad_weight, *given, None, None, None, None

    op.register_autograd(differentiate, setup_context=keep)

    def run(*arguments):
        return (forward if bare(*arguments[:5]) and not _autocasts(arguments[0]) else op)(*arguments)

    return run


def _autocasts(x):
    return torch.is_autocast_enabled(x.device.type)


def empty(like, shape, dtype, channel_last):
    """Uninitialised (B, D, L), channels next to each other in memory or time steps."""
    batch, channels, length = shape
    strides = (length * channels, 1, channels) if channel_last else (length * channels, length, 1)
    return like.new_empty_strided(shape, strides, dtype=dtype)  # not a view: its users may write to it in place


def _gradients(x, weight, bias, initial, channel_last):
    """Where a backward pass puts its results; nothing for what is None."""
    return (
        empty(x, x.shape, x.dtype, channel_last),
        weight.new_empty(weight.shape),
        x.new_empty(0) if bias is None else bias.new_empty(bias.shape),
        x.new_empty(0) if initial is None else empty(initial, initial.shape, initial.dtype, channel_last),
    )


def precision(x):
    """What a tensor is computed in: float64 for float64, else float32."""
    return torch.promote_types(x.dtype, torch.float32)


def is_channel_last(x):
    """Whether the channels of x (B, D, L) lie next to each other in memory and time steps do not."""
    return x.stride(1) == 1 and x.stride(2) != 1


def check(x, weight, bias=None, activation=None, *, steps=True):
    """Raise ValueError for what no backend could take.

    ``steps`` says that x must be (B, D, L); an update takes (B, D) too.
    """
    if activation not in (None, "silu", "swish"):
        raise ValueError(f"activation is {activation!r}; it must be None, 'silu' or 'swish'.")
    if x.dim() != 3 and (steps or x.dim() != 2):
        raise ValueError(f"x has shape {tuple(x.shape)}; it must be (B, D, {'L' if steps else 'L) or (B, D'}).")
    if not x.is_floating_point():
        raise ValueError(f"x has dtype {x.dtype}; it must be a floating-point type.")
    if weight.dim() != 2 or weight.shape[0] != x.shape[1] or weight.shape[1] == 0:
        raise ValueError(f"weight has shape {tuple(weight.shape)}; it must be (D, W) with D = {x.shape[1]}, W > 0.")
    check_shapes({"bias": (bias, (x.shape[1],))})
    check_devices("x", x.device, weight=weight, bias=bias)
