"""Who else sees a call: what nobody watches may take the short way that compilers and autograd could not follow."""

import sys

import torch

PLAIN = (torch.Tensor, torch.nn.Parameter, type(None))
DISABLED = "__dynamo_disable"  # where torch keeps the form of a kernel that its compiler does not look into


def constant(function):
    """Let a compiler call a function once and keep what it says, instead of following what it does.

    `torch.compiler.assume_constant_result` does the same, but imports the whole compiler, which takes as long as torch.
    """
    function._dynamo_marked_constant = True
    return function


def custom_op(name, function=None, **options):
    """`torch.library.custom_op`, with the same arguments; calls do not import the compiler.

    Torch's own hide each kernel from the compiler, and import it for that, which takes as long as torch. As long as
    nobody else has imported it, there is nothing to hide from.
    """
    made = torch.library.custom_op(name, function, **options)
    return (lambda function: _light(made(function))) if function is None else _light(made)


def _light(op):
    for kernel in op._backend_fns.values():
        setattr(kernel.__wrapped__, DISABLED, _hidden_if_looked_for(kernel.__wrapped__))
    return op


def _hidden_if_looked_for(kernel):
    def run(*args, **kwargs):
        if "torch._dynamo" not in sys.modules:
            return kernel(*args, **kwargs)
        setattr(kernel, DISABLED, torch._dynamo.disable(kernel, True, wrapping=False))
        return getattr(kernel, DISABLED)(*args, **kwargs)

    return run


def unobserved(*tensors) -> bool:
    """Whether Python may look at these numbers: no compiler, tracer, transform, mode or subclass is there.

    Examples
    --------
    >>> unobserved(torch.ones(1)), torch.compile(unobserved, backend="eager")(torch.ones(1))
    (True, False)
    """
    return (
        not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()
        and torch._C._len_torch_dispatch_stack() == 0
        and torch._C._functorch.peek_interpreter_stack() is None
        and all(type(t) in PLAIN for t in tensors)
    )


def wants_gradients(*arguments) -> bool:
    """Whether autograd records what is done with these; those that are no tensors do not matter."""
    return torch.is_grad_enabled() and any(isinstance(x, torch.Tensor) and x.requires_grad for x in arguments)


def bare(*tensors) -> bool:
    """Whether a custom operation may be called as the plain function it is, which costs a small call half its time."""
    return unobserved(*tensors) and not wants_gradients(*tensors)
