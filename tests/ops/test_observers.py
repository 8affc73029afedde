"""What stands between the operations and compilers."""

import sys

import torch
import torch._dynamo

from serenanet_modules.ops.observers import constant, custom_op


def test_constant_marks_as_torch_does():
    def ours():
        pass

    def theirs():
        pass

    assert vars(constant(ours)) == vars(torch.compiler.assume_constant_result(theirs)) != {}


def test_a_compiler_keeps_what_a_constant_function_said():
    calls = []

    @constant
    def answer():
        calls.append(1)  # nothing that a compiler could follow in one graph
        print(end="")
        return 3

    compiled = torch.compile(lambda x: x * answer(), backend="eager", fullgraph=True)
    assert [compiled(torch.ones(())).item() for _ in range(3)] == [3, 3, 3]
    assert len(calls) < 3


def test_an_operation_is_hidden_from_a_compiler_that_is_there(monkeypatch):
    """Called before anybody compiles, it imports nothing; compiled afterwards, it is one node of one graph."""

    @custom_op("serenanet_test::doubled", mutates_args=())
    def doubled(x: torch.Tensor) -> torch.Tensor:
        print(end="")  # nothing that a compiler could follow in one graph
        return 2 * x

    doubled.register_fake(torch.empty_like)
    with monkeypatch.context() as before:
        before.delitem(sys.modules, "torch._dynamo")
        assert doubled(torch.ones(())) == 2
        assert "torch._dynamo" not in sys.modules
    compiled = torch.compile(lambda x: doubled(x) + 1, backend="eager", fullgraph=True)
    assert compiled(torch.ones(())) == 3 and doubled(torch.ones(())) == 2
