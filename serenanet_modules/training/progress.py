"""How far a training has come: what a resumed run must know besides weights and optimizer."""

import json
import logging

from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

from serenanet_modules.runtime import distributed

logger = logging.getLogger(__name__)


@register_checkpoint_hooks
class Progress:
    """Iterates epochs, or parts of them after which dev is read, remembers how dev went, and stops early.

    Parameters
    ----------
    limit : int
        Number of epochs.
    patience : int
        Readings of dev with neither a better error nor a better loss before stopping; 0 never stops early. The loss
        counts too because a CTC model's error stays at 100 % for many epochs before it says its first word.

    Examples
    --------
    >>> progress = Progress(limit=10, patience=2)
    >>> for epoch in progress:
    ...     progress.judge(error=[9.0, 5.0, 6.0, 7.0, 1.0][epoch - 1], loss=1.0)
    >>> progress.epoch
    4
    """

    def __init__(self, limit, patience=0):
        self.limit, self.patience = limit, patience
        self.limit_before = limit  # of the run that is resumed
        self.epoch = 0  # the epoch under way or just finished
        self.read = 0  # utterances of its plan that are read, 0 where it is finished
        self.judged = 0  # how many they were when dev was read last
        self.micro_batches = None  # in an optimizer step, of all processes
        self.dev_errors = []  # one per reading of dev, which comes at an epoch's end, and perhaps within
        self.dev_losses = []
        self.history = []  # a dict per reading of dev, for plots
        self.skipped = 0  # optimizer steps in a row that changed nothing for a non-finite gradient
        self.seconds = 0.0  # spent in training and validation, over all runs
        self.cpu_seconds = 0.0  # of this process's cores in the same time
        self.sums = {}  # since dev was read, of each named loss over this process's micro-batches where it is finite,
        self.batches = 0  # and the number of those
        self.infeasible = []  # ids of the same time's utterances with fewer frames than labels
        self._inside_epoch = False

    def __iter__(self):
        while not self.finished:
            if not self._inside_epoch:
                self.epoch += 1
                self.read = self.judged = 0
            if not self._inside_epoch or self.read == self.judged > 0:
                self.sums, self.batches, self.infeasible = {}, 0, []
            self._inside_epoch = False
            yield self.epoch

    def judge(self, error, loss, whole=True):
        """Remember dev's error and loss at the end of an epoch, or of a part of it that is not the ``whole``."""
        self.dev_errors.append(error)
        self.dev_losses.append(loss)
        self.read = self.judged = 0 if whole else self.read
        self._inside_epoch = not whole

    def add(self, losses):
        """Count a micro-batch's named losses."""
        self.batches += 1
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())

    def count_micro_batches(self, accumulation, processes):
        """Remember how many an optimizer step has, and warn where it is not what it was."""
        had, has = self.micro_batches, accumulation * processes
        if had not in (None, has):
            hint = "" if had % processes else f"; --grad_accumulation_factor {had // processes} keeps {had}"
            logger.warning("An optimizer step has %d micro-batches now, and had %d before%s", has, had, hint)
        self.micro_batches = has

    def compare_limits(self):
        """Say that another number of epochs was asked for before, as the learning rate goes by it."""
        if self.limit_before != self.limit:
            told = "number_of_epochs was %d before and is %d now: the learning rate now falls to its end at epoch %d"
            logger.warning(told, self.limit_before, self.limit, self.limit)

    def gather(self):
        """Let the main process know what all have found; all call this alike."""
        self.infeasible = sorted(set(distributed.gather_objects(self.infeasible)))
        found = distributed.gather_objects([(self.sums, self.batches)])
        self.sums, self.batches = {}, 0
        for sums, batches in found if distributed.is_main() else ():
            self.batches += batches
            for name, value in sums.items():
                self.sums[name] = self.sums.get(name, 0.0) + value

    @property
    def means(self):
        """Mean of each named loss since dev was read last: of all processes on the main one, once they are gathered."""
        return {name: total / self.batches for name, total in self.sums.items()}

    @property
    def finished(self):
        """Whether the limit is reached or patience has run out."""
        return self.stopped_early or (self.epoch >= self.limit and not self._inside_epoch and not self.read)

    @property
    def ended_by(self):
        """The setting that has ended a finished training."""
        return "early_stopping_patience" if self.stopped_early else "number_of_epochs"

    @property
    def stopped_early(self):
        """Whether the last ``patience`` readings of dev all failed to improve on the best before them."""
        if not self.patience or len(self.dev_errors) <= self.patience:
            return False
        return not any(
            min(values[-self.patience :]) < min(values[: -self.patience])
            for values in (self.dev_errors, self.dev_losses)
        )

    @mark_as_saver
    def _save(self, path):
        names = (
            "epoch",
            "read",
            "judged",
            "micro_batches",
            "dev_errors",
            "dev_losses",
            "history",
            "skipped",
            "seconds",
            "cpu_seconds",
            "sums",
            "batches",
            "infeasible",
        )
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"limit": self.limit, **{name: getattr(self, name) for name in names}}, file)

    @mark_as_loader
    def _load(self, path, end_of_epoch):
        with open(path, encoding="utf-8") as file:
            state = json.load(file)
        self.limit_before = state.pop("limit", self.limit)
        for name, value in state.items():
            setattr(self, name, value)
        if not distributed.is_main():  # which has the sums of all
            self.sums, self.batches = {}, 0
        self._inside_epoch = not end_of_epoch or self.read > 0
