"""Two processes are one process with twice the accumulation."""

import signal
import subprocess
import sys

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
    assert finished.stdout.count("serenanet report") == 1, "the result was printed by more than one process"
    assert same(folder, reference)


def test_two_processes_resume_exactly(train_both, reference):
    """SIGKILL ends both processes, and two more end where one undisturbed process does."""
    runs = train_both("--ckpt_interval_minutes", 0.0005, hooks=[slow])
    stop(runs, signal.SIGKILL)
    for run in train_both():
        run.done()
    assert "Resuming " in log(runs[0].folder)
    assert same(runs[0].folder, reference)


def test_one_process_goes_on_for_two(train, train_both, reference):
    """SIGTERM stops both inside an epoch, and one reads what they have not, and ends where they would have."""
    runs = train_both(hooks=[record, slow])
    stop(runs, signal.SIGTERM)
    one = train(*PAIRS, hooks=[record]).done()
    assert "An optimizer step has" not in log(one.folder)
    assert same(one.folder, reference) and read_once(one, reference)


def stop(runs, number):
    """End runs inside an epoch by a signal; with SIGKILL there is a checkpoint already."""
    runs[0].until((runs[0].folder / "training").exists)
    runs[0].until(lambda: number == signal.SIGTERM or checkpoints(runs[0].folder))
    for run in runs:
        run.send(number)
    status = 128 + number if number == signal.SIGTERM else -number
    assert [run.wait() for run in runs] == [status] * len(runs), "".join(run.output for run in runs)


def read_once(run, reference):
    """Whether each epoch has read each utterance once, in the micro-batches of another run."""
    batches, others = ([(b["epoch"], sorted(b["ids"])) for b in recorded(r.folder)[0]] for r in (run, reference))
    assert sorted(batches) == sorted(others)
    return True


def test_a_used_folder_refuses_both_and_two_go_on_for_one(train, train_both, reference):
    """Two processes that find their result folder in use end, with one sentence; once it is free, they go on in it."""
    first = train(*PAIRS, hooks=[record, slow])
    first.until((first.folder / "training").exists)
    runs = train_both()
    assert all(run.wait(20) not in (0, None) for run in runs)
    output = "".join(run.output for run in runs)
    assert output.count("another run is using this result folder") == 1
    assert "Traceback" not in output
    stop([first], signal.SIGTERM)
    for run in train_both(hooks=[record]):
        run.done()
    assert same(first.folder, reference) and read_once(first, reference)


def test_not_a_number_on_one_process(train_both):
    """A loss that is not a number on either process skips the step on both."""
    from tests.support.hooks import VICTIM, poison

    runs = train_both("--number_of_epochs", 1, "--beam_size", 0, hooks=[poison, record])
    for run in runs:
        run.done()
    _, steps = recorded(runs[0].folder)
    assert [step["changed"] for step in steps].count(False) == 2, "one step, recorded by both processes"
    assert f"non-finite loss: {VICTIM}\n" in log(runs[0].folder)
