"""Duration-bucketed batches as a pure function of (seed, epoch), so that a run can resume anywhere.

An epoch is a list of micro-batches. An optimizer step takes the next ``accumulation × processes`` of them:
process r takes every ``processes``-th. Two processes with one micro-batch each therefore see exactly what one
process sees that accumulates two. Where the last step runs short, the processes left over get a micro-batch of
weight 0, so nothing is dropped or counted twice. How far an epoch has come is counted in its utterances, so that a run
may go on with another number of processes or another accumulation.
"""

import random
import signal
from array import array
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader

from serenanet_modules.data import audio
from serenanet_modules.data.manifest import Utterance

CHUNK = 2**16  # numbers of an array that are Python's own at once
READ, TIMES = 120.0, 4  # seconds read at once without gradients, but at most so many times the training's
SHUFFLE_JITTER = 0.15  # relative noise on a duration before sorting: batches of near-equal length, never the same


def read_seconds(trained):
    """Seconds of padded audio in a batch that keeps no gradients, where a training's micro-batch has ``trained``.

    Examples
    --------
    >>> [read_seconds(trained) for trained in (20.0, 60.0, 400.0)]
    [80.0, 120.0, 400.0]
    """
    return max(trained, min(READ, TIMES * trained))


@dataclass(frozen=True)
class MicroBatch:
    """Which utterances to load, and what they count for."""

    indices: tuple[int, ...]
    number: int  # position in the epoch over all processes, seeds the batch's randomness
    step_size: int  # utterances in the whole optimizer step, all processes together
    closes_step: bool
    weight: float = 1.0


@dataclass
class Batch:
    """Loaded utterances. wavs (B, S) float; wav_lengths (B,) samples; labels (B, U); label_lengths (B,)."""

    plan: MicroBatch
    utterances: list[Utterance]
    wavs: torch.Tensor
    wav_lengths: torch.Tensor
    labels: torch.Tensor
    label_lengths: torch.Tensor

    def to(self, device):
        """Move the tensors, in place."""
        for name in ("wavs", "wav_lengths", "labels", "label_lengths"):
            setattr(self, name, getattr(self, name).to(device, non_blocking=True))
        return self

    @property
    def weights(self):
        """Of the utterances, (B,)."""
        return self.wavs.new_tensor([u.weight for u in self.utterances])

    def mean(self, losses):
        """The mean over the utterances of their losses (B,), each times the utterance's weight."""
        return (losses * self.weights).mean()

    def part(self, start, stop):
        """Some of the utterances, padded to the longest of them, with the whole batch's plan."""
        wav_lengths, label_lengths = self.wav_lengths[start:stop], self.label_lengths[start:stop]
        wavs = self.wavs[start:stop, : int(wav_lengths.max())]
        labels = self.labels[start:stop, : int(label_lengths.max())]
        return Batch(self.plan, self.utterances[start:stop], wavs, wav_lengths, labels, label_lengths)

    def twice(self):
        """The utterances, and once more in the same order."""
        tensors = (self.wavs, self.wav_lengths, self.labels, self.label_lengths)
        return Batch(self.plan, 2 * self.utterances, *(torch.cat([t, t]) for t in tensors))


class BatchSampler:
    """Yield this process's `MicroBatch` plans of one epoch.

    Parameters
    ----------
    durations : sequence of float
        Seconds per utterance.
    max_batch_seconds : float
        Most seconds in a padded micro-batch: longest × count.
    accumulation : int
        Micro-batches per process in an optimizer step.
    seed : int
    rank, world_size : int
    shuffle : bool
        Whether to reshuffle each epoch; evaluation goes from long to short.
    validate_every : int, optional
        Optimizer steps of an epoch after each of which the plans end, and go on when `judged` says that dev was read.
    max_utterances : int, optional
        Most utterances in a micro-batch.

    Attributes
    ----------
    read, judged : int
        Utterances of this epoch that all processes together have read, in whole optimizer steps: so far, and when dev
        was read last.
    """

    def __init__(
        self,
        durations,
        max_batch_seconds,
        accumulation=1,
        seed=0,
        rank=0,
        world_size=1,
        shuffle=True,
        validate_every=None,
        max_utterances=None,
    ):
        self.durations = np.asarray(durations, dtype=float)
        self.max_batch_seconds, self.max_utterances = max_batch_seconds, max_utterances or len(self.durations)
        self.accumulation, self.world_size, self.rank = accumulation, world_size, rank
        self.seed, self.shuffle, self.validate_every = seed, shuffle, validate_every
        self.epoch = 1
        self.read = self.judged = 0
        self._planned = None  # the `Plan` of the epoch

    def set_epoch(self, epoch):
        """Choose the epoch; called by `Brain.fit`."""
        self.epoch = epoch

    def __len__(self):
        return self.done + self._steps(max(0, self._last() - self._first())) * self.accumulation

    def __iter__(self) -> Iterator[MicroBatch]:
        plan = self._plan()
        for first in range(self._first(), self._last(), self._per_step):
            step = [plan[i] for i in range(first, min(first + self._per_step, len(plan)))]
            size = sum(map(len, step))
            for a in range(self.accumulation):
                place = a * self.world_size + self.rank
                present = place < len(step)
                yield MicroBatch(
                    indices=tuple(step[place] if present else step[0][:1]),
                    number=first + place,
                    step_size=size,
                    closes_step=a == self.accumulation - 1,
                    weight=1.0 if present else 0.0,
                )

    @property
    def batches(self):
        """Micro-batches of the whole epoch, of all processes together."""
        return len(self._plan())

    @property
    def done(self):
        """Micro-batches that this process would have had, had it been there from the epoch's begin."""
        return self._steps(self._first()) * self.accumulation

    @property
    def _per_step(self):
        return self.accumulation * self.world_size

    def _steps(self, micro_batches):
        return -(-micro_batches // self._per_step)

    def _first(self):
        """Number of the first micro-batch that is still to be read."""
        return self._number(self.read)

    def _last(self):
        """Number of the micro-batch before which dev is to be read."""
        every, end = self.validate_every, len(self._plan())
        if not every:
            return end
        return min(end, (self._steps(self._number(self.judged)) // every + 1) * every * self._per_step)

    def _number(self, read):
        return self._plan().whole(read) if read else 0

    def _plan(self):
        if self._planned is None or self._planned.epoch != self.epoch:
            most = self.max_batch_seconds, self.max_utterances
            self._planned = Plan.of(self.durations, most, self.seed, self.epoch, self.shuffle)
        return self._planned


@dataclass(frozen=True)
class Plan:
    """The micro-batches of an epoch, in arrays: a corpus may have millions of utterances.

    Attributes
    ----------
    epoch : int
    order : numpy.ndarray
        (N,) utterances, those of a micro-batch side by side.
    edges : numpy.ndarray
        (B + 1,) where in ``order`` each of them begins, and the last one ends.
    turns : numpy.ndarray
        (B,) which of them comes first, second and so on.
    """

    epoch: int
    order: np.ndarray
    edges: np.ndarray
    turns: np.ndarray

    @classmethod
    def of(cls, durations, most, seed, epoch, shuffle):
        """Parameters as of `BatchSampler`; ``durations`` (N,), ``most`` padded seconds and utterances."""
        rng, keys = random.Random(f"{seed}/{epoch}"), -durations
        if shuffle:
            keys *= np.fromiter((rng.uniform(1, 1 + SHUFFLE_JITTER) for _ in range(len(keys))), float, len(keys))
        order = np.argsort(keys, kind="stable")
        edges = _edges(durations, order, *most)
        turns = array("q", range(len(edges) - 1))
        if shuffle:
            rng.shuffle(turns)
        return cls(epoch, order, edges, np.asarray(turns))

    def __len__(self):
        return len(self.turns)

    def __getitem__(self, number):
        """Utterances of a micro-batch, a list of int."""
        turn = self.turns[number]
        return self.order[self.edges[turn] : self.edges[turn + 1]].tolist()

    def whole(self, utterances):
        """How many micro-batches the first so many utterances of the epoch fill."""
        return int(np.searchsorted(np.diff(self.edges)[self.turns].cumsum(), utterances, side="right"))


def _edges(durations, order, seconds, count):
    """Where a micro-batch ends, since the next utterance of an order would make it longer than asked, or have more."""
    edges, begin, longest = array("q", [0]), 0, 0.0
    for first in range(0, len(order), CHUNK):
        for at, duration in enumerate(durations[order[first : first + CHUNK]].tolist(), start=first):
            longest = max(longest, duration)
            if at > begin and (longest * (at - begin + 1) > seconds or at - begin == count):
                edges.append(at)
                begin, longest = at, duration
    if len(order):
        edges.append(len(order))
    return np.asarray(edges)


class Utterances(torch.utils.data.Dataset):
    """Load whole micro-batches; the index is a `MicroBatch`.

    Parameters
    ----------
    utterances : list of Utterance
    root : Path
        Folder that the manifest's paths start from.
    encode : callable, optional
        Utterance -> list of unit ids; without it labels are empty.
    """

    def __init__(self, utterances, root, encode=None):
        self.utterances, self.root, self.encode = utterances, Path(root), encode

    def __len__(self):
        return len(self.utterances)

    def __getitem__(self, plan: MicroBatch) -> Batch:
        chosen = [self.utterances[i] for i in plan.indices]
        wavs = [torch.from_numpy(audio.prepared(self.root / u.path)) for u in chosen]
        labels = [torch.tensor(self.encode(u) if self.encode else [], dtype=torch.long) for u in chosen]
        return Batch(plan, chosen, *_pad(wavs), *_pad(labels))


def _pad(sequences):
    lengths = torch.tensor([len(s) for s in sequences])
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True), lengths


class ReadAhead(DataLoader):
    """A DataLoader that, where no processes read for it, reads the next item in a thread while one is used."""

    def __iter__(self):
        items = super().__iter__()
        return items if self.num_workers else _ahead(items)


def _ahead(items):
    """The items of an iterator, each made while the one before it is used."""
    with ThreadPoolExecutor(1, thread_name_prefix="reader") as reader:
        following = reader.submit(next, items, None)
        while (item := following.result()) is not None:
            following = reader.submit(next, items, None)
            yield item


def make_loader(dataset, sampler, num_workers=0):
    """`ReadAhead` over a sampler of `MicroBatch` plans."""
    return ReadAhead(
        dataset,
        batch_size=None,
        sampler=sampler,
        num_workers=num_workers,
        persistent_workers=False,
        worker_init_fn=_leave_signals_to_main,
    )


def loader_of(utterances, root, num_workers=0, batch_seconds=100.0):
    """A loader of each utterance once, without labels, in an order and batches that depend on nothing else."""
    sampler = BatchSampler([u.duration for u in utterances], batch_seconds, shuffle=False)
    return make_loader(Utterances(utterances, root), sampler, num_workers)


def _leave_signals_to_main(worker):
    """Outlive a signal to the whole process group, so that the main process can finish its step and save."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
