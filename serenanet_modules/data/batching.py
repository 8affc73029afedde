"""Duration-bucketed batches as a pure function of (seed, epoch), so that a run can resume anywhere.

An epoch is a list of micro-batches. An optimizer step takes the next ``accumulation × processes`` of them:
process r takes every ``processes``-th. Two processes with one micro-batch each therefore see exactly what one
process sees that accumulates two. Where the last step runs short, the processes left over get a micro-batch of
weight 0, so nothing is dropped or counted twice. How far an epoch has come is counted in its utterances, so that a run
may go on with another number of processes or another accumulation.
"""

import itertools
import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile
import torch
from torch.utils.data import DataLoader

from serenanet_modules.data.manifest import Utterance

SHUFFLE_JITTER = 0.15  # relative noise on a duration before sorting: batches of near-equal length, never the same


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


class BatchSampler:
    """Yield this process's `MicroBatch` plans of one epoch.

    Parameters
    ----------
    durations : list of float
        Seconds per utterance.
    max_batch_seconds : float
        Most seconds in a padded micro-batch: longest × count.
    accumulation : int
        Micro-batches per process in an optimizer step.
    seed : int
    rank, world_size : int
    shuffle : bool
        Whether to reshuffle each epoch; evaluation goes from long to short.
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
    ):
        self.durations = durations
        self.max_batch_seconds = max_batch_seconds
        self.accumulation, self.world_size, self.rank = accumulation, world_size, rank
        self.seed, self.shuffle = seed, shuffle
        self.epoch = 1
        self.read = 0  # utterances of this epoch that all processes together have read, in whole optimizer steps
        self._planned = (None, [])  # (epoch, its micro-batches)

    def set_epoch(self, epoch):
        """Choose the epoch; called by `Brain.fit`."""
        self.epoch = epoch

    def __len__(self):
        return self.done + self._steps(len(self._buckets()) - self._first()) * self.accumulation

    def __iter__(self) -> Iterator[MicroBatch]:
        buckets = self._buckets()
        for first in range(self._first(), len(buckets), self._per_step):
            step = buckets[first : first + self._per_step]
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
        ends = itertools.accumulate(map(len, self._buckets()))
        return sum(end <= self.read for end in ends) if self.read else 0

    def _buckets(self):
        if self._planned[0] != self.epoch:
            self._planned = (self.epoch, self._plan())
        return self._planned[1]

    def _plan(self):
        rng = random.Random(f"{self.seed}/{self.epoch}")
        noise = [rng.uniform(1, 1 + SHUFFLE_JITTER) if self.shuffle else 1 for _ in self.durations]
        order = sorted(range(len(self.durations)), key=lambda i: self.durations[i] * noise[i], reverse=True)
        buckets, bucket, longest = [], [], 0.0
        for i in order:
            longest = max(longest, self.durations[i])
            if bucket and longest * (len(bucket) + 1) > self.max_batch_seconds:
                buckets.append(bucket)
                bucket, longest = [], self.durations[i]
            bucket.append(i)
        if bucket:
            buckets.append(bucket)
        if self.shuffle:
            rng.shuffle(buckets)
        return buckets


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
        wavs = [torch.from_numpy(soundfile.read(self.root / u.path, dtype="float32")[0]) for u in chosen]
        labels = [torch.tensor(self.encode(u) if self.encode else [], dtype=torch.long) for u in chosen]
        return Batch(plan, chosen, *_pad(wavs), *_pad(labels))


def _pad(sequences):
    lengths = torch.tensor([len(s) for s in sequences])
    return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True), lengths


def make_loader(dataset, sampler, num_workers=0):
    """DataLoader over a sampler of `MicroBatch` plans."""
    return DataLoader(
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
