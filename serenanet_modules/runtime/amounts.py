"""Amounts in words, for people."""

import math

UNITS = (("s", 1, 99.5), ("min", 60, 3570), ("h", 3600, math.inf))  # name, seconds, and below how many it is the one
THIN = 9.95  # of a unit: fewer have a decimal


def duration(seconds):
    """Seconds in the unit that tells most.

    Examples
    --------
    >>> duration(8.2), duration(0), duration(42), duration(200), duration(1500), duration(5400)
    ('8.2 s', '0 s', '42 s', '3.3 min', '25 min', '1.5 h')
    """
    amount, unit = next((seconds / size, unit) for unit, size, most in UNITS if seconds < most)
    return f"{amount:.{int(0 < amount < THIN or unit == 'h')}f} {unit}"


def counted(number, noun):
    """So many of what a noun stands for; the noun of several has an s.

    Examples
    --------
    >>> counted(1, "piece"), counted(1200, "piece"), counted(0, "piece")
    ('1 piece', '1,200 pieces', '0 pieces')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
