"""The same weights, bit by bit, whatever number of threads; what cannot be so is refused by its name."""

import os

import pytest
import torch
from torch import nn
from torch.nn import functional

from serenanet_modules.errors import UserError
from serenanet_modules.ops.backends import VARIABLE
from serenanet_modules.runtime.files import fingerprint
from serenanet_modules.runtime.reproducible import WORKSPACE, check_reproducible, reproducible


@pytest.fixture(autouse=True)
def _threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def trained(threads, on):
    """Hash of a small recogniser's weights after two steps that may use so many threads."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv1d(40, 96, 3, padding=1), nn.LayerNorm(300), nn.SiLU(), nn.Conv1d(96, 32, 1))
    optimizer, x = torch.optim.AdamW(model.parameters(), 1e-3), torch.randn(4, 40, 300)
    labels, lengths = torch.randint(1, 32, (4, 20)), torch.full((4,), 20)
    torch.set_num_threads(threads)
    with reproducible(on):
        for _ in range(2):
            log_probs = model(x).permute(2, 0, 1).log_softmax(-1)
            loss = functional.ctc_loss(log_probs, labels, torch.full((4,), 300), lengths)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return fingerprint(model.state_dict())


def test_threads_change_nothing():
    """With a control: without the option they do."""
    assert len({trained(threads, on=True) for threads in (1, 2, 3)}) == 1
    assert len({trained(threads, on=False) for threads in (1, 2, 3)}) > 1


def test_hashes_tell_a_bit_a_name_and_a_type():
    tensor = torch.zeros(3)
    other = tensor.clone()
    other[1] = -0.0
    variants = {"a": tensor}, {"a": other}, {"b": tensor}, {"a": tensor.half()}, {"a": tensor[:, None]}
    hashes = [fingerprint(tensors) for tensors in variants]
    assert len(set(hashes)) == 5 and fingerprint({"a": tensor.clone()}) == hashes[0]
    assert fingerprint({"b": tensor, "a": other}) == fingerprint({"a": other, "b": tensor})


def test_an_operation_without_an_order_is_named_and_all_is_as_before():
    torch.set_num_threads(2)
    with pytest.raises(UserError, match="^--reproducible: cumsum_cuda_kernel is not deterministic"), reproducible():
        assert torch.get_num_threads() == 1 and torch.are_deterministic_algorithms_enabled()
        assert os.environ[WORKSPACE] == ":4096:8"
        raise RuntimeError("cumsum_cuda_kernel does not have a deterministic implementation, but you set 'torch.use_")
    assert torch.get_num_threads() == 2 and not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory and WORKSPACE not in os.environ
    with pytest.raises(RuntimeError, match="anything else"), reproducible():
        raise RuntimeError("anything else")


def test_kernels_without_an_order_are_refused(monkeypatch):
    monkeypatch.setenv(VARIABLE, "fused")
    with pytest.raises(UserError, match="SERENANET_OPS_BACKEND=fused is not deterministic; set it to torch"):
        check_reproducible("cuda:0")
    monkeypatch.setenv(VARIABLE, "torch")
    check_reproducible("cuda:0")
