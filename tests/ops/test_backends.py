"""The choice of a backend, and the C++ kernels' build with and without what it needs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from serenanet_modules.ops import causal_conv1d_fn, cpp, selective_scan_fn
from serenanet_modules.ops.backends import BACKENDS, VARIABLE, BackendError, choose, requested
from serenanet_modules.ops.observers import bare

ROOT = Path(__file__).parents[2]
HAS_COMPILER = pytest.mark.skipif(cpp.why_not() is not None, reason=str(cpp.why_not()))
SCAN = """
import torch
from serenanet_modules.ops.selective_scan import selective_scan_fn
one = torch.ones(1, 1, 3)
for _ in range(2):
    print(selective_scan_fn(one, one, torch.zeros(1, 1), one, one).flatten().tolist())
"""


def reasons(**said):
    return {name: (lambda why=why: why) for name, why in said.items()}


@pytest.fixture(autouse=True)
def no_variable(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_the_fastest_that_can_run():
    assert choose("op", None, reasons(fused=None, cpp=None, torch=None)) == "fused"
    assert choose("op", None, reasons(fused="no GPU", cpp="no compiler", torch=None)) == "torch"
    assert choose("op", None, reasons(torch=None)) == "torch"


def test_slower_ones_are_not_asked():
    """Asking may compile."""

    def never():
        raise AssertionError

    assert choose("op", None, {"fused": lambda: None, "cpp": never, "torch": never}) == "fused"
    assert choose("op", "torch", {"fused": never, "cpp": never, "torch": lambda: None}) == "torch"


def test_the_argument_beats_the_variable(monkeypatch):
    monkeypatch.setenv(VARIABLE, "cpp")
    assert requested(None) == "cpp"
    assert requested("torch") == "torch"
    assert choose("op", None, reasons(fused=None, cpp=None, torch=None)) == "cpp"
    monkeypatch.setenv(VARIABLE, "")
    assert requested(None) is None


def test_what_cannot_run_is_an_error_that_says_why(monkeypatch):
    with pytest.raises(BackendError, match="scan cannot run on the backend 'cpp': no compiler."):
        choose("scan", "cpp", reasons(fused=None, cpp="no compiler", torch=None))
    with pytest.raises(BackendError, match="'fused': it has no such kernel"):
        choose("scan", "fused", reasons(torch=None))
    with pytest.raises(BackendError, match="scan cannot run: fused: a; cpp: b; torch: c."):
        choose("scan", None, reasons(fused="a", cpp="b", torch="c"))
    with pytest.raises(BackendError, match="backend='triton': choose one of fused, cpp, torch"):
        choose("scan", "triton", reasons(torch=None))
    monkeypatch.setenv(VARIABLE, "cuda")
    with pytest.raises(BackendError, match=f"{VARIABLE}='cuda': choose one of"):
        choose("scan", None, reasons(torch=None))


def test_every_backend_has_a_name_once():
    assert len(set(BACKENDS)) == len(BACKENDS) == 3


def environment(cache, **changes):
    kept = {k: v for k, v in os.environ.items() if k not in (VARIABLE, "CXX", "PYTHONPATH")}
    return kept | {"TORCH_EXTENSIONS_DIR": str(cache), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | changes


def start(code, env):
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.fixture(name="elsewhere")
def _elsewhere(tmp_path, monkeypatch):
    """As on a machine with these variables, where nobody has looked for the kernels yet."""

    def forget():
        for found in (cpp._why_not, cpp._load, cpp._function):
            found.cache_clear()

    def elsewhere(**variables):
        for name, value in {"TORCH_EXTENSIONS_DIR": str(tmp_path / "cache"), "CXX": "", **variables}.items():
            monkeypatch.setenv(name, value)
        forget()

    yield elsewhere
    monkeypatch.undo()
    forget()


@pytest.fixture(name="warned")
def _warned(elsewhere, caplog, capfd):
    """Scan twice, which gives what it should; the warnings, beside which nothing is printed."""

    def warned(**variables):
        elsewhere(**variables)
        one = torch.ones(1, 1, 3)
        for _ in range(2):
            assert selective_scan_fn(one, one, torch.zeros(1, 1), one, one).flatten().tolist() == [1.0, 2.0, 3.0]
        assert capfd.readouterr() == ("", "")
        messages = [record.getMessage() for record in caplog.records]
        assert all(len(message.splitlines()) == 1 for message in messages)
        return messages

    return warned


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, "there is no 'c++' on the path; install a C++ compiler"),
        ({"CXX": "ccache no-such-compiler"}, "there is no 'ccache' on the path"),
    ],
)
def test_without_a_compiler_torch_takes_over_with_one_line(changes, why, tmp_path, warned):
    (message,) = warned(PATH=str(tmp_path / "empty"), **changes)
    assert why in message


def test_a_compiler_that_fails_is_told_in_one_line(tmp_path, warned):
    """A line of what it said stands in the warning, and asking for the backend is an error."""
    compiler = tmp_path / "broken"
    compiler.write_text("#!/bin/sh\n[ $# -lt 3 ] && exit\necho 'scan.cpp:1:1: error: out of ideas' >&2\nexit 1\n")
    compiler.chmod(0o755)
    first, second = warned(CXX=str(compiler))
    assert "Compiling" in first and "plain PyTorch, which is slower: scan.cpp:1:1: error: out of ideas" in second
    one = torch.ones(1, 1, 3)
    with pytest.raises(BackendError, match="cannot run on the backend 'cpp': scan.cpp:1:1: error: out of ideas"):
        selective_scan_fn(one, one, torch.zeros(1, 1), one, one, backend="cpp")
    assert not list((tmp_path / "cache").rglob("build-*")), "what a failed build leaves"


def test_a_cache_that_cannot_be_written_to(tmp_path, warned):
    (tmp_path / "cache").write_text("a file where a folder should be")
    *_, last = warned()
    assert "The C++ kernels cannot be used" in last and str(tmp_path) in last


def test_a_library_that_cannot_be_loaded(tmp_path, monkeypatch, warned):
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(tmp_path / "cache"))
    path = cpp.library_path()
    path.parent.mkdir(parents=True)
    path.write_text("not a library")
    (message,) = warned()
    assert "The C++ kernels cannot be used" in message


@HAS_COMPILER
@pytest.mark.slow
def test_two_processes_build_at_once(tmp_path):
    """Each into a folder of its own; one library is left, and a third process finds it and says nothing."""
    env = environment(tmp_path / "cache")
    code = SCAN + "from serenanet_modules.ops import cpp; print(cpp.why_not())"
    want = ["[1.0, 2.0, 3.0]"] * 2 + ["None"]
    both = [start(code, env) for _ in range(2)]
    for process in both:
        out, err = process.communicate()
        assert out.splitlines() == want, err
        assert ["Compil" in line for line in err.splitlines()] == [True, True], "no chatter of the loader"
    built = list((tmp_path / "cache").rglob("*"))
    assert [path.suffix for path in built if path.is_file()] == [".so"]
    assert not list((tmp_path / "cache").rglob("build-*"))
    out, err = start(code, env).communicate()
    assert out.splitlines() == want and err == ""


def test_each_source_and_processor_has_a_library_of_its_own(tmp_path, monkeypatch):
    path = cpp.library_path()
    assert cpp.library_path() == path
    monkeypatch.setattr(cpp, "_processor", lambda: "another")
    assert cpp.library_path() != path
    monkeypatch.undo()
    for source in cpp.FOLDER.glob("*.[ch]*"):
        shutil.copy(source, tmp_path)
    monkeypatch.setattr(cpp, "FOLDER", tmp_path)
    assert cpp.library_path() == path
    (tmp_path / "vec.h").write_text("// changed")
    assert cpp.library_path() != path


@HAS_COMPILER
def test_kernels_share_torchs_threads():
    """One pool of OpenMP threads: a second runtime's would compete with torch's for the processors."""
    assert cpp.why_not() is None
    try:
        mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()}
    except OSError:
        pytest.skip("no /proc")
    assert len([path for path in mapped if Path(path).name.startswith(("libgomp.so", "libomp.so"))]) == 1


def test_observers_see_one_node():
    """Without gradients an operation runs as the plain function it is, unless somebody records what happens."""
    u, A = torch.ones(1, 2, 3), -torch.ones(2, 4)
    projection = torch.ones(1, 4, 3)

    def run(u):
        return causal_conv1d_fn(selective_scan_fn(u, u, A, projection, projection), torch.ones(2, 2))

    with torch.no_grad():
        recorded = make_fx(run)(u)
    names = " ".join(str(node.target) for node in recorded.graph.nodes)
    assert "serenanet.scan_" in names and "serenanet.conv_" in names
    assert torch.equal(recorded(2 * u), run(2 * u)) and not bare(u.requires_grad_())
