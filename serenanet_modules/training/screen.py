"""What a training shows: its own messages, a line an epoch, and at the end what to try next."""

import logging
import shlex
import time
from contextlib import contextmanager

WIDTH = 8
FIRST_WORD = 20.0  # seconds after which a training says how long it will take


@contextmanager
def own_words_only():
    """Around what sets SpeechBrain's handlers of messages: the screen shows this package's alone.

    What other libraries say below an error goes to log.txt, Python's warnings too.
    """
    logging.disable(logging.INFO)  # how the experiment folder is called stands elsewhere
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
    logging.captureWarnings(True)
    for handler in logging.getLogger().handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(_is_own)
            handler.setFormatter(logging.Formatter("%(message)s"))


def _is_own(record):
    """Whether a message is this package's or a recipe's, or is an error."""
    installed = "site-packages" in record.pathname and "serenanet_modules" not in record.pathname
    return record.levelno > logging.WARNING or not installed and record.name != "py.warnings"


class EpochTable:
    """One line for each epoch, or part of one, under a heading, written as the training goes.

    Parameters
    ----------
    number_of_epochs : int
        How many there will be at most, for the time that is left.

    Examples
    --------
    >>> table = EpochTable(3)
    >>> print(table.lines(1, {"loss": 2.94}, {"loss": 2.6, "WER": 100.0}, rate=0.00179, seconds=60.0))
       epoch    loss dev loss dev WER    rate s/epoch minutes    left
         1/3    2.94     2.60   100.0 1.8e-03      60     1.0     2.0
    """

    def __init__(self, number_of_epochs):
        self.number_of_epochs = number_of_epochs
        self._first = None  # epoch and seconds before the first line, and the names of its columns

    @property
    def begun(self):
        """Whether there is a line."""
        return self._first is not None

    def lines(self, epoch, train, dev, rate, seconds):
        """An epoch's line, below the heading where the columns are new.

        Parameters
        ----------
        epoch : float
        train, dev : dict of str to float
            Losses; of dev error rates in percent, too.
        rate : float
        seconds : float
            That the training has taken so far, in all its sessions.
        """
        done = epoch / self.number_of_epochs
        cells = {
            "epoch": f"{round(epoch, 2):g}/{self.number_of_epochs}",
            **{name: _short(value) for name, value in train.items()},
        }
        cells |= {f"dev {name}": _short(value) if name == "loss" else f"{value:.1f}" for name, value in dev.items()}
        cells |= {"rate": f"{rate:.1e}", "s/epoch": f"{seconds / epoch:.0f}", "minutes": f"{seconds / 60:.1f}"}
        cells |= {"left": f"{seconds * (1 / done - 1) / 60:.1f}"}
        widths = [max(WIDTH, len(name) + 1) for name in cells]
        line = _row(cells.values(), widths)
        if list(cells) == self._first:
            return line
        self._first = list(cells)
        return f"{_row(cells, widths)}\n{line}"


class Outlook:
    """Says within an epoch how far it is and how long the training will take: after 20 s, 40 s, 80 s and so on.

    Parameters
    ----------
    number_of_epochs : int
    size : int
        Utterances in an epoch, or what ``items`` calls them.
    items : str
    begun : float
        Share of the whole training, 0…1, that was done before this.
    clock : callable
        Seconds.

    Examples
    --------
    >>> seconds = iter([0.0, 5.0, 30.0])
    >>> outlook = Outlook(60, 307, "utterances", 0.0, lambda: next(seconds))
    >>> outlook.line(1, read=20, done=20 / 307 / 60)
    >>> outlook.line(1, read=123, done=123 / 307 / 60)
    'epoch 1 of 60: 123 of 307 utterances after 30 s; all 60 epochs take about 1.2 h'
    """

    def __init__(self, number_of_epochs, size, items, begun=0.0, clock=time.monotonic):
        self.number_of_epochs, self.size, self.items, self.begun = number_of_epochs, size, items, begun
        self._clock, self._start, self._next = clock, clock(), FIRST_WORD

    def line(self, epoch, read, done):
        """A line where it is time for one, else None.

        Parameters
        ----------
        epoch : int
        read : int
            Utterances of the epoch so far.
        done : float
            Share of the whole training.
        """
        elapsed = self._clock() - self._start
        if elapsed < self._next or done <= self.begun:
            return None
        self._next = max(2 * self._next, elapsed)
        far = f"epoch {epoch} of {self.number_of_epochs}: {read} of {self.size} {self.items} after {elapsed:.0f} s"
        if self.begun:
            return f"{far}; what is left takes about {duration(elapsed * (1 - done) / (done - self.begun))}"
        return f"{far}; all {self.number_of_epochs} epochs take about {duration(elapsed / done)}"


def duration(seconds):
    """A length of time in two digits or so.

    Examples
    --------
    >>> [duration(seconds) for seconds in (42, 600, 27_700, 400_000)]
    ['42 s', '10 min', '7.7 h', '4.6 days']
    """
    for unit, name in ((86_400, "days"), (3600, "h")):
        if seconds >= unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{seconds:.0f} s"


def _row(cells, widths):
    return "".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))


def _short(value):
    """A loss in three significant digits."""
    return f"{value:.2f}" if abs(value) >= 0.995 else f"{value:.3f}"


def next_steps(folder, recognises, summary=""):
    """A sentence on the model, where there is one, where the results are, and two commands to go on with."""
    told, place = [f"\n{summary}"] if summary else [], shlex.quote(str(folder))
    told += [f"\nresults     {folder}", f"model card  {folder / 'README.md'}", "next"]
    if recognises:
        told.append(f"  serenanet transcribe {place} FILE           # write what is said in a recording")
    told.append(f"  serenanet report {place} --out report       # tables and plots")
    if not recognises:
        told.append(f"  tensorboard --logdir {shlex.quote(str(folder / 'tensorboard'))}")
    return "\n".join(told)
