"""Parts that keep their weights while others are trained, for good or for the first steps."""

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.support import hooks
from tests.support.tiny import PAIRS, Run, checkpoints, command, log, same, weights


def test_frozen_parts_stay_and_are_not_in_checkpoints(train):
    """Bitwise, through kill and resume."""
    frozen = ("--freeze", "encoder", "--rate_factors", "{car: 0.1}")
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


UNFREEZE = (*PAIRS, "--freeze", "encoder", "--unfreeze_after", 7, "--layer_decay", 0.5)  # in the second epoch of five


@pytest.fixture(scope="module")
def unfrozen(corpus, tmp_path_factory):
    """A whole run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("unfrozen") / "run"
    return Run(command(corpus, folder, *UNFREEZE), folder, [hooks.weights_by_step]).done()


def test_unfrozen_after_some_steps(unfrozen):
    """The parts stay bitwise for so many steps, and then all of them move."""
    first, *steps = hooks.weights_of_steps(unfrozen.folder)
    parts = [name for name in first if name.startswith(("acoustic.frontend.", "acoustic.encoder."))]
    for number, step in enumerate(steps, 1):
        moved = [name for name in parts if not torch.equal(step[name], first[name])]
        assert moved == (parts if number > 7 else []), number
    assert not (unfrozen.folder / "save/frozen.safetensors").exists()
    assert "From step 8 on all parts are trained" in log(unfrozen.folder)


def steps_saved(folder):
    """Optimizer steps in the newest checkpoint."""
    return max(
        (yaml.safe_load(file.read_text())["optimizer_step"] for file in folder.glob("save/CKPT+*/brain.ckpt")),
        default=0,
    )


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_killed_and_resumed_around_the_unfreezing(train, unfrozen, before):
    """A checkpoint from before it, or from after it, in the middle of an epoch: the same weights."""
    run = train(*UNFREEZE, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow])
    run.until(lambda: steps_saved(run.folder) >= (6 if before else 8))
    run.kill()
    assert steps_saved(run.folder) in ((6,) if before else (8, 9))
    resumed = train(*UNFREEZE).done()
    assert "Resuming in epoch 2 after" in log(resumed.folder)
    assert same(resumed, unfrozen)
