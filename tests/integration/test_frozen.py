"""Parts that keep their weights while others are trained."""

import torch
from safetensors.torch import load_file

from tests.support import hooks
from tests.support.tiny import checkpoints, weights


def test_frozen_parts_stay_and_are_not_in_checkpoints(train):
    """Bitwise, through kill and resume."""
    frozen = ("--frozen", "[acoustic.frontend, acoustic.encoder]", "--rate_factors", "{car: 0.1}")
    run = train(*frozen, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow])
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    start = load_file(run.folder / "save/frozen.safetensors")
    run = train(*frozen).done()
    end = weights(run.folder)
    assert start and all(torch.equal(tensor, end[f"model.{name}"]) for name, tensor in start.items())
    for checkpoint in checkpoints(run.folder):
        held = torch.load(checkpoint / "model.ckpt", weights_only=True).keys()
        assert held and not held & start.keys()
        assert {name.removeprefix("model.") for name in end if name.startswith("model.")} == held | start.keys()
