"""Processes that share weights out (``--fsdp``), stopped, killed, and gone on by another number of them."""

import signal

from tests.support.hooks import hasty, slow
from tests.support.tiny import PAIRS, SIZES, checkpoints, decoded, distance, log


def test_shards_come_and_go(train, train_both, reference):
    """Two processes with a part of the weights each, then one with all, then twice two again end as one does.

    The first two end because one of them is stopped (SIGSTOP): the other one waits for it inside a block, and says so.
    The next two have no time left, and measure what is there.
    """
    runs = train_both("--fsdp", "--ckpt_interval_minutes", 0.0005, hooks=[hasty, slow])
    runs[0].until(lambda: (runs[0].folder / "training").exists() and checkpoints(runs[0].folder))
    runs[1].send(signal.SIGSTOP)
    assert runs[0].wait() == 1, runs[0].output
    assert "process 0 stops because process 1 has given no sign of life" in runs[0].output
    runs[1].send(signal.SIGCONT)
    assert runs[1].wait() == 1 and "Traceback" not in "".join(run.output for run in runs)
    one = train(*PAIRS, hooks=[slow])
    one.until((one.folder / "validating").exists)
    one.kill()
    for run in (hurried := train_both("--fsdp", "--max_hours", 1e-6, "--beam_size", 0)):
        run.done()
    assert (hurried[0].result["ended_by"], hurried[0].result["sharding"]) == ("max_hours", "fsdp")
    runs = train_both("--fsdp")
    for run in runs:
        run.done()
    assert log(one.folder).count("Resuming in epoch 1 after") == 3
    result = runs[0].result
    assert (result["processes"], result["sharding"]) == (2, "fsdp")
    difference = distance(one.folder, reference.folder)
    print(f"largest difference of weights {difference:.1e}")
    assert difference < 1e-6
    for split in ("dev", "test"):
        assert decoded(one.folder, split) == decoded(reference.folder, split)
        assert len(decoded(one.folder, split)) == SIZES[split]
