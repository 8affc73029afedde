"""What a long work has found so far, on disk line by line, so that a work that was stopped goes on there."""

import contextlib
import json
from pathlib import Path


class Journal:
    """Found things by key, in a file that is gone when the work is done.

    Parameters
    ----------
    path : Path
    about : dict
        Plain values that decide what is found; what a work of other values left there is dropped.
    """

    def __init__(self, path, about):
        self.path, self.about, self.found = Path(path), about, {}
        self._file = None

    def __enter__(self):
        """Read what is there, and go on behind the last whole line."""
        try:
            return self._opened()
        except OSError:
            self._close()
            raise

    def __exit__(self, kind, error, trace):
        """Keep the file where the work was stopped and has found something."""
        self._close(done=kind is None)

    def add(self, key, value):
        """Note a plain value under a string."""
        self._write([key, value])
        self.found[key] = value

    def _opened(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        self._file.seek(0)
        head, *lines = self._file.read().split(b"\n")
        if _read(head) == self.about and lines:
            told = 0
            for line in lines[:-1]:
                entry = _read(line)
                if entry is None:
                    break
                self.found[entry[0]] = entry[1]
                told += len(line) + 1
            self._file.truncate(len(head) + 1 + told)
        else:
            self._file.truncate(0)
            self._write(self.about)
        return self

    def _close(self, done=False):
        if self._file is None:
            return
        with contextlib.suppress(OSError):  # what could not be written is written no better now
            self._file.close()
        if done or not self.found:
            self.path.unlink()

    def _write(self, content):
        try:
            self._file.write(json.dumps(content).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            error.filename = str(self.path)
            raise


def _read(line):
    try:
        return json.loads(line)
    except ValueError:
        return None
