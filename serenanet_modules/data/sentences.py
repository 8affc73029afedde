"""Sentences as labels, batched for a language model by the sampler that batches utterances."""

import gzip
import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from serenanet_modules.data.batching import MicroBatch
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing


class Sentence(NamedTuple):
    """A sentence's name in messages: its place in the training text."""

    id: str


@dataclass
class TextBatch:
    """Loaded sentences. labels (B, U); label_lengths (B,)."""

    plan: MicroBatch
    utterances: list[Sentence]
    labels: torch.Tensor
    label_lengths: torch.Tensor

    def to(self, device):
        """Move the tensors, in place."""
        self.labels, self.label_lengths = self.labels.to(device), self.label_lengths.to(device)
        return self

    def part(self, start, stop):
        """Some of the sentences, padded to the longest of them, with the whole batch's plan."""
        lengths = self.label_lengths[start:stop]
        return TextBatch(self.plan, self.utterances[start:stop], self.labels[start:stop, : int(lengths.max())], lengths)


class Sentences(torch.utils.data.Dataset):
    """Load whole micro-batches; the index is a `MicroBatch`.

    Parameters
    ----------
    labels : array of uint16
        All sentences' labels, one behind the other.
    starts : array of int64
        Where each begins, and where the last one ends.
    words : int
        In all of them.
    """

    def __init__(self, labels, starts, words):
        self.labels, self.starts, self.words = labels, starts, words

    def __len__(self):
        return len(self.starts) - 1

    @property
    def lengths(self):
        """Labels of each sentence."""
        return np.diff(self.starts)

    def __getitem__(self, plan):
        spans = [self.labels[self.starts[i] : self.starts[i + 1]] for i in plan.indices]
        chosen = [torch.from_numpy(span.astype(np.int64)) for span in spans]
        lengths = torch.tensor([len(labels) for labels in chosen])
        padded = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
        return TextBatch(plan, [Sentence(f"sentence {i + 1}") for i in plan.indices], padded, lengths)

    @classmethod
    def of(cls, sequences, words):
        """From a list of arrays of labels."""
        return cls(np.concatenate(sequences), np.cumsum([0, *map(len, sequences)]), words)

    def save(self, path):
        """Write them to ``path``, whole or not at all."""
        with replacing(path) as partial, open(partial, "wb") as file:
            np.savez(file, labels=self.labels, starts=self.starts, words=self.words)

    @classmethod
    def load(cls, path):
        """Read what `save` wrote."""
        with np.load(path) as arrays:
            return cls(arrays["labels"], arrays["starts"], int(arrays["words"]))


def read_sentences(files) -> Iterator[str]:
    """The lines of UTF-8 text files, plain or .gz; empty ones are left out.

    Raises
    ------
    UserError
        For a file that is not there or is no such text.
    """
    for name in files:
        opener = gzip.open if str(name).endswith(".gz") else open
        if os.path.exists(name) and not os.path.isfile(name):
            raise UserError(f"{name}: is no file of text, but a folder, a pipe or a device")
        try:
            with opener(name, "rt", encoding="utf-8-sig") as lines:
                for line in lines:
                    if line.strip():
                        yield line.strip()
        except (OSError, EOFError) as error:
            raise UserError(f"{name}: cannot be read as text ({getattr(error, 'strerror', None) or error})") from None
        except UnicodeDecodeError:
            raise UserError(f"{name}: is not UTF-8 text; convert it first") from None


def fingerprint(files, *settings):
    """A key of files (by size and time of change) and settings."""
    parts = [f"{Path(f).resolve()} {Path(f).stat().st_size} {Path(f).stat().st_mtime_ns}" for f in files]
    return hashlib.sha256("\n".join([*parts, *map(str, settings)]).encode()).hexdigest()[:16]
