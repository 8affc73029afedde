"""What an ablation has cost and what is left of it, from what its own runs have measured.

An unfinished run is taken to need as many seconds for an epoch and for its evaluation as the runs that were measured:
it itself, where it has begun, else those of its variant with other seeds, else all of its kind, pre-trainings or not.
"""

import re
import statistics
from typing import NamedTuple

from serenanet_modules.analysis.cost import HOUR, in_words, on_gpus, seconds_of, spent, trainings
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import read_json

EPOCH = re.compile(r"epoch: (\d+),.*?\bseconds: (\d+)\b")  # a line of train_log.txt


class Measured(NamedTuple):
    """What is known of a run."""

    epochs: int
    training: float  # seconds of these, times processes
    evaluation: float | None  # likewise; None before its end


def cost(runs, finished, price=None):
    """Sentences on what was spent and what is left.

    Parameters
    ----------
    runs : sequence of Run
    finished : collection of Run
        Those that are done.
    price : float, optional
        Of an hour.

    Returns
    -------
    list of str
    """
    contents = {run: _content(run) for run in runs if run in finished}
    measured = {run: found for run in runs if (found := _measure(run, contents.get(run)))}
    begun = [found.training for run, found in measured.items() if run not in contents]
    guesses = [_estimate(run, measured) for run in runs if run not in finished]
    known = [seconds for seconds in guesses if seconds is not None]
    told = [spent(list(contents.values()), price)] if contents else []
    if begun:
        amount = in_words(sum(begun) / HOUR, on_gpus(contents.values()), price)
        told.append(f"begun: {trainings(len(begun))}, so far about {amount}")
    if known:
        amount = in_words(sum(known) / HOUR, on_gpus(contents.values()), price)
        told.append(
            f"to run: {trainings(len(known))}, at most about {amount}, by the epochs measured in {len(measured)}"
        )
    if unknown := len(guesses) - len(known):
        told.append(f"to run: {trainings(unknown)} of unknown cost: no such run has finished an epoch yet")
    return told


def _content(run):
    file = run.folder / "result.json"
    try:
        content = read_json(file)
        float(seconds_of(content))
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{file}: is not the result of a training ({error!r}); delete it to have it made again"
        ) from error
    return content


def _measure(run, content):
    """The `Measured` of a run; None before its first epoch has ended. One under way counts as one process."""
    if content:
        training = content.get("processes", 1) * content["seconds"]["training"]
        return Measured(max(1, content.get("epochs", run.epochs)), training, seconds_of(content) - training)
    try:
        text = (run.folder / "train_log.txt").read_text(encoding="utf-8")
    except OSError:
        return None
    found = EPOCH.findall(text)
    return Measured(int(found[-1][0]), float(found[-1][1]), None) if found else None


def _estimate(run, measured):
    """Seconds that an unfinished run still needs at most; None where nothing of its kind was measured."""
    kind, variant = run.name.startswith("pretraining/"), run.name.rpartition("/")[0]
    alike = {other: found for other, found in measured.items() if other.name.startswith("pretraining/") == kind}
    if not alike:
        return None
    seeds = [found for other, found in alike.items() if other.name.rpartition("/")[0] == variant]
    own = measured.get(run)
    nearest = [own] if own else seeds or list(alike.values())
    epoch = statistics.fmean(found.training / found.epochs for found in nearest)
    evaluations = [found.evaluation for found in alike.values() if found.evaluation is not None]
    left = run.epochs - own.epochs if own else run.epochs
    return max(0, left) * epoch + (statistics.fmean(evaluations) if evaluations else 0.0)
