"""What the machine does to a run costs no exactness, and is said in one sentence."""

import os
import random
import signal
import time
from pathlib import Path

import pytest

from tests.support import kills
from tests.support.hooks import VICTIM, children, full_disk, scarce, scarcer, slow, stalled
from tests.support.tiny import PAIRS, checkpoints, decoded, distance, log, same

EVERY_STEP = ("--ckpt_interval_minutes", 0.0005)
SHORT = ("--number_of_epochs", 1, "--beam_size", 0)
PLAIN = """
    --dropout 0 --lr 0.1 --warmup_steps 1 --speed_perturb null --spec_augment null --car null --gate_l2 0.0
    --max_batch_seconds 25
""".split()
SGD = (
    "--opt_class",
    "!name:torch.optim.SGD {lr: 0.003}",
)  # Adam makes as much of a gradient that is noise as of others


def one_sentence(run, *words):
    """Whether the run ended with status 2 and a last line that says so."""
    assert run.wait() == 2, run.output
    assert "Traceback" not in run.output
    last = run.output.splitlines()[-1]
    assert last.startswith("error: ") and all(word in last for word in words), last
    return True


def test_killed_at_random_moments(corpus, tmp_path):
    """SIGKILL in every phase: the same command ends with the same weights, texts, scores and files.

    `kills` as a program does the same 200 times.
    """
    reference = kills.start(corpus, tmp_path / "reference").done()
    killed = list(kills.trial(corpus, tmp_path / "run", reference, kills.PHASES, random.Random()))
    print("killed in", ", ".join(killed))
    assert len(killed) > 2


def test_halves_weigh_what_the_whole_weighs(train, tmp_path):
    """Without randomness, and losses that are means over frames, a batch done in parts gives the same weights."""
    whole = train(*SHORT, *PLAIN, *SGD, folder=tmp_path / "whole").done()
    halved = train(*SHORT, *PLAIN, *SGD, hooks=[scarce], folder=tmp_path / "halved").done()
    assert "do not fit into memory together and are tried in halves" in log(halved.folder)
    assert "left out" not in log(halved.folder)
    print(f"largest difference {distance(whole.folder, halved.folder):.1e}")
    assert 0 < distance(whole.folder, halved.folder) < 1e-6


def test_out_of_memory_resumes_exactly(train, tmp_path):
    """A run that was killed after it had halved a batch ends the same where memory is enough; so do two processes."""
    scarce_run = train(*PAIRS, hooks=[scarcer], folder=tmp_path / "scarce").done()
    assert f"{VICTIM} does not fit into memory even alone and is left out" in log(scarce_run.folder)
    run = train(*PAIRS, *EVERY_STEP, hooks=[slow, scarcer])
    run.until((run.folder / "validating").exists)
    run.kill()
    memory = run.folder / "save/halved-0.jsonl"
    first = memory.read_text().splitlines()[0]
    memory.write_text((tmp_path / "scarce/save/halved-0.jsonl").read_text() + '[3, "cut sho')
    assert memory.read_text().startswith(first)
    assert same(train(*PAIRS).done(), scarce_run)


def test_out_of_memory_in_one_of_two_processes(train_both, train, tmp_path):
    """The other process waits for it, and both end with one process's weights."""
    one = train(*SHORT, *PAIRS, hooks=[scarce], folder=tmp_path / "one").done()
    both = train_both(*SHORT, hooks=[scarce])
    for run in both:
        run.done()
    assert distance(one.folder, both[0].folder) < 1e-5
    assert decoded(one.folder, "test") == decoded(both[0].folder, "test")


def test_full_disk(train, reference):
    """A save that fails leaves no half of it, and is one sentence; with room, the same command ends as ever."""
    assert one_sentence(train(*PAIRS, *EVERY_STEP, hooks=[full_disk]), "make room")
    run = train(*PAIRS)
    assert not list(run.folder.glob("save/.partial")) and not checkpoints(run.folder)
    assert same(run.done(), reference)


@pytest.mark.skipif(not Path("/sys/kernel").is_dir(), reason="needs a file system that nobody can write to")
def test_read_only_folder(train, reference):
    """A folder that cannot be written is named."""
    assert one_sentence(train(*PAIRS, "--output_folder", "/sys/kernel/run"), "/sys/kernel/run", "cannot be written")


def test_killed_workers_and_their_lock(train, reference):
    """A killed data loader's worker is one sentence; one that outlives its killed parent does not hold the folder."""
    run = train(*PAIRS, *EVERY_STEP, "--num_workers", 1, hooks=[slow])
    run.until((run.folder / "training").exists)
    os.kill(children(run.process.pid)[-1], signal.SIGKILL)
    assert one_sentence(run, "worker was killed")
    (run.folder / "training").unlink()
    run = train(*PAIRS, *EVERY_STEP, "--num_workers", 1, hooks=[slow])
    run.until((run.folder / "validating").exists)
    workers = children(run.process.pid)
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    run.kill()
    try:
        assert same(train(*PAIRS).done(), reference)
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


@pytest.mark.parametrize("dies", [0, 1])
@pytest.mark.parametrize("when, hook", [("training", slow), ("preparing", stalled)])
def test_a_killed_process_ends_the_others(train_both, reference, dies, when, hook):
    """They say who died, within a minute, also where the main process is at work that waits for nobody."""
    runs = train_both(hooks=[hook])
    runs[0].until((runs[0].folder / when).exists)
    runs[dies].kill()
    killed = time.monotonic()
    other = runs[1 - dies]
    assert other.wait(60) == 1, other.output
    who = ("the main process", "process 1")[dies]
    assert f"error: process {1 - dies} stops because {who} has ended" in other.output
    assert "Traceback" not in other.output
    print(f"{time.monotonic() - killed:.1f} s")
