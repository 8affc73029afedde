"""``python -m serenanet_modules.ops`` tells what runs here, and notices what is wrong."""

import pytest
import torch

from serenanet_modules import ops
from serenanet_modules.ops import __main__ as command
from serenanet_modules.ops import cpp, selfcheck
from serenanet_modules.ops.backends import VARIABLE

CPU = ["torch"] if cpp.why_not() else ["cpp", "torch"]


@pytest.fixture(autouse=True)
def _own_choice(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_everything_here_is_right(capsys):
    """Each operation has a line, each backend that can run an error in it, each other one a reason."""
    assert command.main([]) == 0
    printed = capsys.readouterr().out
    for name in selfcheck.checks():
        line = next(line for line in printed.splitlines() if line.startswith(name))
        assert line.count("e-") >= len(CPU), line
    assert "torch" in printed and torch.__version__ in printed
    assert (cpp.why_not() or str(cpp.library_path())) in printed
    if not torch.cuda.is_available():
        assert "no fused for any: There is no CUDA device" in printed


def test_what_is_off_fails_with_a_line(capsys):
    """A tolerance that float32 cannot meet: exit status 1, and a line for each backend and operation."""
    assert command.main(["--tolerance", "1e-15"]) == 1
    printed = capsys.readouterr().out
    for backend in CPU:
        assert f"WRONG: selective_scan_fn, {backend}: relative error" in printed


@pytest.mark.parametrize(
    ("asked", "told"), [("bogus", "='bogus': choose one of fused, cpp, torch"), ("fused", " asks for fused, which can")]
)
def test_a_choice_that_cannot_run_is_told(asked, told, monkeypatch, capsys):
    """Whoever sets the variable learns here that no operation would run."""
    if asked == "fused" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    monkeypatch.setenv(VARIABLE, asked)
    assert command.main([]) == 1
    assert f"WRONG: {VARIABLE}{told}" in capsys.readouterr().out


@pytest.mark.parametrize("broken", [lambda y: y + 1e-2, lambda y: y * float("nan"), lambda y: 1 / 0])
def test_a_wrong_result_is_noticed(broken, monkeypatch, capsys):
    """A small offset, NaN and an exception are all told, and the other operations are still checked."""
    right = ops.causal_conv1d_fn
    monkeypatch.setattr(ops, "causal_conv1d_fn", lambda *args, **options: broken(right(*args, **options)))
    assert command.main([]) == 1
    wrong = [line for line in capsys.readouterr().out.splitlines() if line.startswith("WRONG")]
    assert len(wrong) >= len(CPU) and all(line.startswith("WRONG: causal_conv1d_fn, ") for line in wrong)


def test_gradients_are_compared_too():
    """An output may be right and its gradient wrong."""
    one = selfcheck.checks()["causal_conv1d_fn"]
    right = ops.causal_conv1d_fn

    def detached_weight(x, weight, bias, **options):
        return right(x, weight.detach() + 0 * weight, bias, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ops, "causal_conv1d_fn", detached_weight)
        output, gradients = selfcheck.errors("causal_conv1d_fn", one, "torch")
    assert output < 1e-5 and gradients > 0.1
