"""Optimizers without the compiler do what torch's do."""

import functools

import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from serenanet_modules.runtime.eager import eager

KINDS = {
    "AdamW": functools.partial(torch.optim.AdamW, weight_decay=0.1),
    "Adam": torch.optim.Adam,
    "SGD": functools.partial(torch.optim.SGD, momentum=0.9),
}


def trained(optimizer, state=None):
    """Weights and the optimizer after three steps, begun from a state."""
    torch.manual_seed(0)
    network = torch.nn.Linear(3, 2)
    made = optimizer(network.parameters(), lr=0.1)
    if state is not None:
        made.load_state_dict(state)
    for _ in range(3):
        network(torch.ones(2, 3)).square().sum().backward()
        made.step()
        made.zero_grad()
    return network.weight.detach(), made


@pytest.mark.parametrize("kind", KINDS)
def test_steps_and_states_are_those_of_torch(kind):
    """Bit by bit, also from a state of the other one; hooks after a step are called."""
    called = []
    hook = register_optimizer_step_post_hook(lambda *_: called.append(1))
    (ours, made), (theirs, original) = trained(eager(KINDS[kind])), trained(KINDS[kind])
    hook.remove()
    assert torch.equal(ours, theirs) and len(called) == 6
    assert isinstance(made, type(original)) and made.defaults == original.defaults
    ours, theirs = (trained(f, o.state_dict())[0] for f, o in ((eager(KINDS[kind]), original), (KINDS[kind], made)))
    assert torch.equal(ours, theirs)
