"""Gradients of state-space blocks averaged over two gloo processes are those of one process with both halves."""

import pytest
import torch
from torch import distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from serenanet_modules.lobes.blocks.mamba import Bidirectional, Mamba
from serenanet_modules.lobes.blocks.mamba2 import Mamba2

LENGTHS = torch.tensor([11, 7, 9, 4])


class Stack(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Bidirectional(lambda: Mamba(16, d_state=4))
        self.second = Mamba2(16, d_state=8, headdim=8, chunk_size=4)

    def forward(self, x, lengths):
        return self.second(self.first(x, lengths))


def gradients(rank, processes, file):
    torch.manual_seed(0)
    model, x = Stack(), torch.randn(4, 11, 16)
    share = slice(rank * 4 // processes, (rank + 1) * 4 // processes)
    if processes > 1:
        distributed.init_process_group("gloo", init_method=f"file://{file}", rank=rank, world_size=processes)
        model = DistributedDataParallel(model)
    for _ in range(2):  # a second pass, over buckets that the first one rebuilt
        model.zero_grad()
        model(x[share], LENGTHS[share]).square().mean((1, 2)).mean().backward()
    found = {name.removeprefix("module."): p.grad for name, p in model.named_parameters()}
    if processes > 1:
        distributed.destroy_process_group()
    return found


def worker(rank, processes, file, out):
    torch.set_num_threads(1)
    torch.save(gradients(rank, processes, file), f"{out}/{rank}.pt")


@pytest.mark.slow
def test_two_processes_have_the_gradients_of_one(tmp_path):
    multiprocessing.spawn(worker, (2, tmp_path / "meeting", tmp_path), nprocs=2)
    want = gradients(0, 1, None)
    for rank in range(2):
        got = torch.load(tmp_path / f"{rank}.pt")
        assert got.keys() == want.keys()
        for name, gradient in want.items():
            assert gradient.abs().max() > 0, name
            torch.testing.assert_close(
                got[name], gradient, rtol=1e-4, atol=1e-7, msg=lambda m, name=name: f"{name}: {m}"
            )
