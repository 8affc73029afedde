"""C++ kernels for the CPU: compiled once by torch's extension loader, kept in its cache, called through ctypes.

The sources know no PyTorch header: they compile in seconds and the result outlives an update of PyTorch.
"""

import contextlib
import ctypes
import functools
import hashlib
import logging
import os
import platform
import shlex
import shutil
import sysconfig
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from serenanet_modules.ops.observers import constant

logger = logging.getLogger(__name__)

FOLDER = Path(__file__).parent
FLAGS = [
    "-O3",
    "-std=c++17",
    "-fopenmp",
    "-march=native",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-ffp-contract=fast",
]


class CompileError(RuntimeError):
    """The kernels could not be built or loaded; the message says why, in one line."""


@constant
def why_not() -> str | None:
    """None where the kernels can run, else the reason; the first call builds them if the cache has none."""
    return _why_not()


def why_not_for(tensor: torch.Tensor) -> str | None:
    """As `why_not`, of a call with this tensor and those beside it."""
    if tensor.device.type != "cpu":
        return f"it runs on the CPU, and the tensors are on {tensor.device}"
    return why_not()


@functools.cache
def _why_not():
    try:
        _load()
    except CompileError as error:
        logger.warning("The C++ kernels cannot be used, but plain PyTorch, which is slower: %s", error)
        return str(error)
    return None


def call(name: str, dtype: torch.dtype, *arguments: torch.Tensor | Sequence[int] | int | None) -> None:
    """Run the C function ``serena_<name>_<f32 or f64>``; `why_not` must be None.

    Its parameters have 64 bits each: the address of a tensor's first element, null for None, the address of an array
    of the integers of a sequence, or an integer.
    """
    _function(name, dtype, len(arguments))(*map(_parameter, arguments))


@functools.cache
def _function(name, dtype, parameters):
    function = getattr(_load(), f"serena_{name}_{'f64' if dtype == torch.float64 else 'f32'}")
    function.argtypes, function.restype = [ctypes.c_void_p] * parameters, None
    return function


def _parameter(value):
    if isinstance(value, torch.Tensor):
        return value.data_ptr()
    if isinstance(value, (list, tuple)):
        return (ctypes.c_int64 * len(value))(*value)
    return value


def load(folder: Path) -> ctypes.CDLL:
    """The library of a folder's sources, built if the cache has none; `CompileError` where that cannot be."""
    return _load(folder)


def library_path(folder: Path | None = None) -> Path:
    """Where the built library lies: one file per source text, flags, and kind of processor."""
    cache = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions")
    return cache / "serenanet" / f"kernels-{_key(folder or FOLDER)}.so"


def _key(folder):
    digest = hashlib.sha256(" ".join([*FLAGS, platform.machine(), _processor()]).encode())
    for source in sorted(folder.glob("*.[ch]*")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _processor():
    """What -march=native depends on; a cache may be shared by machines with different processors."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    wanted = ("vendor_id", "cpu family", "model", "flags", "Features", "CPU part")
    return "\n".join(dict.fromkeys(line for line in lines if line.split("\t")[0].strip() in wanted))


@functools.cache
def _load(folder=None):
    folder = folder or FOLDER
    path = library_path(folder)
    try:
        if not path.exists():
            _build(path, folder)
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise CompileError(f"{path}: {error}") from None


def _build(path, folder):
    """Build in a folder of our own and rename: no lock to be left behind, no half-written library to be loaded."""
    compiler = (shlex.split(os.environ.get("CXX", "")) or ["c++"])[0]  # "ccache g++" is allowed
    with _own_tools():
        for tool, package in ((compiler, "a C++ compiler (Debian: g++)"), ("ninja", "ninja")):
            if shutil.which(tool) is None:
                raise CompileError(f"there is no {tool!r} on the path; install {package}")
        _compile(path, folder)


def _compile(path, sources):
    logger.warning("Compiling the C++ kernels, once on this machine (some seconds)")
    began = time.monotonic()
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder, _quiet_loader():
        from torch.utils import cpp_extension  # slow to import, needed only here

        try:
            cpp_extension.load(
                name="serenanet_kernels",
                sources=[str(source) for source in sorted(sources.glob("*.cpp"))],
                extra_cflags=FLAGS,
                extra_ldflags=["-fopenmp"],
                build_directory=folder,
                is_python_module=False,
            )
        except Exception as error:  # the loader raises whatever its own checks of the compiler raise
            raise CompileError(_first_error(str(error))) from None
        built = next(Path(folder).glob("*.so"))
        os.replace(built, path)
    logger.warning("Compiled into %s in %.0f s", path, time.monotonic() - began)


@contextlib.contextmanager
def _own_tools():
    """Find ninja beside a Python that was started without its virtual environment being activated."""
    path = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = os.pathsep.join([path, sysconfig.get_path("scripts")])
    try:
        yield
    finally:
        os.environ["PATH"] = path


@contextlib.contextmanager
def _quiet_loader():
    """Without the loader's warnings about CUDA and about compilers other than PyTorch's own: neither matters here."""
    chatter = logging.getLogger("torch.utils.cpp_extension")
    level = chatter.level
    chatter.setLevel(logging.ERROR)
    try:
        yield
    finally:
        chatter.setLevel(level)


def _first_error(text):
    lines = text.splitlines()
    return next((line.strip() for line in lines if "error:" in line), lines[0] if lines else "the build failed")[:300]
