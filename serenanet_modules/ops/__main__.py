"""``python -m serenanet_modules.ops``: which operations can run here on which backend, and are they right?

Every backend that can run is compared with the float64 references, output and gradients; the exit status is 1 if one
of them is off.
"""

import argparse
import os
import sys
from importlib.metadata import PackageNotFoundError, version

os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")  # Triton's float32 products are TF32 otherwise

import torch  # noqa: E402

from serenanet_modules.ops import cpp  # noqa: E402
from serenanet_modules.ops.backends import BACKENDS, VARIABLE, BackendError, requested  # noqa: E402
from serenanet_modules.ops.selfcheck import checks, errors  # noqa: E402


def main(argv=None):
    """Print the facts and the table; 0 if all that can run is right, else 1."""
    parser = argparse.ArgumentParser(prog="python -m serenanet_modules.ops", description=__doc__.splitlines()[0])
    parser.add_argument("--tolerance", type=float, default=1e-4, help="largest relative error (default %(default)g)")
    options = parser.parse_args(argv)
    for name, fact in facts():
        print(f"{name:<22} {fact}")
    table, reasons, failures = check(options.tolerance)
    failures += unusable(table)
    width = max(map(len, table)) + 2
    print("\nlargest relative error in float32, output / gradients (- no gradients; no: cannot run)")
    print(f"{'':<{width}}" + "".join(f"{backend:<20}" for backend in BACKENDS).rstrip())
    for name, cells in table.items():
        print(f"{name:<{width}}" + "".join(f"{cell:<20}" for cell in cells).rstrip())
    print()
    for (backend, reason), names in reasons.items():
        print(f"no {backend} for {'any' if len(names) == len(table) else ', '.join(names)}: {reason}")
    for failure in failures:
        print(f"WRONG: {failure}")
    if not failures:
        print(f"everything that can run is within {options.tolerance:g} of float64")
    return 1 if failures else 0


def facts():
    """What the choice of a backend and its speed depend on, as (name, fact)."""
    yield "torch", f"{torch.__version__}, {torch.get_num_threads()} thread(s), {_processors()} processor(s)"
    yield "OpenMP", ", ".join(f"{name}={os.environ.get(name, '')}" for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"))
    gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield "CUDA", ", ".join(gpus) or "no device"
    yield "fused", ", ".join(f"{package} {_version(package)}" for package in ("mamba-ssm", "causal-conv1d"))
    yield "cpp", cpp.why_not() or str(cpp.library_path())
    yield VARIABLE, os.environ.get(VARIABLE) or "not set: the fastest backend that can run"


def unusable(table):
    """What is wrong with the environment variable's choice: no line or one."""
    try:
        asked = requested(None)
    except BackendError as error:
        return [str(error)]
    if asked and all(cells[BACKENDS.index(asked)] == "no" for cells in table.values()):
        return [f"{VARIABLE} asks for {asked}, which can run nothing here"]
    return []


def check(tolerance):
    """Try every operation on every backend.

    Returns
    -------
    table : dict
        By operation, one cell per backend.
    reasons : dict
        By (backend, reason), the operations that cannot run.
    failures : list of str
        What is off by more than ``tolerance``, or broke.
    """
    table, reasons, failures = {}, {}, []
    for name, one in checks().items():
        table[name] = []
        for backend in BACKENDS:
            try:
                output, gradients = errors(name, one, backend)
            except BackendError as error:
                reason = str(error).split(": ", 1)[-1].rstrip(".")  # without "... cannot run on the backend ..."
                reasons.setdefault((backend, reason), []).append(name)
                table[name].append("no")
                continue
            except Exception as error:  # a broken backend is what this command is here to tell
                failures.append(f"{name}, {backend}: {type(error).__name__}: {error}")
                table[name].append("broken")
                continue
            worst = output if gradients is None else max(output, gradients)
            table[name].append(f"{output:.0e} / " + ("-" if gradients is None else f"{gradients:.0e}"))
            if not worst <= tolerance:
                failures.append(f"{name}, {backend}: relative error {worst:.1e}, allowed {tolerance:.0e}")
    return table, reasons, failures


def _processors():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(package):
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


if __name__ == "__main__":
    sys.exit(main())
