"""Which implementation of an operation runs: chosen by argument, by environment variable, or automatically.

``fused``  the CUDA and Triton kernels of mamba_ssm and causal_conv1d
``cpp``    our C++ kernels for the CPU, compiled at first use
``torch``  plain PyTorch, on any device

An implementation says why it cannot take a call; the automatic choice is the first of `BACKENDS` without such a
reason, and asking for one that has a reason raises `BackendError` with it.
"""

import os
from collections.abc import Callable, Mapping

BACKENDS = ("fused", "cpp", "torch")  # fastest first
VARIABLE = "SERENANET_OPS_BACKEND"


class BackendError(RuntimeError):
    """The backend asked for does not exist or cannot run this call."""


def requested(backend: str | None) -> str | None:
    """The backend that the argument, or else the environment variable, asks for; None for the automatic choice."""
    source = "backend"
    if backend is None:
        backend, source = os.environ.get(VARIABLE) or None, VARIABLE
    if backend is not None and backend not in BACKENDS:
        raise BackendError(f"{source}={backend!r}: choose one of {', '.join(BACKENDS)}, or nothing for the fastest.")
    return backend


def choose(op: str, backend: str | None, reasons: Mapping[str, Callable[[], str | None]]) -> str:
    """The backend that runs one call.

    Parameters
    ----------
    op : str
        Name of the operation, for messages.
    backend : str, optional
        What the caller asked for.
    reasons : mapping
        By backend, a function that tells why it cannot run this call, or None if it can.

    Raises
    ------
    BackendError
        If the backend asked for cannot run, or none can.

    Examples
    --------
    >>> choose("scan", None, {"fused": lambda: "no GPU", "cpp": lambda: None, "torch": lambda: None})
    'cpp'
    >>> choose("scan", "fused", {"fused": lambda: "no GPU"})
    Traceback (most recent call last):
    serenanet_modules.ops.backends.BackendError: scan cannot run on the backend 'fused': no GPU.
    """
    backend = requested(backend)
    said = {}
    for name in BACKENDS if backend is None else (backend,):
        said[name] = reasons[name]() if name in reasons else "it has no such kernel"
        if said[name] is None:
            return name
    if backend is not None:
        raise BackendError(f"{op} cannot run on the backend {backend!r}: {said[backend]}.")
    raise BackendError(f"{op} cannot run: " + "; ".join(f"{name}: {why}" for name, why in said.items()) + ".")
