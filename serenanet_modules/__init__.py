"""SerenaNet: state-space speech recognition for languages with little data."""

import os

__version__ = "0.1.0"

# OpenMP reads this when torch loads it, so it is set before anything imports torch. A thread that spins while it waits
# takes its core from the thread it waits for: with one of two cores busy elsewhere, training was 30 times slower.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# oneDNN compiles a kernel for each new shape and keeps 1024 of them. Speech comes in any length: a training or a server
# kept 150 MB of kernels that were rarely used again.
os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
