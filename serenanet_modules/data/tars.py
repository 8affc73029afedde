"""Files inside tar archives, named by where they lie: ``shard.tar/@OFFSET+SIZE/name.flac`` is read without a search.

Archives are as WebDataset has them: uncompressed, and what belongs together follows one another under names that differ
in their endings.
"""

import contextlib
import os
import re
import tarfile
import threading
from pathlib import Path
from typing import NamedTuple

from serenanet_modules.errors import UserError

PLACE = re.compile(r"(.+\.tar)/@(\d+)\+(\d+)/[^/]+", re.DOTALL)
BLOCK = 512  # bytes, of which all that stands in an archive has a multiple
MOST_MEMBERS = 10**7
LARGEST = 2**30  # bytes of a shard that is written


class Member(NamedTuple):
    """A file inside an archive."""

    tar: Path
    offset: int
    size: int

    def read(self):
        """Its bytes; fewer where the archive ends before them."""
        with open(self.tar, "rb") as file:
            file.seek(self.offset)
            return file.read(self.size)

    def stat(self):
        """What changes when it does: its place, and size and time of the archive."""
        stat = self.tar.stat()
        return self.offset, self.size, stat.st_size, stat.st_mtime_ns


def place(tar, offset, size, name):
    """The path of a member.

    >>> place(Path("a/b.tar"), 512, 9, "x.flac").as_posix()
    'a/b.tar/@512+9/x.flac'
    """
    return Path(tar, f"@{offset}+{size}", Path(name).name)


def member(path):
    """The `Member` that a path names; None where it is that of a file."""
    found = PLACE.fullmatch(str(path))
    return found and Member(Path(found[1]), int(found[2]), int(found[3]))


def members(tar):
    """Yield (name, `Member`) of each file of an archive, up to its end or to where its writer was killed.

    Raises
    ------
    UserError
        For what is no archive.
    """
    length = os.path.getsize(tar)
    try:
        with tarfile.open(tar, "r:") as file:
            for number, info in enumerate(file):
                if number >= MOST_MEMBERS:
                    raise UserError(f"{tar}: holds more than {MOST_MEMBERS} files; cut it into several.")
                if info.isfile() and not info.sparse and info.offset_data + info.size <= length:
                    yield info.name, Member(Path(tar), info.offset_data, info.size)
                file.members = []  # which it would keep
    except (tarfile.ReadError, tarfile.HeaderError) as error:
        if length and not (isinstance(error, tarfile.ReadError) and "end" in str(error)):
            raise UserError(f"{tar}: cannot be read as a tar archive ({error}).") from None
    except OSError as error:
        raise UserError(f"{tar}: cannot be read ({error.strerror}).") from None


class Shards:
    """Writes files into archives of one folder, from any number of threads.

    What was written whole stays readable when the process is killed.

    Parameters
    ----------
    folder : Path
    prefix : str
        Of the archives' names, this writer's own.
    """

    def __init__(self, folder, prefix):
        self.folder, self.prefix = folder, prefix
        self._lock, self._file = threading.Lock(), None

    def add(self, name, contents):
        """Write files that belong together; ``contents`` are bytes by ending. Returns the place of the first."""
        parts, places, at = [], [], 0
        for ending, data in contents.items():
            info = tarfile.TarInfo(f"{name}.{ending}")
            info.size = len(data)
            head = info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
            parts += [head, data, bytes(-len(data) % BLOCK)]
            places.append((at + len(head), len(data), info.name))
            at += sum(map(len, parts[-3:]))
        with self._lock:
            if self._file is None or self._file.tell() + at > LARGEST:
                self._begin()
            begin = self._file.tell()
            rest = memoryview(b"".join(parts))
            while rest:  # what is not buffered may be written in part
                rest = rest[self._file.write(rest) :]
            offset, size, file = places[0]
            return place(self.folder / self._file.name, begin + offset, size, file)

    def _begin(self):
        self.close()
        self.folder.mkdir(parents=True, exist_ok=True)
        number = 0
        while self._file is None:
            with contextlib.suppress(FileExistsError):
                self._file = open(self.folder / f"{self.prefix}-{number:06d}.tar", "xb", buffering=0)  # noqa: SIM115
            number += 1

    def close(self):
        """End the archive that is open."""
        if self._file is not None:
            self._file.write(bytes(2 * BLOCK))
            self._file.close()
            self._file = None
