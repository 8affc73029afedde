"""One thread that runs a network, on several requests at a time."""

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from concurrent.futures import Future

from serenanet_modules.data.audio import SAMPLE_RATE

IDLE = 1.0  # seconds
LONGER = 10  # times the wait for company that is on its way

log = logging.getLogger(__name__)


class Job:
    """A request for the transcript of samples (N,) at 16 kHz.

    Attributes
    ----------
    seconds : float
    future : Future
        Of its result.
    share : float or None
        Of the batch that it is in, what is heard already; None while it waits.
    gone : bool
        Whether nobody waits for it any more.
    """

    def __init__(self, samples, recognise):
        self.samples, self.seconds, self.future = samples, len(samples) / SAMPLE_RATE, Future()
        self.recognise = recognise
        self.share, self.gone = None, False


class Abandoned(Exception):
    """Nobody waits for a batch any more."""


class Heard:
    """What the network tells about a batch while it reads it: a progress bar as `Network.read` takes it.

    Raises
    ------
    Abandoned
        By `update`, where nobody waits for any of the jobs.
    """

    def __init__(self, jobs):
        self._jobs, self._all, self._done, self.total = jobs, sum(job.seconds for job in jobs), 0.0, 0.0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def update(self, seconds):
        """So many more seconds were heard."""
        if all(job.gone for job in self._jobs):
            raise Abandoned
        self._done += seconds
        for job in self._jobs:
            job.share = min(1.0, self._done / self._all)


class Batcher:
    """Collects audio that arrives while the network is busy, or within a few milliseconds of it, into batches.

    A request that finds the network idle is taken at once. Behind a batch of several, whose senders may well send their
    next ones now, it is given a moment until as many are here again, and a longer one while others are on their way:
    inside `expecting`.

    Parameters
    ----------
    recognise : callable
        From a list of samples, and a `Heard` that it tells how far it is, to a list of results, one each: a
        transcript, or the `UserError` that stands for it. It only ever runs in the batcher's own thread.
    batch_seconds : float
        Most seconds of audio in a batch of more than one.
    wait : float
        Seconds to wait for company behind a batch that had some.
    observe : callable, optional
        Called after each batch with its number of requests and its seconds of audio.
    idle : callable, optional
        Called when nothing has come for `IDLE` seconds behind a batch, in the batcher's thread.
    """

    def __init__(self, recognise, batch_seconds, wait=0.005, observe=None, idle=lambda: None):
        self._recognise, self._batch_seconds, self._wait = recognise, batch_seconds, wait
        self._observe = observe or (lambda requests, seconds: None)
        self._idle, self._closed = idle, False
        self._jobs, self._changed = deque(), threading.Condition()
        self._company = 0  # in the latest batch
        self._coming = self._slow = 0  # on their way; those among them that were waited for in vain
        self.last_seconds = 0.0  # that the latest batch took
        self._in_work = []
        self._thread = threading.Thread(target=self._run, name="batcher", daemon=True)
        self._thread.start()

    def __len__(self):
        """Requests that wait."""
        return len(self._jobs)

    @property
    def seconds(self):
        """Of audio that waits or is in work, and that somebody wants."""
        with self._changed:
            jobs = [*self._jobs, *self._in_work]
        return sum(job.seconds for job in jobs if not job.gone)

    def submit(self, samples, recognise=None):
        """A `Job` for samples (N,) at 16 kHz, which `result` waits for.

        Another ``recognise`` may stand in the place of the batcher's; a batch is of requests that have the same.
        """
        job = Job(samples, recognise or self._recognise)
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return job

    @contextlib.contextmanager
    def expecting(self):
        """Around the work of whoever is about to submit a request, or to find that there is none."""
        with self._changed:
            self._coming += 1
        try:
            yield
        finally:
            with self._changed:
                self._coming -= 1
                self._slow = min(self._slow, self._coming)
                self._changed.notify()

    async def result(self, job):
        """The transcript; cancelled before its turn, a job costs nothing, and later no more than the next few seconds.

        Raises
        ------
        UserError
            For audio that the recogniser refuses.
        Exception
            What it died of, alone.
        """
        try:
            return await asyncio.wrap_future(job.future)
        except asyncio.CancelledError:
            job.gone = True
            raise

    def close(self):
        """End the thread when everything that waits is done."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self):
        while batch := self._next():
            self._in_work = batch = [job for job in batch if job.future.set_running_or_notify_cancel()]
            began = time.monotonic()
            for job, result in zip(batch, self._results(batch), strict=True):
                if isinstance(result, Exception):
                    job.future.set_exception(result)
                else:
                    job.future.set_result(result)
            self._in_work = []
            if batch:
                self.last_seconds = time.monotonic() - began
                self._observe(len(batch), sum(job.seconds for job in batch))

    def _next(self):
        """Wait for a batch; none at the end."""
        with self._changed:
            wanted = self._changed.wait_for(self._wanted, IDLE if self._company else None)
        if not wanted:
            self._idle()  # without the lock: who submits must not wait for it
        with self._changed:
            self._changed.wait_for(self._wanted)
            if self._company > 1:
                self._changed.wait_for(self._as_many, self._wait)
                if not self._changed.wait_for(self._all_here, LONGER * self._wait):
                    self._slow = self._coming
            batch, seconds = [], 0.0
            while self._jobs and (not batch or self._joins(batch[0], seconds)):
                batch.append(self._jobs.popleft())
                seconds += batch[-1].seconds
            self._company = len(batch)
        return batch

    def _joins(self, first, seconds):
        """Whether the next request fits into a batch of so many seconds."""
        job = self._jobs[0]
        return job.recognise is first.recognise and seconds + job.seconds <= self._batch_seconds

    def _wanted(self):
        return self._jobs or self._closed

    def _enough(self):
        return self._closed or sum(job.seconds for job in self._jobs) >= self._batch_seconds

    def _as_many(self):
        return self._enough() or len(self._jobs) + self._coming - self._slow >= self._company

    def _all_here(self):
        return self._enough() or self._coming <= self._slow

    def _results(self, jobs):
        """Transcripts or errors; what a batch dies of is found by trying its requests one by one."""
        if not jobs:
            return []
        try:
            results = jobs[0].recognise([job.samples for job in jobs], Heard(jobs))
            if len(results) != len(jobs):
                raise RuntimeError(f"{len(results)} results for {len(jobs)} sources")
            return results
        except Abandoned as error:
            return [error] * len(jobs)
        except Exception as error:
            if len(jobs) > 1:
                log.warning("a batch of %d requests failed and is tried one by one (%s)", len(jobs), error)
                return [result for job in jobs for result in self._results([job])]
            return [error]
