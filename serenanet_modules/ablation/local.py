"""Runs as processes of this machine, so many at a time, each with its share of cores and GPUs."""

import os
import signal
import subprocess

from serenanet_modules.runtime.bars import Bar
from serenanet_modules.runtime.threads import CORES, available_cores

QUIET = {"TQDM_MININTERVAL": "30"}  # progress bars into a file


class LocalJobs:
    """Starts and watches processes.

    Parameters
    ----------
    limit : int
        Processes at a time.
    gpus : list of str
        Numbers or names for CUDA_VISIBLE_DEVICES, dealt out in turn; with fewer than two the environment stays.
    """

    ahead = False  # a run starts when what it needs has finished

    def __init__(self, limit, gpus=()):
        self.limit, self.gpus = limit, list(gpus)
        self.cores = max(1, available_cores() // limit)
        self._running = {}  # Run -> its process
        self._slots = {}  # Run -> number below the limit

    def start(self, run):
        """Start a run, whose output goes to its file; returns a word on where it runs."""
        slot = min(set(range(self.limit)) - set(self._slots.values()))
        environment = {**QUIET, **os.environ, CORES: str(self.cores)}
        if len(self.gpus) > 1:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpus[slot % len(self.gpus)]
        with open(run.output, "a", encoding="utf-8") as output:
            # a session of its own: Ctrl-C reaches this program alone, which then asks the runs to end
            self._running[run] = subprocess.Popen(
                run.command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        self._slots[run] = slot
        return f"process {self._running[run].pid}"

    def running(self):
        """Runs that have not been reported as ended."""
        return list(self._running)

    def ended(self):
        """Runs that ended since the last call."""
        over = [run for run, process in self._running.items() if process.poll() is not None]
        for run in over:
            del self._running[run], self._slots[run]
        return over

    def stop(self, again=False):
        """Ask every run to save and end; asked ``again``, end them at once. True: they will be seen to end."""
        if self._running and not again:
            Bar.write("stopping: each run saves a checkpoint and ends; press Ctrl-C again to end them at once")
        for process in self._running.values():
            if again:
                os.killpg(process.pid, signal.SIGKILL)  # the data loaders' workers too
            else:
                process.send_signal(signal.SIGTERM)
        return True


def gpus():
    """GPUs that this process sees, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name for name in given.split(",") if name]
    return [str(i) for i in range(torch.cuda.device_count())]
