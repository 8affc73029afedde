"""Runs are carried out each after what it needs, a failure costs no other, and a signal ends all and loses nothing."""

import os
import signal
import threading
import time

import pytest

from serenanet_modules.ablation import schedule
from serenanet_modules.ablation.local import LocalJobs, gpus
from serenanet_modules.ablation.schedule import Schedule, last_line

PAUSE = 0.01


def carry_out(runs, jobs=None):
    """{name: (state, detail)} in the order of the runs' ends."""
    outcomes = Schedule(runs, jobs or LocalJobs(2), PAUSE).carry_out()
    return {outcome.run.name: (outcome.state, outcome.detail) for outcome in outcomes}


def test_what_is_needed_comes_first(run, capsys):
    first = run("pretraining", "pause")
    runs = [first, run("a", needs=first), run("b", needs=first), run("c")]
    ended = carry_out(runs)
    assert all(state == "finished" for state, _ in ended.values())
    assert list(ended)[2:] in (["a", "b"], ["b", "a"])
    out = capsys.readouterr().out.splitlines()
    begun = [line.split()[1] for line in out if line.startswith("started")]
    assert begun.index("c") < begun.index("a"), "c need not wait"
    assert [line for line in out if "pretraining" in line][0].startswith("started   pretraining (process ")
    assert sum(line.startswith("finished") for line in out) == len(runs)


def test_finished_runs_are_not_done_again(run):
    runs = [run("a"), run("b")]
    carry_out(runs)
    again = carry_out([*runs, run("c")])
    assert [state for state, _ in again.values()] == ["finished"] * 3
    assert again["a"][1] == "finished earlier" and [len(r.starts) for r in runs] == [1, 1]


def test_a_failure_costs_only_what_needs_it(run):
    """Its last error line is told; what needs it is skipped; the same call afterwards does both, and nothing else."""
    bad = run("bad", "fail")
    runs = [run("crash", "crash"), bad, run("needs", needs=bad), run("deep", needs=run("x")), run("good")]
    runs[3] = run("deep", needs=runs[2])
    ended = carry_out(runs, LocalJobs(1))
    assert ended["bad"] == ("failed", "error: the disk is full")
    assert ended["crash"] == ("failed", "ValueError: no such thing")
    assert ended["needs"] == ("skipped", "bad failed") and ended["deep"] == ("skipped", "needs failed")
    assert ended["good"][0] == "finished" and not runs[2].starts
    assert bad.output.read_text().startswith(f"$ {bad.command[0]} ")
    bad.act = "ok"
    again = carry_out(runs[1:])
    assert {state for state, _ in again.values()} == {"finished"}
    assert len(runs[4].starts) == 1 and len(bad.starts) == 2


def test_no_more_at_a_time_than_asked_and_each_its_share(run, monkeypatch):
    """Cores and GPUs are dealt out by place, which a run that ends gives to the next."""
    monkeypatch.setattr("serenanet_modules.ablation.local.available_cores", lambda: 7)
    most = []

    class Counted(LocalJobs):
        def ended(self):
            most.append(len(self.running()))
            return super().ended()

    runs = [run(f"r{i}", "pause") for i in range(5)]
    carry_out(runs, Counted(2, ["4", "6"]))
    assert max(most) == 2
    starts = [r.starts[0] for r in runs]
    assert {cores for cores, _ in starts} == {"3"}
    assert sorted(gpu for _, gpu in starts[:2]) == ["4", "6"]
    assert {gpu for _, gpu in starts} == {"4", "6"}


def test_gpus_are_those_that_are_visible(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-aa")
    assert gpus() == ["3", "GPU-aa"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == []


def until(condition):
    limit = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.005)


def send_when(condition, *numbers):
    """Send this process signals, each when the one before has been heeded, once the condition holds."""

    def wait():
        until(condition)
        for number in numbers:
            os.kill(os.getpid(), number)
            time.sleep(0.1)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_runs_with_checkpoints(run, number):
    """Those under way save and end, the others are not begun; the same call goes on from there."""
    runs = [run("a", "wait"), run("b", "wait"), run("c")]
    signal.signal(number, signal.default_int_handler)  # whatever this test was started with
    sender = send_when(lambda: all((r.folder / "ready").exists() for r in runs[:2]), number)
    jobs = LocalJobs(2)
    plan = Schedule(runs, jobs, PAUSE)
    outcomes = plan.carry_out()
    sender.join()
    assert plan.signals == [number] and signal.getsignal(number) is signal.default_int_handler
    assert [outcome.state for outcome in outcomes] == ["stopped", "stopped"] and not jobs.running()
    assert all((r.folder / "checkpoint").exists() for r in runs[:2]) and not runs[2].starts
    assert {state for state, _ in carry_out(runs).values()} == {"finished"}


def test_a_second_signal_ends_them_at_once(run):
    runs = [run("a", "stubborn"), run("b")]
    sender = send_when((runs[0].folder / "ready").exists, signal.SIGINT, signal.SIGINT)
    started = time.monotonic()
    assert carry_out(runs, LocalJobs(1)) == {"a": ("stopped", "the same command resumes it")}
    sender.join()
    assert time.monotonic() - started < 30 and not (runs[0].folder / "checkpoint").exists()


def test_trouble_of_its_own_leaves_no_run_behind(run, monkeypatch):
    """An exception in the schedule itself asks the runs to end."""
    runs = [run("a", "wait"), run("b", "wait")]
    jobs = LocalJobs(1)

    def broken(self, run):
        until((runs[0].folder / "ready").exists)
        raise MemoryError

    monkeypatch.setattr(schedule.Schedule, "_show", lambda self: broken(self, None))
    with pytest.raises(MemoryError):
        carry_out(runs, jobs)
    until(lambda: jobs.ended() == [runs[0]])
    assert (runs[0].folder / "checkpoint").exists()


def test_the_last_line(tmp_path):
    """The last sentence for people; a bar's carriage returns end lines too."""
    file = tmp_path / "output.txt"
    assert last_line(file) == "it printed nothing"
    file.write_text("\n\n")
    assert last_line(file) == "it printed nothing"
    file.write_text("error: old\nTraceback\n 10%\r 20%\r\nValueError: x\n\n")
    assert last_line(file) == "error: old"
    with open(file, "a") as opened:
        opened.write("$ python train.py\n")
    assert last_line(file) == "it printed nothing"
    file.write_text("error: old\n$ python train.py\nx\nValueError: new\n")
    assert last_line(file) == "ValueError: new", "an earlier try's error is not this one's"
    file.write_text("x" * 30_000 + "\nKilled\n")
    assert last_line(file) == "Killed"
