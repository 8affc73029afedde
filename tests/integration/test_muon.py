"""A training by Muon: killed with shared-out weights and gone on without, it ends as one that was not disturbed."""

import signal

from tests.support.hooks import slow
from tests.support.tiny import PAIRS, checkpoints, distance, log

MUON = ("--opt_class", "!include:optimizers/muon.yaml", "--beam_size", 0)


def test_killed_resumed_and_shared_out(train, train_both, tmp_path):
    """Two processes with a part of the weights each are killed, two with all of them go on, and end where one does."""
    whole = train(*PAIRS, *MUON, folder=tmp_path / "whole").done()
    runs = train_both(*MUON, "--fsdp", "--ckpt_interval_minutes", 0.0005, hooks=[slow])
    runs[0].until(lambda: (runs[0].folder / "training").exists() and checkpoints(runs[0].folder))
    for run in runs:
        run.send(signal.SIGKILL)
    for run in runs:
        run.wait()
    for run in (gone_on := train_both(*MUON)):
        run.done()
    assert "Resuming " in log(gone_on[0].folder)
    difference = distance(gone_on[0].folder, whole.folder)
    print(f"largest difference of weights {difference:.1e}")
    assert difference < 1e-5
