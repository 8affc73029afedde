"""What a figure needs to be believed: command, commit, environment, hardware."""

import os
import platform
import shlex
import subprocess
import sys
from importlib.metadata import distributions, version
from pathlib import Path

import torch

PACKAGES = (
    "torch",
    "torchaudio",
    "speechbrain",
    "hyperpyyaml",
    "sentencepiece",
    "scikit-learn",
    "numpy",
)


def provenance():
    """Describe this run; call it at the start, before the checkout can change.

    Returns
    -------
    dict
        command, commit (with ``+`` where files differ from it), python, packages, platform, processor, threads,
        device.
    """
    return {
        "command": " ".join(shlex.quote(part) for part in ["python", *sys.argv]),
        "commit": commit(),
        "python": platform.python_version(),
        "packages": {name: version(name) for name in PACKAGES},
        "platform": platform.platform(),
        "processor": processor(),
        "threads": torch.get_num_threads(),
        "processes": int(os.environ.get("WORLD_SIZE", 1)),
    }


def environment():
    """Python, the GPU and all installed packages with their versions, a line each."""
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    packages = {f"{found.metadata['Name']}=={found.version}" for found in distributions()}
    return "\n".join([f"Python {sys.version}", f"GPU: {gpu}", *sorted(packages, key=str.lower), ""])


def device_name(device):
    """The GPU's name, or ``cpu``."""
    return torch.cuda.get_device_name(device) if str(device).startswith("cuda") else str(device)


def commit():
    """Commit of the checkout that this package runs from, ``+`` if it was changed, or None outside one."""
    here = Path(__file__).parent
    try:
        options = {"cwd": here, "capture_output": True, "text": True, "check": True, "timeout": 10}
        head = subprocess.run(["git", "rev-parse", "HEAD"], **options).stdout.strip()
        status = ["git", "--no-optional-locks", "status", "--porcelain", "-uno"]  # writes nothing
        changed = subprocess.run(status, **options).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changed else "")


def processor():
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
