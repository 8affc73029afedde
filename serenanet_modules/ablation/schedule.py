"""Carry runs out: each after the one it needs, so many at a time, one failure costing no other."""

import contextlib
import re
import shlex
import signal
import time
from collections import Counter
from typing import NamedTuple

from serenanet_modules.ablation.plan import Run
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.amounts import duration
from serenanet_modules.runtime.bars import Bar

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
SHOWN = 3  # runs behind the bar
PROMPT = "$ "  # begins a run's output, before the command
TAIL = 20_000  # bytes at the end of a run's output that hold its last line


class Outcome(NamedTuple):
    """What became of a run."""

    run: Run
    state: str  # finished, failed, skipped (what it needs failed) or stopped
    detail: str


class Schedule:
    """Runs, those under way, and what became of the others.

    Parameters
    ----------
    runs : sequence of Run
        What a run needs stands before it.
    jobs : LocalJobs or SlurmJobs
    pause : float
        Seconds between two looks at those under way.
    """

    def __init__(self, runs, jobs, pause=0.2):
        self.jobs, self.pause = jobs, pause
        self.waiting = list(runs)
        self.outcomes = {}  # Run -> Outcome
        self.signals = []  # received
        self._started = {}  # Run -> time
        self._shown = ""

    def carry_out(self):
        """Do all of it.

        Returns
        -------
        list of Outcome
            Of every run, in the order of their ends. After a signal the last is missing those never begun.
        """
        states = {run: run.state() for run in self.waiting}  # refuses foreign folders before anything starts
        with Bar(total=len(self.waiting), unit="run", desc="ablation") as self.bar, self._listening():
            for run in [run for run in self.waiting if states[run] == "finished"]:
                self._close(run, "finished", "finished earlier")
            while (self.waiting and not self.signals) or self.jobs.running():
                if not self.signals:
                    self._start_ready()
                elif not self._keep_waiting():
                    break
                for run in self.jobs.ended():
                    self._judge(run)
                self._show()
                time.sleep(self.pause if self.jobs.running() else 0)
        return list(self.outcomes.values())

    # --- steps ----------------------------------------------------------------------------------------------------

    def _start_ready(self):
        for run in list(self.waiting):
            if self._in_vain(run):
                self._close(run, "skipped", f"{run.needs.name} failed")
            elif len(self.jobs.running()) < self.jobs.limit and self._may_start(run):
                again = ", resumed" if (run.folder / "hyperparams.yaml").is_file() else ""
                self._start(run, again)

    def _start(self, run, again):
        self.waiting.remove(run)
        self._started[run] = time.monotonic()
        run.folder.mkdir(parents=True, exist_ok=True)
        with open(run.output, "a", encoding="utf-8") as file:
            print(f"{PROMPT}{shlex.join(run.command)}", file=file)
        try:
            where = self.jobs.start(run)
        except UserError as error:
            self._close(run, "failed", str(error))
        else:
            self.bar.write(f"started   {run.name} ({where}{again}), output in {run.output}")

    def _may_start(self, run):
        """Whether what it needs is there, or will be."""
        needs = run.needs
        return needs is None or needs in self.outcomes or (self.jobs.ahead and needs in self.jobs.running())

    def _in_vain(self, run):
        """Whether what it needs has not come to a good end."""
        return run.needs in self.outcomes and self.outcomes[run.needs].state != "finished"

    def _judge(self, run):
        """A run has ended: did it end well?"""
        seconds = time.monotonic() - self._started[run]
        if run.state() == "finished":
            self._close(run, "finished", f"in {duration(seconds)}")
        elif self.signals:
            self._close(run, "stopped", "the same command resumes it")
        elif self._in_vain(run):
            self._close(run, "skipped", f"{run.needs.name} failed")
        else:
            self._close(run, "failed", last_line(run.output))

    def _close(self, run, state, detail):
        if run in self.waiting:
            self.waiting.remove(run)
        self.outcomes[run] = Outcome(run, state, detail)
        self.bar.write(f"{state:<9} {run.name}: {detail}")
        self.bar.update()

    def _show(self):
        """Names and epochs of the runs under way, behind the bar."""
        text = ", ".join(f"{run.name} {_epochs(run)}" for run in self.jobs.running()[:SHOWN])
        if text != self._shown:
            self._shown = text
            self.bar.set_postfix_str(text)

    # --- signals --------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _listening(self):
        """Collect signals; leave no run behind that nobody watches."""
        heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup's stay so
        previous = {number: signal.signal(number, lambda n, _: self.signals.append(n)) for number in heard}
        self._heeded = 0
        try:
            yield
        except BaseException:
            self.jobs.stop()
            raise
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def _keep_waiting(self):
        """Pass new signals on, a second one as a command to end at once; whether ends can be waited for."""
        if self._heeded == len(self.signals):
            return True
        again, self._heeded = self._heeded > 0, len(self.signals)
        return self.jobs.stop(again)


def counts(outcomes):
    """Numbers of outcomes by state, as a phrase.

    Examples
    --------
    >>> counts([Outcome(None, "finished", ""), Outcome(None, "failed", ""), Outcome(None, "finished", "")])
    '2 finished, 1 failed'
    """
    return ", ".join(f"{n} {state}" for state, n in Counter(outcome.state for outcome in outcomes).most_common())


def last_line(path):
    """The sentence that a run ended with: its last ``error: …`` line, else its last line."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return "it printed nothing"
    lines = [line.strip() for line in re.split(r"[\r\n]", text) if line.strip()]
    starts = [number for number, line in enumerate(lines) if line.startswith(PROMPT)]
    lines = lines[starts[-1] + 1 if starts else 0 :]  # of the last of several tries
    errors = [line for line in lines if line.startswith("error: ")]
    return (errors or lines or ["it printed nothing"])[-1]


def _epochs(run):
    """Finished epochs of all, from the run's own log."""
    try:
        done = (run.folder / "train_log.txt").read_text(encoding="utf-8").count("\n")
    except OSError:
        done = 0
    return f"{done}/{run.epochs}"
