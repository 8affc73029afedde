"""Two processes that each hold a part of the weights train every model as one process does that has all of them."""

import os
import socket
from types import SimpleNamespace

import pytest
import torch
from torch import multiprocessing, nn

from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.sharding import Replicas, Shards, blocks, is_part, whole
from serenanet_modules.training.checkpoints import Steps
from serenanet_modules.training.groups import Frozen, Weights, groups
from serenanet_modules.training.low_rank import LowRank
from tests.support.calls import CALLS
from tests.support.parts import SIZES, everything

NAMES = ("conformer_s2s", "conmamba_causal", "fast_conformer_streaming", "hmamba", "pessl", "serenanet", "speech_llm")
NAMES += ("pretrained_ctc encoder.layers=all", "ssm", "transformer_lm mixer=mamba2", "whisper")
FAMILIES = [found for found in everything() if found.name in NAMES]
ADAPTED = NAMES[-4:-3]  # by low-rank adapters; of the others a block is frozen in the first step
STEPS = 2


def batch_of(call, seed):
    """Two utterances for a model."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor(call.lengths)
    x = torch.randn(len(lengths), int(lengths.max()), call.size, generator=generator)
    label_lengths = torch.tensor([1, 4])
    labels = torch.randint(1, SIZES["n_units"], (2, 4), generator=generator)
    return SimpleNamespace(x=x, lengths=lengths, labels=labels, label_lengths=label_lengths, ids=["a", "b"])


def loss_of(model, call, batch):
    """A number that all outputs have a part in."""
    outputs = call.run(model, batch)
    valid = [y if n is None else torch.cat([row[:count] for row, count in zip(y, n, strict=True)]) for y, n in outputs]
    return sum(y.float().clamp(-9, 9).square().mean() for y in valid)


def trained(found, sharing, shares):
    """Train a model for some steps, through a checkpoint; norms and losses on the way, and its weights."""
    model = found.build()
    call, modules = CALLS["models"], nn.ModuleDict({"model": model}).train()
    forward = SimpleNamespace(
        run=lambda part, batch: call.run(part, batch).values(), size=call.size, lengths=call.lengths
    )
    if found.name in ADAPTED:
        frozen = Frozen()
        low_rank = LowRank(model, {"r": 2, "alpha": 4, "dropout": 0.1, "targets": ["q_proj", "v_proj"]}, frozen, 0)
    else:
        frozen, low_rank = Frozen([next(blocks(model))], 1), LowRank(model, None, None, 0)
    optimizer = torch.optim.SGD(groups(modules, None, frozen.later), lr=0.05, momentum=0.9)
    placed = sharing.share_out(modules, optimizer, lambda: loss_of(model, forward, batch_of(call, 0)))
    frozen.later = [placed(p) for p in frozen.later]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    weights, steps, norms = Weights(model, Frozen()), Steps(optimizer), []
    for step in range(STEPS):
        frozen.before(step)
        for share in shares:
            torch.manual_seed(10 * step + share)  # dropout, of what is trained from the second step on
            loss = loss_of(model, forward, batch_of(call, 10 * step + share)) / 2
            loss.backward()
        sharing.sum_gradients(parameters)
        norms.append(float(sharing.clip(parameters, 1.0)))
        optimizer.step()
        optimizer.zero_grad()
        if step == 0:  # through what a checkpoint holds
            held = weights.state(), steps.state()
            everywhere = [distributed.broadcast_object(state) for state in held]
            weights.load(everywhere[0])
            steps.load(everywhere[1])
    with sharing.gathered(modules), torch.no_grad():
        assert not any(is_part(p) for p in model.parameters())
        norms.append(float(loss_of(model.eval(), forward, batch_of(call, 99))))
    state = {name: tensor.clone() for name, tensor in whole(modules.state_dict()).items() if tensor is not None}
    sharing.end(modules)
    low_rank.merge()
    assert not any(is_part(t) for t in model.state_dict().values())
    with torch.no_grad():
        norms.append(float(loss_of(model.eval(), forward, batch_of(call, 99))))
    return {"norms": torch.tensor(norms)} | state | {f"at the end: {n}": t for n, t in model.state_dict().items()}


def _child(rank, port, out):
    torch.set_num_threads(1)
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in told.items()})
    distributed.start({"device": "cpu"})
    found = {found.name: trained(found, Shards(), [rank]) for found in FAMILIES}
    if rank == 0:
        torch.save(found, out)
    distributed.stop()


@pytest.fixture(scope="module", name="both")
def _both(tmp_path_factory):
    """What two processes come to with each model, by its name."""
    out = tmp_path_factory.mktemp("shards") / "found.pt"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("forkserver")
    processes = [context.Process(target=_child, args=(rank, port, out)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
        assert process.exitcode == 0
    return torch.load(out, weights_only=True)


@pytest.mark.slow
@pytest.mark.parametrize("found", FAMILIES, ids=str)
def test_two_parts_are_one_whole(found, both):
    """``pytest -rP`` shows each one's largest difference over the largest value of its tensor."""
    one, two = trained(found, Replicas(), [0, 1]), both[found.name]
    assert one.keys() == two.keys()
    far = {
        name: float((one[name].float() - two[name].float()).abs().max() / one[name].abs().max().clamp(min=1e-2))
        for name in one
    }
    name = max(far, key=far.get)
    print(f"{far[name]:.1e} {name}")
    assert far[name] < 1e-6
