"""In which numbers matrices are multiplied, what that needs of a machine, and its refusal in a sentence.

Model code knows nothing of it: `Context` sets what PyTorch has for whole models, `runtime.lowered` the linear layers
that compute in eight bits or four.
"""

import logging
from dataclasses import dataclass
from importlib import metadata

from serenanet_modules.errors import UserError

logger = logging.getLogger(__name__)

TORCHAO = "0.18.0"  # whose internals `runtime.lowered` calls


@dataclass(frozen=True)
class Kind:
    """A precision.

    Attributes
    ----------
    autocast : str
        What `torch.autocast` is asked for, ``fp32`` for nothing.
    capability : tuple of int, optional
        The least compute capability of a GPU that has it; None where any machine does.
    multiple : int
        Of which both sizes of a linear layer must be one to be converted; 0 where layers stay as they are.
    torchao : bool
        Whether torchao converts them.
    emulation : bool
        Whether any machine can round as that GPU does.
    """

    autocast: str
    capability: tuple[int, int] | None = None
    multiple: int = 0
    torchao: bool = False
    emulation: bool = False


KINDS = {
    "fp32": Kind("fp32"),
    "tf32": Kind("fp32", (8, 0), multiple=1, emulation=True),
    "bf16": Kind("bf16"),
    "fp16": Kind("fp16", (5, 3)),
    "fp8": Kind("bf16", (8, 9), multiple=16, torchao=True, emulation=True),
    "mxfp8": Kind("bf16", (10, 0), multiple=32, torchao=True, emulation=True),
    "mxfp4": Kind("bf16", (10, 0), multiple=32, torchao=True, emulation=True),
}
FOUR_BITS = ("nf4", "int4")  # of a language model alone
QUANTISATIONS = ("int8", *FOUR_BITS)  # of a finished model: `runtime.quantised`


def check_precision(name, device, emulated, what):
    """Refuse a precision that this machine lacks, and warn of one that it computes slowly.

    Parameters
    ----------
    name : str
        One of `KINDS`.
    device : str
        Where models run: cpu, cuda, cuda:0.
    emulated : bool
    what : str
        How it was asked for, which the sentence begins with.

    Raises
    ------
    UserError
        What it needs, what is here, and what to use.
    """
    kind = KINDS[name]
    if emulated and kind.capability is not None and not kind.emulation:
        raise UserError(f"{what} {name} cannot be emulated; use bf16")
    if kind.torchao:
        torchao_or_refused(f"{what} {name}", "bf16")
    if name == "bf16" and not device.startswith("cuda") and not cpu_has_bf16():
        logger.warning("%s bf16 is many times slower than fp32 on this CPU, which has no bf16 units; use fp32", what)
    if kind.capability is None or emulated:
        return
    least, study = "{}.{}".format(*kind.capability), ", or --emulate_precision" * kind.emulation
    if not device.startswith("cuda"):
        raise UserError(
            f"{what} {name} needs a GPU; use bf16 or fp32 on a CPU{study} (it needs compute capability {least})"
        )
    import torch

    if (has := torch.cuda.get_device_capability(device)) < kind.capability:
        raise UserError(
            f"{what} {name} needs a GPU of compute capability {least}, and {torch.cuda.get_device_name(device)} has "
            f"{has[0]}.{has[1]}; use bf16{study}"
        )


def cpu_has_bf16():
    """Whether this CPU multiplies bf16 matrices by units of its own; True where PyTorch cannot tell."""
    import torch

    return not torch.backends.mkldnn.is_available() or torch.ops.mkldnn._is_mkldnn_bf16_supported()


def torchao_or_refused(what, instead):
    """Refuse ``what`` where the torchao that it is made for is not here, and say what to use ``instead``."""
    try:
        found = metadata.version("torchao")
    except metadata.PackageNotFoundError:
        found = None
    if found != TORCHAO:
        here = f"torchao {found} is here" if found else "it is not here"
        raise UserError(
            f"{what} needs torchao {TORCHAO}, and {here}; pip install 'serenanet[lowprecision]', or use {instead}"
        )


class Context:
    """What PyTorch is asked for while a model computes; may be entered any number of times, one after the other.

    Whether the GPU's TF32 units are used is set for what follows too, as a backward pass does: until another `Context`
    is entered.

    Parameters
    ----------
    name : str
        One of `KINDS`.
    device_type : str
        cpu or cuda.
    """

    def __init__(self, name, device_type):
        import torch

        self._tf32, autocast = name == "tf32", KINDS[name].autocast
        dtypes = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
        self._autocast = torch.autocast(device_type, dtypes[autocast]) if autocast != "fp32" else None

    def __enter__(self):
        import torch

        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = self._tf32
        if self._autocast is not None:
            self._autocast.__enter__()
        return self

    def __exit__(self, *error):
        if self._autocast is not None:
            self._autocast.__exit__(*error)
        return False
