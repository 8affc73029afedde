"""Eyes and hands inside a run: each is called in the child process before train.py starts."""

import json
import os
import resource
import signal
import time
from pathlib import Path

import torch

from serenanet_modules.data import languages
from serenanet_modules.data.batching import Utterances
from serenanet_modules.runtime import lifeline
from serenanet_modules.training import screen
from serenanet_modules.training.brains import speech
from serenanet_modules.training.brains.ctc import CTCBrain
from serenanet_modules.training.brains.recogniser import RecogniserBrain
from serenanet_modules.training.checkpoints import AtomicCheckpointer
from serenanet_modules.training.loop import RecipeBrain
from serenanet_modules.training.sources import Speech

VICTIM = "common_voice_sw_00000028"  # of train


def record(folder):
    """Write every micro-batch's utterances and every step's rate, and whether it changed weights, to record.jsonl."""
    folder.mkdir(parents=True, exist_ok=True)
    fit_batch, optimizers_step = RecipeBrain.fit_batch, RecipeBrain.optimizers_step

    def write(**row):
        with open(folder / "record.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def recorded_batch(self, batch):
        if batch.plan.weight:
            write(epoch=self.progress.epoch, ids=[u.id for u in batch.utterances])
        return fit_batch(self, batch)

    def recorded_step(self):
        before = [p.detach().clone() for p in self.modules.parameters()]
        optimizers_step(self)
        changed = any(not torch.equal(a, b) for a, b in zip(before, self.modules.parameters(), strict=True))
        write(epoch=self.progress.epoch, lr=self.optimizer.param_groups[0]["lr"], changed=changed)

    RecipeBrain.fit_batch, RecipeBrain.optimizers_step = recorded_batch, recorded_step


def recorded(folder):
    """(micro-batches, optimizer steps) of record.jsonl."""
    rows = [json.loads(line) for line in (folder / "record.jsonl").read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if "ids" in row], [row for row in rows if "lr" in row]


def weights_by_step(folder):
    """Keep the model's weights before the first optimizer step and after each."""
    optimizers_step = RecipeBrain.optimizers_step

    def kept_step(self):
        (folder / "steps").mkdir(exist_ok=True)  # by now it is a run's folder
        if not self.optimizer_step:
            torch.save(self.modules.model.state_dict(), folder / "steps/0.pt")
        optimizers_step(self)
        torch.save(self.modules.model.state_dict(), folder / f"steps/{self.optimizer_step}.pt")

    RecipeBrain.optimizers_step = kept_step


def weights_of_steps(folder):
    """What `weights_by_step` kept, in order."""
    files = sorted(folder.glob("steps/*.pt"), key=lambda file: int(file.stem))
    return [torch.load(file, weights_only=True) for file in files]


def phases(folder):
    """Write beside the result folder when each phase of the run begins, see `begun`."""

    def begin(name):
        with open(f"{folder}.phases", "a", encoding="utf-8") as file:
            file.write(f"{name} {time.monotonic()}\n")

    def marked(function, name, then):
        def call(*args, **kwargs):
            begin(name)
            result = function(*args, **kwargs)
            begin(then)
            return result

        return call

    begin("start")
    Speech._prepare = marked(Speech._prepare, "preparation", "set-up")
    RecipeBrain.fit = marked(RecipeBrain.fit, "training", "averaging")
    RecogniserBrain.evaluate_splits = marked(RecogniserBrain.evaluate_splits, "evaluation", "report")


def begun(folder):
    """Phase -> when the last run with the hook `phases` began it, in seconds of `time.monotonic`."""
    file = Path(f"{folder}.phases")
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True) if file.exists() else []
    return {name: float(at) for name, at in (line.split() for line in lines if line.endswith("\n"))}


def good_mean(folder):
    """Let dev find no error with the mean of the best checkpoints."""
    RecipeBrain.error_on = lambda self, dev: 0.0


def bad_mean(folder):
    """Let dev find more errors with that mean than with any of them."""
    RecipeBrain.error_on = lambda self, dev: 1000.0


def impatient(folder):
    """Say after each step that is twice as late as the one before how long the training will take."""
    record(folder)
    screen.FIRST_WORD = 0.0


def slow(folder):
    """Take a tenth of a second for every micro-batch, and touch ``training`` or ``validating`` when it begins."""
    folder.mkdir(parents=True, exist_ok=True)
    fit_batch, evaluate_batch = RecipeBrain.fit_batch, RecipeBrain.evaluate_batch

    def slow_fit(self, batch):
        if self.step > 3:
            (folder / "training").touch()
        time.sleep(0.1)
        return fit_batch(self, batch)

    def slow_evaluate(self, batch, stage):
        (folder / "validating").touch()
        time.sleep(0.1)
        return evaluate_batch(self, batch, stage)

    RecipeBrain.fit_batch, RecipeBrain.evaluate_batch = slow_fit, slow_evaluate


def hasty(folder):
    """Take a process for stopped that gives no sign of life for eight seconds."""
    lifeline.SIGN, lifeline.SILENT = 1.0, 8


def poison(folder):
    """Make one training utterance's audio not a number, after the features' normaliser was fitted."""
    load = Utterances.__getitem__

    def poisoned(self, plan):
        batch = load(self, plan)
        for row, utterance in enumerate(batch.utterances):
            if utterance.id == VICTIM and self.encode:
                batch.wavs[row] = float("nan")
        return batch

    Utterances.__getitem__ = poisoned


def scarce(folder, least=1):
    """Run out of memory in the backward pass where `VICTIM` is in a batch of more than ``least`` utterances."""
    objectives = CTCBrain.compute_objectives

    def too_much(gradient):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 3.00 GiB.")

    def scarcely(self, outputs, batch, stage):
        losses = objectives(self, outputs, batch, stage)
        if self.modules.training and len(batch.utterances) > least and VICTIM in [u.id for u in batch.utterances]:
            next(self.modules.model.parameters()).register_post_accumulate_grad_hook(_once(too_much))
        return losses

    CTCBrain.compute_objectives = scarcely


def scarcer(folder):
    """As `scarce`, where `VICTIM` is alone too."""
    scarce(folder, least=0)


def _once(function):
    """A hook on a parameter that works in the next backward pass only."""
    done = []

    def called(parameter):
        if not done:
            done.append(True)
            function(parameter)

    return called


def full_disk(folder):
    """Let no file grow beyond 40 kB, which a checkpoint does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, 40_000))


def stalled(folder):
    """Let the main process work on preparation for minutes."""
    prepare = Speech._prepare

    def long(self, *given):
        (folder / "preparing").touch()
        for _ in range(1000):
            time.sleep(0.1)
        return prepare(self, *given)

    Speech._prepare = long


def children(pid):
    """Processes that a process has started, in order."""
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def indifferent(folder):
    """Let what is fitted before a training not depend on how often a sentence is in it: statistics and units."""
    train_units = languages.train_units
    languages.train_units = lambda kind, texts, size: train_units(kind, sorted(set(texts)), size)
    speech._fit = lambda acoustic, source, seed: None


def counting(folder):
    """Add a line to ``<folder>.encoded`` for each call of a public encoder: the utterances in it."""
    from serenanet_modules.lobes.pretrained import PublicEncoder

    forward = PublicEncoder.forward

    def counted(self, wavs, lengths):
        with open(f"{folder}.encoded", "a", encoding="utf-8") as file:
            file.write(f"{len(wavs)}\n")
        return forward(self, wavs, lengths)

    PublicEncoder.forward = counted


def encoded(folder):
    """How many utterances each call of a public encoder had, of all runs in a folder with the hook `counting`."""
    file = Path(f"{folder}.encoded")
    return [int(line) for line in file.read_text(encoding="utf-8").split()] if file.exists() else []


def in_small_files(folder):
    """Keep the frames of each sound in a file of its own, a twentieth of a second after the one before."""
    from serenanet_modules.data import frame_cache

    frame_cache.SHARD_SECONDS, write = 0.0, frame_cache.write_tensors

    def slowly(path, tensors):
        time.sleep(0.05)
        write(path, tensors)

    frame_cache.write_tensors = slowly


def three_threads(folder):
    """Let PyTorch have three threads, as on a machine with more cores."""
    torch.set_num_threads(3)


def improving(folder):
    """Let each epoch have a lower error rate on dev than the one before."""
    dev_errors = CTCBrain.dev_errors

    def lower(self):
        measure, *others = dev_errors(self).items()
        return {measure[0]: 90.0 - self.progress.epoch, **dict(others)}

    CTCBrain.dev_errors = lower


def killed_before_deleting(folder):
    """End the process when the third epoch is saved, before older checkpoints are deleted."""
    delete = AtomicCheckpointer.delete_checkpoints

    def killed(self, min_keys=None, **options):
        if len(self.list_checkpoints()) > 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return delete(self, min_keys=min_keys, **options)

    AtomicCheckpointer.delete_checkpoints = killed
