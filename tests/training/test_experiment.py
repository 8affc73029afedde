"""What a run does with weights at its end."""

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from serenanet_modules.training.experiment import Experiment


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_a_share_of_the_loaded_weights(share):
    """Those that were loaded whole are brought back so far, others and numbers that count stay as they are."""
    torch.manual_seed(0)
    model, loaded = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), nn.Linear(3, 2)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tensors = {"0.weight": loaded.weight.detach(), "1.num_batches_tracked": torch.tensor(7)}
    run = Experiment.__new__(Experiment)
    run.plain, run.save = {"pretrained_share": share}, None
    run.task = SimpleNamespace(loaded_tensors=lambda plain, save: tensors)
    run._mix(model)
    after = model.state_dict()
    expected = (1 - share) * before["0.weight"] + share * loaded.weight
    torch.testing.assert_close(after["0.weight"], expected)
    assert all(torch.equal(after[name], before[name]) for name in before if name != "0.weight")
