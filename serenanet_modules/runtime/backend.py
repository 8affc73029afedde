"""The backend that the environment asks for, and devices, looked at before the first operation would."""

import torch

from serenanet_modules.errors import UserError
from serenanet_modules.ops import cpp
from serenanet_modules.ops.backends import VARIABLE, BackendError, requested


def check_backend(device):
    """Refuse a backend that ``SERENANET_OPS_BACKEND`` asks for and that cannot run.

    Parameters
    ----------
    device : str or torch.device
        Where models run, the CPU or a GPU.

    Raises
    ------
    UserError
        If there is no such backend, or none for this device.
    """
    try:
        backend = requested(None)
    except BackendError as error:
        raise UserError(str(error)) from None
    on_cpu = str(device).startswith("cpu")
    if backend == "fused" and on_cpu:
        raise UserError(f"{VARIABLE}=fused: its kernels need a GPU, and this runs on the CPU; choose cpp or torch")
    if backend == "cpp" and not on_cpu:
        raise UserError(f"{VARIABLE}=cpp: its kernels run on the CPU, and this runs on {device}; choose fused or torch")
    if backend == "cpp" and (why := cpp.why_not()):
        raise UserError(f"{VARIABLE}=cpp: {why}")


def usable_device(name):
    """The device of a name; refuses one that is not here."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"device {name}: is not a device; give cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError(f"device {name}: this machine has no usable GPU; give cpu")
    try:
        torch.ones(1, device=device).tolist()
    except (RuntimeError, NotImplementedError) as error:  # a second GPU, or what this PyTorch was built without
        reason = str(error).partition("\n")[0]
        raise UserError(f"device {name}: cannot be used here ({reason}); give cpu") from None
    check_backend(device)
    return device
