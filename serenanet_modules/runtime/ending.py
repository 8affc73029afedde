"""How a command or a run ends: with a status, and where something went wrong with one sentence.

No traceback leaves here for what a user, a file or the machine did; one that does is a fault of the program.
"""

import contextlib
import os
import sys

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.faults import explain

REFUSED = 2
INTERRUPTED = 130  # what shells report for Ctrl-C
BROKEN_PIPE = 141
LONGEST = 2000  # letters of a sentence that is said


def status_of(work, speaks=lambda error: True):
    """Do ``work()``, and say what went wrong.

    Parameters
    ----------
    work : callable
        Gives a status.
    speaks : callable
        Whether this process is the one to say an error, of several.

    Returns
    -------
    int
        What ``work`` gave; 2 for a `UserError` and a fault of the machine, 130 for Ctrl-C, 141 for a closed pipe.
    """
    open_streams()
    try:
        status = _exit_status(work)
        sys.stdout.flush()  # at the interpreter's end it would be too late for a sentence
        return status
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as head, has seen enough
        _give_up_output()
        return BROKEN_PIPE
    except (UserError, OSError, MemoryError, RuntimeError) as error:
        sentence = str(error) if isinstance(error, UserError) else explain(error)
        if sentence is None:
            raise
        if isinstance(error, OSError) and error.filename is None:
            _give_up_output()
        if speaks(error):
            with contextlib.suppress(OSError):  # of a full device as standard error nothing can be said
                print(f"error: {shortened(sentence)}", file=sys.stderr, flush=True)
        return REFUSED


def shortened(sentence):
    """A sentence in one line, without the middle of what a user gave too much of."""
    line = " ".join(sentence.splitlines())
    return line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def open_streams():
    """Give this process the standard streams that it was started without, and none that fails over a letter.

    What a terminal's encoding lacks is written as an escape. A file that is opened later must not get the number of a
    standard stream, or what is printed goes there; what is printed to a closed output is an error.
    """
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_RDONLY), encoding="utf-8")
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _exit_status(work):
    try:
        return work()
    except SystemExit as ended:  # as argparse ends for --help
        if isinstance(ended.code, str):
            raise UserError(ended.code) from None
        return ended.code or 0


def _give_up_output():
    """Let what is still to be printed go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # ValueError of a stream without a number
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
