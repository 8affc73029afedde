"""What words of the command line stand for."""

import argparse
import math
import shlex
import sys
import unicodedata
from pathlib import Path

from serenanet_modules.config.carried import there
from serenanet_modules.config.keys import truth
from serenanet_modules.errors import UserError

LARGEST = 10**9  # number that any option takes


def count(text):
    """A whole number from 1."""
    return _whole(text, 1, f"{text!r} is not a number from 1")


def speakers(text):
    """A number from 1, or auto."""
    return text if text == "auto" else count(text)


def whole(text):
    """A whole number from 0."""
    return _whole(text, 0, f"{text!r} is not a whole number from 0")


def _whole(text, least, otherwise):
    if not (text.isascii() and text.isdigit()) or not least <= int(text[:20]) <= LARGEST:
        raise argparse.ArgumentTypeError(f"{otherwise} to {LARGEST}")
    return int(text)


def wholes(text):
    """``480,0`` -> [480, 0]."""
    return [whole(name) for name in names(text)]


def positive(text):
    """A number above 0."""
    value = _number(text)
    if not 0 < value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, to {LARGEST}")
    return value


def from_one(text):
    """A number from 1, as of seconds."""
    value = _number(text)
    if not 1 <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {LARGEST}")
    return value


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def switch(text):
    """True or false, of an option that is on where it stands without a value: `add_switch`."""
    if (on := truth(text)) is None:
        raise argparse.ArgumentTypeError(f"must be true or false, not {text}")
    return on


def add_switch(command, name, help):
    """An option that is off; ``--name`` switches it on, and so does ``--name true``."""
    command.add_argument(name, type=switch, nargs="?", const=True, default=False, metavar="true|false", help=help)


def place(text):
    """The path of a file or folder; an empty word is none."""
    if not text:
        raise argparse.ArgumentTypeError("is empty; give a path")
    if "\0" in text:
        raise argparse.ArgumentTypeError("holds a null character, as no path does")
    return Path(text)


def written(text):
    """The path of what a command writes; ``-`` is no stream here, and would be a file of that name."""
    if text == "-":
        raise argparse.ArgumentTypeError("'-' is no place for files; give a path (./- is a file of that name)")
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        raise argparse.ArgumentTypeError(f"{text!r} holds a line end or another control character; give another name")
    return place(text)


def carried(text):
    """The path of a file or folder that is here or, if none is, that of what comes with the package."""
    return there(place(text))


def add_out(command, metavar, help, **more):
    """``--out``, where a command writes, and ``--force``; `runtime.outputs` has the rule."""
    command.add_argument("--out", type=written, metavar=metavar, help=help, **more)
    add_force(command)


def say_written(place, what):
    """Say on the standard error output, at the end of a command, what it has written and where."""
    from serenanet_modules.runtime.files import one_line

    print(f"{one_line(str(place))}: {what}", file=sys.stderr)


def add_force(command):
    """``--force``, of a command that writes files."""
    add_switch(command, "--force", "write over files that this command has not made (never over what it reads)")


def add_price(command):
    """``--price``, in any currency."""
    command.add_argument(
        "--price", type=not_negative, metavar="PRICE", help="price of an hour of a GPU, or of the machine"
    )


def not_negative(text):
    """A number from 0."""
    value = _number(text)
    if not 0 <= value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to {LARGEST}")
    return value


def names(text):
    """``a, b`` -> [a, b]."""
    return [name.strip() for name in text.split(",") if name.strip()]


def formats_of(known):
    """``eaf,srt`` -> [eaf, srt], of the formats that are known."""

    def read(text):
        found = list(dict.fromkeys(names(text)))
        if not found or (unknown := [name for name in found if name not in known]):
            said = unknown[0] if found else text
            raise argparse.ArgumentTypeError(f"{said!r} is not one of {', '.join(known)}")
        return found

    return read


def words(text):
    """Words that are quoted as for a shell."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not quoted as for a shell ({error})") from None


def pairs(words):
    """``--key value …`` -> [(key, value), …], the options of a recipe; hyphens in a key are underscores."""
    names = words[::2]
    if len(words) % 2 or not all(name.startswith("--") for name in names):
        raise UserError(f"{' '.join(words)}: options of a recipe come as --key value")
    return [(name[2:].replace("-", "_"), value) for name, value in zip(names, words[1::2], strict=True)]


def add_exclude(command, what):
    """The option that names corpora whose dev and test ``what`` (in words) must not slip in."""
    helped = f"corpora, as folders or manifests, whose dev and test {what} are left out"
    command.add_argument("--exclude", nargs="+", default=(), metavar="DIR|FILE", help=helped)
