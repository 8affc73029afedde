"""Joules are what counters of the machine say, which are stood in for here."""

import sys
from argparse import Namespace

import pytest
import torch

from serenanet_modules.inference.energy import energy, used


@pytest.fixture(name="meters")
def _meters(tmp_path):
    """A function that lets Linux say how many joules packages have used."""

    def say(**joules):
        for name, number in joules.items():
            folder = tmp_path / name.replace("_", ":").replace("rapl", "intel-rapl")
            folder.mkdir(exist_ok=True)
            (folder / "energy_uj").write_text(str(number * 10**6), encoding="ascii")
            (folder / "max_energy_range_uj").write_text(str(1000 * 10**6), encoding="ascii")
            (folder / "name").write_text(f"{'psys' if name == 'rapl_2' else 'package-0'}\n", encoding="ascii")
        return energy("cpu", tmp_path)

    return say


def test_energy_is_what_the_machine_tells(meters):
    """The processors' packages, not their parts nor the whole machine; counters that begin anew are followed."""
    assert used(meters(), meters()) is None
    before = meters(rapl_0=900, rapl_1=2, rapl_2=100, rapl_0_0=100)
    assert used(before, meters(rapl_0=905, rapl_1=4, rapl_2=900, rapl_0_0=200)) == 7
    assert used(before, meters(rapl_0=100, rapl_1=2)) == 200
    assert used(before, {}) is None and used({}, before) is None


def test_energy_of_a_gpu(monkeypatch, meters):
    """Its own counter, by its identity; nothing where NVML is not there, or the GPU does not count."""
    meters(rapl_0=1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Namespace(uuid="12-34"))
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert energy("cuda") == {}
    nvml = Namespace(NVMLError=OSError, nvmlInit=lambda: None, nvmlShutdown=lambda: None, counted=iter([5000, 9500]))
    nvml.nvmlDeviceGetHandleByUUID = lambda name: {"GPU-12-34": nvml}[name]
    nvml.nvmlDeviceGetTotalEnergyConsumption = lambda handle: next(handle.counted)
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert used(energy("cuda:0"), energy("cuda:0")) == 4.5

    def cannot(handle):
        raise nvml.NVMLError

    nvml.nvmlDeviceGetTotalEnergyConsumption = cannot
    assert energy("cuda") == {}
