"""What runs have cost: hours of training and evaluation by the clock, times processes, and their price."""

from serenanet_modules.runtime.amounts import counted

HOUR = 3600
HOURS = "Hours: wall-clock time of training and evaluation, all seeds, times processes; without pre-training."


def seconds_of(content):
    """Seconds of a finished run's result.json, those of each process: of a GPU, where each process has one."""
    seconds = content["seconds"]
    return content.get("processes", 1) * (seconds["training"] + seconds.get("evaluation", 0.0))


def hours(contents):
    """Hours of several runs.

    Examples
    --------
    >>> hours([{"seconds": {"training": 5000, "evaluation": 400}, "processes": 2}])
    3.0
    """
    return sum(map(seconds_of, contents)) / HOUR


def in_words(amount, on_gpus, price=None):
    """Hours, and what they cost at a price of one hour, in whatever currency.

    Examples
    --------
    >>> in_words(3.0, True, 2.5), in_words(0.25, False)
    ('3.00 GPU hours (7.50 at 2.50 an hour)', '0.25 hours')
    """
    money = "" if price is None else f" ({amount * price:.2f} at {price:.2f} an hour)"
    return f"{amount:.2f} {'GPU hours' if on_gpus else 'hours'}{money}"


def on_gpus(contents):
    """Whether all of several runs were on GPUs."""
    devices = [content.get("device", "cpu") for content in contents]
    return bool(devices) and all(device != "cpu" for device in devices)


def spent(contents, price=None):
    """A sentence on what finished runs have cost."""
    return f"spent: {trainings(len(contents))}, {in_words(hours(contents), on_gpus(contents), price)}"


def trainings(count):
    """So many, in words."""
    return counted(count, "training")
