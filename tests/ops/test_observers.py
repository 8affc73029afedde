"""What stands between the operations and compilers."""

import torch

from serenanet_modules.ops.observers import constant


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
