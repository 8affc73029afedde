"""Trainings that give the same weights, bit by bit, on one machine: whatever number of threads it may use.

What PyTorch computes on a CPU depends on how many threads share the work: not only sums, but matrix products and even
functions of single numbers, whose vectors begin elsewhere. On the CPU all is therefore left to one thread. On a GPU
operations whose order is left to chance are refused.
"""

import os
import re
from collections import Counter
from contextlib import contextmanager

import torch
from threadpoolctl import threadpool_limits
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.ops.backends import VARIABLE

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"  # without which cuBLAS may take another kernel each time
SWITCHES = {  # of PyTorch, while it is on
    (torch.backends.cudnn, "benchmark"): False,
    (torch.backends.cudnn, "deterministic"): True,
    (torch.utils.deterministic, "fill_uninitialized_memory"): False,
}
REPDL = nn.Linear, nn.Conv2d, nn.BatchNorm1d, nn.BatchNorm2d  # whose likes RepDL has
REFUSAL = re.compile(r"(\S+) does not have a deterministic implementation")


def check_reproducible(device):
    """Refuse kernels whose gradients are summed in no order: those of mamba_ssm on a GPU.

    Parameters
    ----------
    device : str
        cpu, cuda, cuda:0.

    Raises
    ------
    UserError
    """
    if device.startswith("cuda") and os.environ.get(VARIABLE) == "fused":
        raise UserError(f"--reproducible: {VARIABLE}=fused is not deterministic; set it to torch")


def refuse_repdl(model):
    """Say what of a model RepDL, the library of operations that round alike everywhere, does not have.

    Raises
    ------
    UserError
        Always: it has neither CTC nor AdamW, and no linear layer for speech, whose inputs have three dimensions.
    """
    owners = [m for m in model.modules() if any(True for _ in m.parameters(recurse=False))]
    lacking = Counter(type(m).__name__ for m in owners if not isinstance(m, REPDL))
    named = ", ".join(f"{name} ({count})" for name, count in lacking.most_common())
    raise UserError(
        f"--reproducible repdl: RepDL lacks {sum(lacking.values())} of the {len(owners)} parts of this model that have "
        f"weights ({named or 'none'}), its Linear takes two dimensions where speech has three, and it lacks the CTC "
        "loss and AdamW; use --reproducible, which repeats a training bit by bit on one machine"
    )


@contextmanager
def reproducible(on=True):
    """Compute the same each time: on a CPU by one thread, on a GPU by operations that have an order.

    Parameters
    ----------
    on : bool
        Otherwise nothing changes.

    Raises
    ------
    UserError
        Naming an operation that cannot be computed so.
    """
    if not on:
        yield
        return
    threads, asked = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    before = {(holder, name): getattr(holder, name) for holder, name in SWITCHES}
    variables = {name: os.environ.get(name) for name in (WORKSPACE, VARIABLE)}
    try:
        torch.set_num_threads(1)
        torch.use_deterministic_algorithms(True)
        for (holder, name), value in SWITCHES.items():
            setattr(holder, name, value)
        os.environ.setdefault(WORKSPACE, ":4096:8")
        if torch.cuda.is_available():
            os.environ.setdefault(VARIABLE, "torch")
        with threadpool_limits(1):  # of what is no PyTorch, such as the clusters of PESSL
            yield
    except RuntimeError as error:
        if found := REFUSAL.search(str(error)):
            raise UserError(
                f"--reproducible: {found[1]} is not deterministic on this device; train on a CPU, or leave the "
                "option out"
            ) from error
        raise
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(asked)
        for (holder, name), value in before.items():
            setattr(holder, name, value)
        for name, value in variables.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
