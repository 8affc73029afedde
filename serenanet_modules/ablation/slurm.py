"""Runs as Slurm jobs: ``sbatch TEMPLATE python train.py …`` for each, the template's own script runs ``"$@"``."""

import logging
import shutil
import subprocess
import sys

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.bars import Bar

logger = logging.getLogger(__name__)

JOB = "job.txt"  # in a run's folder: number and name of the job submitted for it


class SlurmJobs:
    """Submits and watches jobs.

    Parameters
    ----------
    template : Path
        A batch script that runs its arguments, with the cluster's own #SBATCH lines.
    limit : int or None
        Jobs in the queue at a time.
    """

    ahead = True  # a run is submitted together with what it needs, and depends on it

    def __init__(self, template, limit=None):
        if not template.is_file():
            raise UserError(f"--sbatch: there is no file {template}")
        if shutil.which("sbatch") is None:
            raise UserError("--sbatch: this machine has no sbatch; leave the option out to run here")
        self.template, self.limit = template, limit or sys.maxsize
        self._jobs = {}  # Run -> job number, until it has ended

    def start(self, run):
        """Submit a run, or take up the job that an earlier call left in the queue; returns a word on which."""
        file, name = run.folder / JOB, f"serenanet:{run.name}"
        if file.is_file():
            job = file.read_text(encoding="ascii").split()[0]
            if self._queue().get(job) == name:
                self._jobs[run] = job
                return f"job {job}, submitted before"
        options = [f"--job-name={name}", f"--output={run.output}", "--open-mode=append"]
        if run.needs in self._jobs:
            options += [f"--dependency=afterok:{self._jobs[run.needs]}", "--kill-on-invalid-dep=yes"]
        command = ["sbatch", "--parsable", *options, str(self.template), *run.command]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"sbatch refused {run.name}: {done.stderr.strip() or done.stdout.strip()}")
        self._jobs[run] = done.stdout.strip().split(";")[0]  # NUMBER or NUMBER;CLUSTER
        file.write_text(f"{self._jobs[run]} {name}\n", encoding="ascii")
        return f"job {self._jobs[run]}"

    def running(self):
        """Runs that have not been reported as ended."""
        return list(self._jobs)

    def ended(self):
        """Runs whose jobs have left the queue since the last call."""
        try:
            queue = self._queue()
        except UserError as error:  # a controller that restarts answers again later
            logger.warning("%s; asked again", error)
            return []
        over = [run for run, job in self._jobs.items() if job not in queue]
        for run in over:
            del self._jobs[run]
        return over

    def stop(self, again=False):
        """Leave the jobs to Slurm. False: nobody waits for their end."""
        jobs = " ".join(self._jobs.values())
        Bar.write(f"the jobs go on; the same command waits for them again, and this ends them: scancel {jobs}")
        return False

    def _queue(self):
        """{job number: name} of this user's jobs."""
        done = subprocess.run(["squeue", "--me", "--noheader", "--format=%A %j"], capture_output=True, text=True)
        if done.returncode:
            raise UserError(f"squeue: {done.stderr.strip()}")
        return dict(line.strip().split(" ", 1) for line in done.stdout.splitlines())
