"""Progress bars: on terminals, and in files and pipes where they are asked for."""

import os
import sys

from tqdm import tqdm

VARIABLE = "SERENANET_BARS"  # environment variable: 1 shows them wherever the standard error output goes, 0 nowhere
_off = False


class Bar(tqdm):
    """A bar of tqdm, shown where `shown` says so and ``disable`` does not say no; arguments are tqdm's."""

    def __init__(self, *args, disable=False, **more):
        super().__init__(*args, disable=disable or not shown(), **more)


def shown():
    """Whether this process shows progress bars."""
    asked = os.environ.get(VARIABLE)
    return not _off and (asked == "1" or (asked != "0" and sys.stderr is not None and sys.stderr.isatty()))


def turn_off():
    """Show none from now on."""
    global _off
    _off = True
