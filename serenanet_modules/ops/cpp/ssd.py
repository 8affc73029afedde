"""Mamba-2's scan by the kernel of ssd.cpp, as custom ops that torch.compile and torch.export pass through."""

import torch

from serenanet_modules.ops import cpp
from serenanet_modules.ops.observers import bare, custom_op, wants_gradients

AGAIN = 1 << 19  # numbers of state that the backward pass forms again at once for one head
LONGEST = 128  # steps between kept states; fewer where a state is large
WIDEST = 64  # at least the channels of a tile in ssd.cpp
TASKS = 16  # independent pieces of work in the backward pass, if the sizes give as many
ARGUMENTS = "Tensor x, Tensor dt, Tensor log_decay, Tensor B, Tensor C, Tensor? D"


def scan(x, dt, log_decay, B, C, D=None, initial=None):
    """Scan on the CPU, all tensors in one dtype, float32 or float64.

    Parameters
    ----------
    x : Tensor
        (B, L, H, P).
    dt, log_decay : Tensor
        Step size and logarithm of the decay (B, L, H).
    B, C : Tensor
        (B, L, G, N).
    D : Tensor, optional
        (H, P).
    initial : Tensor, optional
        (B, H, P, N).

    Returns
    -------
    (Tensor, Tensor)
        y (B, L, H, P) and the last state (B, H, P, N).
    """
    tensors = (x, dt, log_decay, B, C, D, initial)
    run = _forward if bare(*tensors) else _forward_op
    y, last, _ = run(*tensors, wants_gradients(*tensors))
    return y, last


def _forward(x, dt, log_decay, B, C, D, initial, save):
    x, B, C = _rows(x), _rows(B), _rows(C)
    D, initial = _contiguous(D), _contiguous(initial)
    y, last, starts = _outputs(x, B, save)
    written = -(-x.shape[1] // _chunk(B.shape[3], x.shape[3])) if _padded(x.shape[3]) == x.shape[3] else 0
    starts[written:] = 0
    steps, decay = _by_head(dt), _by_head(log_decay).exp()
    threads = torch.get_num_threads()
    scratch = x.new_empty(threads, B.shape[3] * _padded(min(x.shape[3], WIDEST)))
    tensors = (x, steps, decay, B, C, D, initial, y, last, starts if save else None, scratch)
    cpp.call("ssd_forward", x.dtype, _sizes(x, B), _strides(x, B, C), *tensors, scratch.shape[1], threads)
    return y, last, starts


_forward_op = custom_op(
    "serenanet::ssd_cpp",
    _forward,
    mutates_args=(),
    schema=f"({ARGUMENTS}, Tensor? initial, bool save) -> (Tensor, Tensor, Tensor)",
)


@_forward_op.register_fake
def _(x, dt, log_decay, B, C, D, initial, save):
    return _outputs(x, B, save)


@custom_op(
    "serenanet::ssd_cpp_backward",
    mutates_args=(),
    schema=f"(Tensor grad_y, Tensor? grad_last, {ARGUMENTS}, Tensor starts) "
    "-> (Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)",
)
def _backward(grad_y, grad_last, x, dt, log_decay, B, C, D, starts):
    batch, length, heads, channels = x.shape
    groups, states = B.shape[2:]
    x, B, C, grad_y = _rows(x), _rows(B), _rows(C), _rows(grad_y)
    D, grad_last = _contiguous(D), _contiguous(grad_last)
    steps, decay = _by_head(dt), _by_head(log_decay).exp()
    splits = _splits(batch * groups, heads // groups)
    grad_x = x.new_empty(x.shape)
    grad_dt, grad_decay = torch.zeros_like(steps), torch.zeros_like(decay)
    grad_B, grad_C = x.new_zeros(2, splits, *B.shape)
    grad_D = x.new_empty(batch, heads, channels)
    grad_initial = x.new_empty(batch, heads, channels, states)
    threads = torch.get_num_threads()
    chunk, row = _chunk(states, channels), _padded(min(channels, WIDEST))
    rounded = -(-max(states, chunk) // 16) * 16
    scratch = x.new_empty(threads, (chunk + 2) * states * row + rounded + 3 * rounded * 16)
    tensors = (x, steps, decay, B, C, D, grad_y, grad_last, starts)
    tensors += (grad_x, grad_dt, grad_decay, grad_B, grad_C, grad_D, grad_initial, scratch)
    sizes, strides = [*_sizes(x, B), splits], _strides(x, B, C, grad_y)
    cpp.call("ssd_backward", x.dtype, sizes, strides, *tensors, scratch.shape[1], threads)
    grad_log_decay = (grad_decay * decay).transpose(1, 2).contiguous()
    grad_dt = grad_dt.transpose(1, 2).contiguous()
    return grad_x, grad_dt, grad_log_decay, grad_B.sum(0), grad_C.sum(0), grad_D.sum(0), grad_initial


@_backward.register_fake
def _(grad_y, grad_last, x, dt, log_decay, B, C, D, starts):
    batch, _, heads, channels = x.shape
    shapes = (x.shape, dt.shape, dt.shape, B.shape, C.shape, (heads, channels), (batch, heads, channels, B.shape[3]))
    return tuple(x.new_empty(shape) for shape in shapes)


def _setup(ctx, inputs, output):
    x, dt, log_decay, B, C, D, initial, _ = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(x, dt, log_decay, B, C, D, output[2])
    ctx.has_D, ctx.has_initial = D is not None, initial is not None


def _differentiate(ctx, grad_y, grad_last, _):
    x, *others = ctx.saved_tensors
    grad_y = torch.zeros_like(x) if grad_y is None else grad_y
    *grads, grad_D, grad_initial = _backward(grad_y, grad_last, x, *others)
    return *grads, grad_D if ctx.has_D else None, grad_initial if ctx.has_initial else None, None


_forward_op.register_autograd(_differentiate, setup_context=_setup)


def _splits(groups, heads):
    """Into how many tasks to divide the heads of a group; not by the number of threads, as sums depend on it."""
    divisors = [n for n in range(1, heads + 1) if heads % n == 0]
    return next((n for n in divisors if groups * n >= TASKS), heads)


def _sizes(x, B):
    return [*x.shape, *B.shape[2:], _chunk(B.shape[3], x.shape[3])]


def _strides(*tensors):
    return [stride for t in tensors for stride in t.stride()[:2]]


def _outputs(x, B, save):
    batch, length, heads, channels = x.shape
    states = B.shape[3]
    # at least 2 states if any: compilers and export treat sizes 0 and 1 apart
    chunks = length // _chunk(states, channels) + 2 if save else 0
    return (
        x.new_empty(x.shape),
        x.new_empty(batch, heads, channels, states),
        x.new_empty(chunks, batch, heads, _padded(channels), states),
    )


def _chunk(states, channels):
    """Steps between two states that the forward pass keeps."""
    return max(8, min(LONGEST, AGAIN // (states * min(channels, WIDEST))))


def _padded(channels):
    return (channels + 15) // 16 * 16


def _rows(t):
    """The tensor itself if its last two dimensions lie together in memory, as slices of a projection do."""
    return t if t.stride(3) == 1 and t.stride(2) == t.shape[3] else t.contiguous()


def _contiguous(t):
    return None if t is None else t.contiguous()


def _by_head(t):
    return t.transpose(1, 2).contiguous()
