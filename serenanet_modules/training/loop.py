"""The training loop that every model shares, on SpeechBrain's Brain.

What it adds: randomness drawn from (seed, epoch, micro-batch) alone, so that a resumed run, or one on another
number of processes, draws the same; exact weights for utterances whatever the accumulation and the number of
processes; a learning rate set before each step, for each group of parameters; frozen parts; steps with non-finite
gradients that change nothing; micro-batches that do not fit into memory done in parts; checkpoints on time and on
signals; an end when the hours are over; and losses logged by name.
"""

import contextlib
import logging
import math
import os
import signal
import time

import speechbrain as sb
import torch
from speechbrain.core import Stage
from speechbrain.utils.checkpoints import ckpt_recency

from serenanet_modules.data.augment import change_speed
from serenanet_modules.data.batching import MicroBatch
from serenanet_modules.errors import UserError
from serenanet_modules.runtime import bars, distributed
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.eager import eager
from serenanet_modules.runtime.files import fingerprint
from serenanet_modules.runtime.lowered import Lowered
from serenanet_modules.runtime.precision import KINDS, Context
from serenanet_modules.runtime.sharding import blocks, sharing
from serenanet_modules.training.checkpoints import Steps
from serenanet_modules.training.groups import Frozen, groups
from serenanet_modules.training.halving import Halving, Undivided, attempting
from serenanet_modules.training.screen import EpochTable, Outlook
from serenanet_modules.training.task import Task
from serenanet_modules.training.writers import Writers

logger = logging.getLogger(__name__)

LOG_EVERY = 10  # optimizer steps between TensorBoard points
STDERR = 2
STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)  # the last is what Slurm is asked for before its limit
CHECKPOINT_BEFORE_VALIDATION = 30.0  # seconds of training worth a checkpoint when an epoch's steps are done


class TimeIsUp(Exception):
    """The hours that a training was given are over, and a checkpoint is written."""


class RecipeBrain(Task, sb.Brain):
    """A Brain that trains, and one that only measures what is trained: what training needs is made by `fit`.

    Subclasses give ``compute_forward``, ``compute_objectives``, ``validate_batch`` and ``dev_errors``, and answer
    what `Task` asks.

    ``compute_objectives(outputs, batch, Stage.TRAIN)`` returns a dict of named losses, each a mean over the
    batch's utterances, `Batch.mean` where these have weights; the entry ``loss`` is what is minimised.

    Parameters
    ----------
    progress : Progress
    sampler : BatchSampler
        Of the training loader; shared with `fit`.
    frozen : Frozen, optional
        Parts that keep their weights.
    factors : dict, optional
        Of the learning rate, as of `groups`.
    until : float
        When training ends with a checkpoint, in seconds of `time.monotonic`.
    modules, opt_class, hparams, run_opts, checkpointer
        As in `speechbrain.Brain`.
    """

    def __init__(
        self,
        modules,
        opt_class,
        hparams,
        *args,
        progress,
        sampler,
        frozen=None,
        factors=None,
        until=math.inf,
        **kwargs,
    ):
        asked = {key: hparams.get(key, "fp32") for key in ("precision", "eval_precision")}
        known = {key: KINDS[name].autocast for key, name in asked.items()}  # to the parent, which would compile all
        known["compile"], self.compiles = False, hparams.get("compile", False)
        super().__init__(modules, opt_class, {**hparams, **known}, *args, **kwargs)
        self.training_ctx, self.evaluation_ctx = (Context(name, self.device_type) for name in asked.values())
        model = self.modules.model
        self.lowered = Lowered(model, self.exact(model), *asked.values(), hparams.get("emulate_precision", False))
        self.sharing = sharing(hparams.get("fsdp", False), asked["precision"])
        self.progress, self.train_sampler = progress, sampler
        self.frozen, self.factors = frozen or Frozen(), factors
        self.until, self.out_of_time = until, False
        self.signal = None  # of `STOPPING`, that asked to stop
        self._suspects = []  # ids of utterances whose loss was not finite in the step under way
        self._scalars = {}  # of the last micro-batch
        self._clock = self._last_checkpoint = time.monotonic()
        self._cpu_clock = time.process_time()
        self.writer = None

    def fit(self, train_set, valid_set):
        """Train as the parent does; signals and the end of time end it after the step under way, with a checkpoint."""
        self._train_set = train_set
        previous = {s: signal.signal(s, self._on_signal) for s in STOPPING}
        try:
            super().fit(self.progress, train_set, valid_set)
        except TimeIsUp:
            self.out_of_time = True
            logger.warning("max_hours are over in epoch %d; the same command goes on from here", self.progress.epoch)
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)
            if self.writer is not None:
                self.writer.close()
        self.sharing.end(self.modules)

    def _on_signal(self, number, frame):
        if self.signal is None and distributed.is_main():  # a step may take a while
            with contextlib.suppress(OSError):  # no logger: this may stand in the middle of another line
                os.write(STDERR, b"\nstopping after this step, with a checkpoint\n")
        self.signal = number

    def on_fit_start(self):
        """Wrap, make the optimizer, recover, open the logs."""
        self.checkpointer.add_recoverable("progress", self.progress)
        super().on_fit_start()
        from speechbrain.utils.train_logger import FileTrainLogger  # which says what it lacks, by now to log.txt

        self.train_logger = FileTrainLogger(f"{self.hparams.output_folder}/train_log.txt")
        self.epochs, self.outlook = EpochTable(self.progress.limit), None
        self._halving = Halving(f"{self.hparams.output_folder}/save") if self.sharing.divides else Undivided()
        self._go_on_reading()
        self._clock = self._last_checkpoint = time.monotonic()
        self._cpu_clock = time.process_time()
        if distributed.is_main():
            self.writer = Writers(_plain(vars(self.hparams)), self.optimizer_step)
        if self.progress.finished:  # and killed, perhaps, before it had deleted
            self._keep_few()
        if self.progress.finished:
            logger.info("The training is finished; the model is evaluated")
        elif self.progress.read:
            logger.info("Resuming in epoch %d after %d utterances", self.progress.epoch, self.progress.read)
        elif self.progress.epoch:
            logger.info("Resuming after epoch %d", self.progress.epoch)
        self.progress.compare_limits()
        self.progress.count_micro_batches(self.train_sampler.accumulation, distributed.world_size())

    def _go_on_reading(self):
        """Let the sampler go on where the training is, and the progress bar show it."""
        self.train_sampler.read, self.train_sampler.judged = self.progress.read, self.progress.judged
        self.step = self.train_sampler.done

    def _wrap_distributed(self):
        """Give all processes the main one's weights."""
        distributed.broadcast_tensors(self.modules.state_dict().values())

    def init_optimizers(self):
        """Make the optimizer of `groups` of parameters."""
        self.optimizer = eager(self.opt_class)(groups(self.modules, self.factors, self.frozen.later))
        self.optimizers_dict = {"opt_class": self.optimizer}
        placed = self.sharing.share_out(self.modules, self.optimizer, self._attempt)
        self.frozen.later = [placed(parameter) for parameter in self.frozen.later]
        Steps(self.optimizer).add_to(self.checkpointer, "optimizer")
        for block in blocks(self.modules) if self.compiles else ():
            block.compile(dynamic=True)  # when it is first called

    def _attempt(self):
        """Pass the shortest utterance through the network."""
        plan = MicroBatch((int(self.train_sampler.durations.argmin()),), 0, 1, True)
        with self.evaluation_ctx:
            self.compute_forward(self._train_set.dataset[plan].to(self.device), Stage.VALID)

    @property
    def trained_parameters(self):
        """How many numbers the optimizer changes, now or later."""
        return sum(p.numel() for p in self._parameters)

    @property
    def _parameters(self):
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    # --- training -------------------------------------------------------------------------------------------------

    def views(self, batch):
        """The batch as it is trained on; by default as it is."""
        return batch

    def inputs(self, batch, stage):
        """Samples (B, S) and lengths (B,) of a batch; training changes its speed at random."""
        wavs, lengths = batch.wavs, batch.wav_lengths
        if stage == Stage.TRAIN and self.hparams.speed_perturb is not None:
            wavs, lengths = change_speed(self.hparams.speed_perturb, wavs, lengths)
        return wavs, lengths

    def scalars(self, outputs):
        """What the outputs of ``compute_forward`` tell beside losses, for TensorBoard: scalars by name."""
        return {}

    def fit_batch(self, batch):
        """One micro-batch; the optimizer steps where the plan closes a step."""
        plan = batch.plan
        self.frozen.before(self.optimizer_step)
        parts = self._halving.run(
            self.progress.epoch, batch, attempting(self._parameters, lambda *span: self._backward(batch, *span))
        )
        losses = _mean(parts)
        if not all(torch.isfinite(part["loss"]) for _, part in parts):
            self._suspects = self._suspects or [u.id for u in batch.utterances]
        elif plan.weight and losses:
            self.progress.add(losses)
        if plan.closes_step:
            self.progress.read += plan.step_size
            self.optimizers_step()
            self._log_step(losses)
            self._look_out()
        return losses["loss"].cpu() if losses else torch.tensor(torch.nan)  # which no mean counts

    def _backward(self, batch, start, stop):
        """Add the gradient of some utterances of a micro-batch; their losses."""
        plan = batch.plan
        whole = stop - start == len(batch.utterances)
        torch.manual_seed(_mix(self.hparams.seed, self.progress.epoch, plan.number, *(() if whole else (start, stop))))
        part = self.views((batch if whole else batch.part(start, stop)).to(self.device))
        with self.training_ctx:
            outputs = self.compute_forward(part, Stage.TRAIN)
            losses = self.compute_objectives(outputs, part, Stage.TRAIN)
        self._scalars = self.scalars(outputs)
        # gradients are summed over processes: each utterance of the step weighs the same
        share = plan.weight * (stop - start) / plan.step_size
        self.scaler.scale(losses["loss"] * share).backward()
        return {name: value.detach() for name, value in losses.items()}

    def suspect(self, ids):
        """Remember utterances whose loss is not finite."""
        self._suspects += ids

    def optimizers_step(self):
        """Clip, set the rate, step; a non-finite gradient changes nothing and names its utterances."""
        self.sharing.sum_gradients(self._parameters)
        self.scaler.unscale_(self.optimizer)
        norm = self.sharing.clip(self._parameters, self.hparams.max_grad_norm)
        self.optimizer_step += 1
        rate = self.hparams.lr_schedule(self.optimizer_step, self._share_done())
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        finite = bool(torch.isfinite(norm))
        if finite or self.scaler.is_enabled():
            self.scaler.step(self.optimizer)
            self.scaler.update()
        self.progress.skipped = 0 if finite else self.progress.skipped + 1
        if not finite:
            self._report_skipped()
        self._suspects = []
        self.optimizer.zero_grad(set_to_none=True)

    def _report_skipped(self):
        names = distributed.gather_objects(self._suspects)
        logger.warning(
            "Step %d changed no weight: its gradient is not finite. Utterances with a non-finite loss: %s",
            self.optimizer_step,
            ", ".join(names) or "none, the backward pass overflowed",
        )
        if self.progress.skipped > self.hparams.nonfinite_patience:
            raise UserError(
                f"{self.progress.skipped} optimizer steps in a row had a non-finite gradient, more than "
                f"nonfinite_patience {self.hparams.nonfinite_patience}; look at the utterances named in log.txt, or "
                "lower lr"
            )

    def _share_done(self):
        """Share of the whole training done when the step under way is finished, 0…1."""
        epoch = self.progress.epoch - 1 + self.progress.read / len(self.train_sampler.durations)
        return epoch / self.progress.limit

    @property
    def _rate(self):
        """Of the last optimizer step, for parts whose factor is 1."""
        group = self.optimizer.param_groups[0]
        return group["lr"] / group["factor"]

    def _log_step(self, losses):
        if self.writer is None or self.optimizer_step % LOG_EVERY:
            return
        for name, value in losses.items():
            self.writer.add_scalar(f"train/{name}", float(value.detach()), self.optimizer_step)
        self.writer.add_scalar("train/lr", self._rate, self.optimizer_step)
        for name, value in self._scalars.items():
            self.writer.add_scalar(f"train/{name}", float(value), self.optimizer_step)

    def _look_out(self):
        """Say within the first epoch of this run, where no bar does, how far it is and how long all will take."""
        if self.writer is None or bars.shown() or self.epochs.begun:
            return
        if line := self.outlook.line(self.progress.epoch, self.progress.read, self._share_done()):
            logger.info(line)

    # --- checkpoints ----------------------------------------------------------------------------------------------

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time, steps_since_ckpt):
        if self.step % self.train_sampler.accumulation:
            return False
        interval = 60 * self.hparams.ckpt_interval_minutes  # 0: none on time
        due = 0 < interval < time.monotonic() - self._last_checkpoint or self._late
        return distributed.broadcast_object(due or self.signal is not None)

    @property
    def _late(self):
        return time.monotonic() > self.until

    def _save_intra_epoch_ckpt(self):
        self._tick()
        self.progress.gather()
        super()._save_intra_epoch_ckpt()
        self._last_checkpoint = time.monotonic()
        self._leave_if_asked()

    def _leave_if_asked(self):
        """Exit if the main process was asked to, or is late; all processes call this where a checkpoint is written."""
        number, late = distributed.broadcast_object((self.signal, self._late))
        if number is not None:
            name = signal.Signals(number).name
            logger.warning("Stopped by %s; the same command resumes from here", name)
            raise SystemExit(128 + number)
        if late and not self.progress.finished:
            raise TimeIsUp

    def _tick(self):
        """Add the time since the last call to the training's seconds."""
        now, cpu_now = time.monotonic(), time.process_time()
        self.progress.seconds += now - self._clock
        self.progress.cpu_seconds += cpu_now - self._cpu_clock
        self._clock, self._cpu_clock = now, cpu_now

    # --- stages ---------------------------------------------------------------------------------------------------

    def on_stage_start(self, stage, epoch=None):
        """Say before the first epoch of this run how much there is to do."""
        if stage != Stage.TRAIN or self.outlook is not None:
            return
        sampler, limit = self.train_sampler, self.progress.limit
        sampler.set_epoch(epoch)
        size, batches, items = len(sampler.durations), sampler.batches, self.reads.items
        if self.writer is not None:
            logger.info("epoch %d of %d: %d %s in %d batches", epoch, limit, size, items, batches)
        self.outlook = Outlook(limit, size, items, self._share_done())

    def _fit_valid(self, *args, **kwargs):
        with self.sharing.gathered(self.modules):
            super()._fit_valid(*args, **kwargs)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Close a stage: a checkpoint before a long validation, scores and a checkpoint after it."""
        if stage == Stage.TRAIN:
            elapsed = time.monotonic() - self._last_checkpoint
            if distributed.broadcast_object(elapsed > CHECKPOINT_BEFORE_VALIDATION):
                self._save_intra_epoch_ckpt()
            return
        errors = self.dev_errors()
        losses = distributed.gather_objects([float(stage_loss)])
        dev_loss = sum(losses) / len(losses)
        share = min(1, self.progress.read / len(self.train_sampler.durations))  # of the epoch
        epoch = epoch if share == 1 else round(epoch - 1 + share, 4)
        self.progress.judge(float(next(iter(errors.values()))), dev_loss, whole=share == 1)
        self._go_on_reading()
        self.progress.gather()
        self._tick()
        self._remember(epoch, dev_loss, errors)
        self._log_epoch(epoch, dev_loss, errors)
        meta = {"epoch": epoch, "error": self.progress.dev_errors[-1]}
        self.checkpointer.save_checkpoint(meta, verbosity=logging.DEBUG)
        self._keep_few()
        self._last_checkpoint = time.monotonic()
        self._leave_if_asked()

    def _keep_few(self):
        """Delete checkpoints but the best ones and the latest."""
        self.checkpointer.delete_checkpoints(
            num_to_keep=self.hparams.checkpoints_to_average,
            min_keys=["error"],
            importance_keys=[ckpt_recency],
            verbosity=logging.DEBUG,
        )

    def _remember(self, epoch, dev_loss, errors):
        """Add the epoch, or what is done of it, to the history, which checkpoints and result.json hold."""
        entry = {"epoch": epoch, "steps": self.optimizer_step, "seconds": round(self.progress.seconds, 1)}
        dev = {"loss": dev_loss, **{name: float(value) for name, value in errors.items()}}
        entry["weights"] = fingerprint({n: p for n, p in self.modules.named_parameters() if p.requires_grad})
        self.progress.history.append({**entry, "train": self.progress.means, "dev": dev})

    @torch.no_grad()
    def evaluate_batch(self, batch, stage):
        """Validate one batch."""
        if distributed.world_size() == 1 and self.signal is not None:
            self._save_intra_epoch_ckpt()
        with self.evaluation_ctx:
            batch.to(self.device)
            outputs = self.compute_forward(batch, stage)
            losses = self.compute_objectives(outputs, batch, stage)
        self.validate_batch(outputs, batch)
        return losses["loss"].detach().cpu()

    @property
    def selects(self):
        """Name of dev's error that selects checkpoints; None before dev was read."""
        history = self.progress.history
        return next(name for name in history[-1]["dev"] if name != "loss") if history else None

    @torch.no_grad()
    def error_on(self, dev):
        """Dev's error that selects checkpoints, with the weights as they are; it is no part of the training.

        Parameters
        ----------
        dev : DataLoader
            As of `fit`; all processes call this alike.
        """
        self.modules.eval()
        for batch in bars.Bar(dev, desc="dev: mean of weights", disable=not distributed.is_main()):
            with self.evaluation_ctx:
                outputs = self.compute_forward(batch.to(self.device), Stage.VALID)
            self.validate_batch(outputs, batch)
        return float(next(iter(self.dev_errors().values())))

    def shown(self, dev):
        """What the epoch's line shows of dev's loss and error rates: by default all of them."""
        return dev

    def _log_epoch(self, epoch, dev_loss, errors):
        infeasible = self.progress.infeasible
        if infeasible:
            logger.warning(
                "%s left out, with fewer frames than labels: %s",
                counted(len(infeasible), "utterance"),
                ", ".join(infeasible),
            )
        stats = {"epoch": epoch, "lr": f"{self._rate:.2e}"}
        self.train_logger.log_stats(  # on all processes: only the main one writes, and the others wait for it
            {**stats, "seconds": round(self.progress.seconds)},
            train_stats=self.progress.means,
            valid_stats={"loss": dev_loss, **errors},
            verbose=False,
        )
        if self.writer is None:
            return
        dev = {"loss": dev_loss, **errors}
        logger.info(self.epochs.lines(epoch, self.progress.means, self.shown(dev), self._rate, self.progress.seconds))
        for name, value in dev.items():
            self.writer.add_scalar(f"dev/{name}", value, self.optimizer_step)
        self.writer.add_scalar("train/infeasible", len(infeasible), self.optimizer_step)
        self.writer.flush()


def _plain(values):
    """Those of them that are no objects, nor hold any."""
    return {key: value for key, value in values.items() if isinstance(value, (str, int, float, list))}


def _mean(parts):
    """Named losses of a micro-batch from (number of utterances, losses) of its parts; {} where there are none."""
    if len(parts) == 1:
        return parts[0][1]
    total = sum(count for count, _ in parts)
    names = parts[0][1] if parts else ()
    return {name: sum(count * losses[name] for count, losses in parts) / total for name in names}


def _mix(*numbers):
    """A seed from several integers."""
    seed = 0
    for number in numbers:
        seed = (seed * 1_000_003 + number + 1) % (2**63)
    return seed
