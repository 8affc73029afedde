"""Two processes are one process with twice the accumulation."""

import signal
import subprocess
import sys

import pytest

from tests.support.hooks import record, recorded, slow
from tests.support.tiny import PAIRS, SIZES, checkpoints, command, decoded, distance, log


def same(folder, reference):
    """Whether a run on two processes is the one on one process, up to the order of sums."""
    difference = distance(folder, reference.folder)
    print(f"largest difference of weights {difference:.1e}")
    assert difference < 1e-5
    for split in ("dev", "test"):
        assert decoded(folder, split) == decoded(reference.folder, split)
        assert len(decoded(folder, split)) == SIZES[split]
    return True


def test_torchrun_equals_accumulation(corpus, reference, tmp_path):
    """torchrun with two processes: the same weights and hypotheses, with an odd number of micro-batches too.

    Dropout, SpecAugment and speed perturbation are on: their randomness belongs to the micro-batch.
    """
    batches, _ = recorded(reference.folder)
    counts = [sum(batch["epoch"] == epoch for batch in batches) for epoch in (1, 2, 3)]
    assert any(count % 2 for count in counts)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone"]
    folder = tmp_path / "run"
    finished = subprocess.run(
        [*launcher, *command(corpus, folder, "--distributed_backend=gloo")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert finished.stdout.count("results:") == 1, "the result was printed by more than one process"
    assert same(folder, reference)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_two_processes_resume_exactly(train_both, reference, number):
    """A signal to both processes stops both, and two more end where one undisturbed process does."""
    runs = train_both("--ckpt_interval_minutes", 0.0005, hooks=[slow])
    runs[0].until((runs[0].folder / "training").exists)
    runs[0].until(lambda: checkpoints(runs[0].folder))
    for run in runs:
        run.send(number)
    status = 128 + number if number == signal.SIGTERM else -number
    assert [run.wait() for run in runs] == [status, status], runs[0].output + runs[1].output
    runs = train_both()
    for run in runs:
        run.done()
    assert "Resuming in epoch" in log(runs[0].folder)
    assert same(runs[0].folder, reference)


def test_a_used_folder_refuses_both(train, train_both):
    """Two processes that find their result folder in use both end, with one sentence in all."""
    first = train(*PAIRS, hooks=[slow])
    first.until((first.folder / "training").exists)
    runs = train_both()
    assert all(run.wait(20) not in (0, None) for run in runs)
    output = "".join(run.output for run in runs)
    assert output.count("another run is using this result folder") == 1
    assert "Traceback" not in output
    first.kill()


def test_not_a_number_on_one_process(train_both):
    """A loss that is not a number on either process skips the step on both."""
    from tests.support.hooks import VICTIM, poison

    runs = train_both("--number_of_epochs", 1, "--beam_size", 0, hooks=[poison, record])
    for run in runs:
        run.done()
    _, steps = recorded(runs[0].folder)
    assert [step["changed"] for step in steps].count(False) == 2, "one step, recorded by both processes"
    assert f"non-finite loss: {VICTIM}\n" in log(runs[0].folder)
