"""What a command writes, and over what: one rule for all commands.

A command writes over what the same command has made, and over nothing else: never over what it reads, nor over what is
no file; over another file only with ``--force``. Each file is written beside and renamed (`runtime.files`). What was
made stands in a list beside it, with its SHA-256 sum: a file that somebody has changed since is not the command's any
more.
"""

import contextlib
import json
import os
import tempfile
from pathlib import Path

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import sha256, write_text

LIST = ".serenanet"  # in each folder that commands write into: a line of JSON for each file
ALL = "."  # the folder itself, which is one command's with all that is in it
RUN = "hyperparams.yaml"  # a folder with such a file is that of a training


class Outputs:
    """The files that a command is going to write.

    Parameters
    ----------
    command : str
        Its name.
    reads : iterable of path
        What it reads: files, and folders with all that is in them.
    force : bool
        Whether it may write over files that it has not made.
    """

    def __init__(self, command, reads=(), force=False):
        self.command, self.force = command, force
        found = [Path(path) for path in reads if path is not None and os.path.exists(path)]
        self._files = {_identity(path) for path in found if not path.is_dir()}
        self._folders = {path.resolve() for path in found if path.is_dir()}

    def check(self, *paths):
        """Refuse files that must not be written, before the long work.

        Raises
        ------
        UserError
            Naming the first.
        """
        if twice := [path for i, path in enumerate(paths) if _plain(path) in map(_plain, paths[:i])]:
            raise UserError(f"{twice[0]}: two outputs would have this name; give others")
        lists = {}
        for path in map(Path, paths):
            _check_place(path.parent)
            if os.path.lexists(path):
                self._check_file(path, lists)

    def check_folder(self, folder):
        """Refuse a folder that is to hold this command's files alone, and must not.

        Raises
        ------
        UserError
        """
        folder = Path(folder)
        if not os.path.lexists(folder):
            _check_place(folder.parent)
            return
        if not folder.is_dir():
            raise UserError(f"{folder}: is no folder; give another name")
        _check_place(folder)
        if folder.resolve() in self._folders or self._files & _identities(folder):
            raise UserError(f"{folder}: holds an input of this command; give another folder")
        own = _made(folder).get(ALL, {}).get("command") == self.command
        if (folder / RUN).exists():
            held = "holds the finished result of an earlier call" if own else "holds a training"
            raise UserError(f"{folder}: {held}; give another folder")
        strangers = [path for path in folder.iterdir() if path.name != LIST]
        if strangers and not own and not self.force:
            raise UserError(
                f"{folder}: exists and was not made by this command; give another folder, or --force to write into it"
            )

    def begin(self, folder):
        """Make a folder that `check_folder` has let pass."""
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._note(Path(folder), {ALL: ""})

    def write(self, path, text):
        """Write a UTF-8 text, whole or not at all, and remember that it was made."""
        write_text(path, text)
        self.made(path)

    def made(self, *paths):
        """Remember files that were written."""
        for path in map(Path, paths):
            self._note(path.parent, {path.name: sha256(path)})

    def _check_file(self, path, lists):
        if not path.is_file():
            raise UserError(f"{path}: is no file, but a folder, a device or a link to nothing; give another name")
        if _identity(path) in self._files:
            raise UserError(f"{path}: is an input of this command; give another name")
        made = lists.setdefault(path.parent, _made(path.parent)).get(path.name)
        written = made is not None and made["command"] == self.command
        own = written and made["sha256"] == sha256(path)
        if not own and self._folders & {parent.resolve() for parent in path.parents}:
            raise UserError(f"{path}: belongs to an input of this command; give another name")
        if written and not own and not self.force:
            raise UserError(
                f"{path}: has been changed since this command wrote it; give another name, or --force to lose the "
                "changes"
            )
        if not own and not self.force:
            raise UserError(
                f"{path}: exists and was not made by this command; give another name, or --force to write over it"
            )

    def _note(self, folder, sums):
        lines = [{"file": name, "command": self.command, "sha256": value} for name, value in sums.items()]
        with contextlib.suppress(OSError), open(folder / LIST, "a", encoding="utf-8", errors="surrogateescape") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))


def _check_place(folder):
    """Refuse a folder in which nothing can be made; the first of its parents that is there tells."""
    there = next(place for place in (folder, *folder.absolute().parents) if os.path.lexists(place))
    if not there.is_dir():
        raise UserError(f"{there}: is no folder, so nothing can be written below it; give another name")
    try:
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise UserError(f"{there}: nothing can be written there ({error.strerror}); give another folder") from None


def _made(folder):
    """What the list of a folder says: name to its line; lines that are none count as not there."""
    found = {}
    with contextlib.suppress(OSError):
        for line in (folder / LIST).read_bytes().splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError):
                entry = json.loads(line)
                found[entry["file"]] = {"command": entry["command"], "sha256": entry["sha256"]}
    return found


def _plain(path):
    return os.path.realpath(path)


def _identity(path):
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _identities(folder):
    return {_identity(path) for path in folder.iterdir() if path.exists()}
