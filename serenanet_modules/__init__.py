"""SerenaNet: state-space speech recognition for languages with little data.

>>> from serenanet_modules import Recognizer, UserError
>>> Recognizer.from_folder("results/CommonVoice/sw/serenanet/1986").transcribe("clip.mp3").text  # doctest: +SKIP

The names in ``__all__`` are this package's public ones, and what a hyper-parameter file may name is, which rooms
export. All else is private and may change with any version.
"""

import importlib
import os

__version__ = "0.1.0"
__all__ = ["Recognizer", "Segment", "Token", "Transcript", "UserError", "Word", "__version__"]

_HOMES = {  # of the public names, whose modules are imported when they are asked for: the package itself must not wait
    "Recognizer": "inference.recognizer",
    **dict.fromkeys(("Segment", "Token", "Transcript", "Word"), "inference.transcript"),
    "UserError": "errors",
}

# OpenMP reads this when torch loads it, so it is set before anything imports torch. A thread that spins while it waits
# takes its core from the thread it waits for: with one of two cores busy elsewhere, training was 30 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# oneDNN compiles a kernel for each new shape and keeps 1024 of them. Speech comes in any length: a training or a server
# kept 150 MB of kernels that were rarely used again.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    return sorted({*globals(), *_HOMES})
