"""Depthwise convolution of any width, centred or causal, for the places where torch's grouped Conv1d is slow."""

from serenanet_modules.ops.causal_conv1d import convolution
from serenanet_modules.ops.conv import check


def depthwise_conv1d(x, weight, bias=None, padding="same", activation=None, *, backend=None):
    """Convolve each channel with a filter of its own; as long as the input.

    The result is that of ``torch.nn.functional.conv1d(x, weight, bias, padding="same", groups=D)``, or of the causal
    convolution with ``W - 1`` zeros before x. On a CPU it costs a fraction of it.

    Parameters
    ----------
    x : Tensor
        (B, D, L). Channels may lie next to each other in memory (``x.stride(1) == 1``): no copy is made.
    weight : Tensor
        (D, W), or (D, 1, W) as a Conv1d keeps it.
    bias : Tensor, optional
        (D,).
    padding : {"same", "causal"}
        Whether ``(W - 1) // 2`` of the W inputs that a step reads lie before it, or W - 1.
    activation : {None, "silu", "swish"}
        Applied to the sum.
    backend : {None, "fused", "cpp", "torch"}
        By default the fastest that can run.

    Returns
    -------
    Tensor
        (B, D, L) in the dtype of x.

    Raises
    ------
    ValueError
        If shapes or options do not fit each other.
    BackendError
        If the backend asked for cannot run.

    Examples
    --------
    >>> import torch
    >>> x, weight = torch.tensor([[[1.0, 2.0, 3.0]]]), torch.tensor([[100.0, 10.0, 1.0]])
    >>> depthwise_conv1d(x, weight)
    tensor([[[ 12., 123., 230.]]])
    >>> depthwise_conv1d(x, weight, padding="causal")
    tensor([[[  1.,  12., 123.]]])
    """
    if weight.dim() == 3 and weight.shape[1] == 1:
        weight = weight.squeeze(1)
    check(x, weight, bias, activation)
    if padding not in ("same", "causal"):
        raise ValueError(f"padding is {padding!r}; it must be 'same' or 'causal'.")
    causal = padding == "causal"
    before = weight.shape[1] - 1 if causal else (weight.shape[1] - 1) // 2
    run = convolution("depthwise_conv1d", backend, x, weight, causal=causal)
    return run(x, weight, bias, None, None, before, activation is not None)
