"""Depthwise convolutions as sums over taps, one output step after the other."""

import torch


def causal_conv1d_fn(
    x,
    weight,
    bias=None,
    seq_idx=None,
    initial_states=None,
    return_final_states=False,
    final_states_out=None,
    activation=None,
):
    """y_t = bias + sum_w weight_w x_{t - W + 1 + w} over the steps of the same sequence; shapes as in `ops`."""
    x, weight, bias, initial = _double(x, weight, bias, initial_states)
    before = weight.shape[1] - 1
    if initial is None:
        initial = x.new_zeros(*x.shape[:2], before)
    window = torch.cat([initial, x], dim=2)
    outputs = []
    for t in range(x.shape[2]):
        inputs = window[:, :, t : t + before + 1]
        if seq_idx is not None:
            inputs = inputs * _heard(seq_idx, t, before)[:, None]
        y = _activated(_weighted(inputs, weight, bias), activation)
        outputs.append(y if seq_idx is None else y * (seq_idx[:, t, None] >= 0))
    y = torch.stack(outputs, dim=-1) if outputs else torch.zeros_like(x)
    if not return_final_states:
        return y
    final = window[:, :, x.shape[2] :]
    return y, final if final_states_out is None else final_states_out.copy_(final)


def causal_conv1d_update(
    x, conv_state, weight, bias=None, activation=None, cache_seqlens=None, conv_state_indices=None
):
    """Step by step for each row of the batch; writes to ``conv_state`` and returns the output."""
    weight, bias = _double(weight, bias)
    size, before = conv_state.shape[2], weight.shape[1] - 1
    steps = x.unsqueeze(2) if x.dim() == 2 else x
    output = torch.zeros(steps.shape, dtype=torch.float64)
    for b in range(len(steps)):
        row = b if conv_state_indices is None else int(conv_state_indices[b])
        if row < 0:
            continue  # no utterance
        held = conv_state[row]
        for t in range(steps.shape[2]):
            step = steps[b, :, t]
            if cache_seqlens is None:
                window = torch.cat([held[:, size - before :], step[:, None]], dim=1)
                held.copy_(torch.cat([held, step[:, None]], dim=1)[:, 1:])
            else:
                now = int(cache_seqlens[b]) + t
                past = [held[:, (now - before + k) % size] for k in range(before)]
                window = torch.stack([*past, step], dim=1)
                if size:
                    held[:, now % size] = step
            output[b, :, t] = _activated(_weighted(window.double(), weight, bias), activation)
    return output.squeeze(2) if x.dim() == 2 else output


def depthwise_conv1d(x, weight, bias=None, padding="same", activation=None):
    """As the causal convolution, with W - 1 inputs before each step or with half of them after it."""
    x, weight, bias = _double(x, weight, bias)
    after = 0 if padding == "causal" else weight.shape[1] // 2
    x = torch.cat([x, x.new_zeros(*x.shape[:2], after)], dim=2)
    return causal_conv1d_fn(x, weight, bias, activation=activation)[..., after:]


def _double(*tensors):
    return [None if t is None else t.double() for t in tensors]


def _weighted(window, weight, bias):
    y = (window * weight).sum(-1)
    return y if bias is None else y + bias


def _activated(y, activation):
    return y if activation is None else y * torch.sigmoid(y)


def _heard(seq_idx, t, before):
    """(B, W): which of the last steps belong to the sequence of step t."""
    steps = [seq_idx[:, s] == seq_idx[:, t] if s >= 0 else seq_idx[:, t] != seq_idx[:, t] for s in range(t - before, t)]
    return torch.stack([*steps, seq_idx[:, t] == seq_idx[:, t]], dim=1)
