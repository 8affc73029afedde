"""Joules that a device has used: Intel's RAPL for processors (Linux's powercap), NVML for NVIDIA's GPUs."""

from pathlib import Path
from typing import NamedTuple

import torch

METERS = Path("/sys/class/powercap")


class Reading(NamedTuple):
    """A counter's joules, and those at which it begins anew, 0 where it does not."""

    joules: float
    range: float = 0.0


def energy(device, meters=METERS):
    """What counters say now.

    Parameters
    ----------
    device : str
        cpu, cuda, cuda:0.
    meters : Path

    Returns
    -------
    dict of str to Reading
        A GPU's own, or those of all of the machine's processors; {} where nothing tells.
    """
    device = torch.device(device)
    return _of_gpu(device) if device.type == "cuda" else _of_processors(meters)


def used(before, after):
    """Joules between two answers of `energy`; None where nothing told."""
    if not before or before.keys() != after.keys():
        return None
    passed = {name: after[name].joules - reading.joules for name, reading in before.items()}
    passed = {name: joules if joules >= 0 else joules + after[name].range for name, joules in passed.items()}
    return sum(passed.values()) if min(passed.values()) >= 0 else None


def _of_processors(meters):
    packages = sorted(folder for folder in meters.glob("intel-rapl:*") if folder.name.count(":") == 1)
    try:
        packages = [folder for folder in packages if _text(folder / "name").startswith("package")]
        return {folder.name: Reading(*_joules(folder)) for folder in packages}
    except (OSError, ValueError):  # only root may read them on most machines
        return {}


def _joules(folder):
    return [int(_text(folder / name)) / 1e6 for name in ("energy_uj", "max_energy_range_uj")]


def _text(file):
    return file.read_text(encoding="ascii")


def _of_gpu(device):
    try:
        import pynvml
    except ImportError:
        return {}
    name = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
    try:
        pynvml.nvmlInit()
        try:
            counted = pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByUUID(name))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:  # GPUs before Volta do not count
        return {}
    return {name: Reading(counted / 1e3)}
