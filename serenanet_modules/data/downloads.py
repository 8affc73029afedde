"""Corpora from where they are published: files that are fetched piece by piece, compared with their sums, unpacked.

What was fetched of a file stands in `UNDER_WAY` until its sum is right, so that an interrupted call goes on there. A
file or folder of a corpus appears under its name when it is whole; what is there already is left as it is.
"""

import hashlib
import http.client
import json
import os
import shutil
import tarfile
import time
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from serenanet_modules.errors import UserError

UNDER_WAY = ".download"
TRIES, PAUSE, PATIENCE = 5, 1.0, 60.0  # of a broken connection: how often, and seconds of the first pause; of silence
BUSY = (http.client.REQUEST_TIMEOUT, http.client.TOO_MANY_REQUESTS)
BLOCK = 2**18  # bytes
BROKEN = (URLError, http.client.HTTPException, ConnectionError, TimeoutError)
TREE = "{}/api/datasets/{}/tree/{}/{}?recursive=true"  # of the Hugging Face hub: the files of a folder
FILE = "{}/datasets/{}/resolve/{}/{}"
MOST_LISTED = 2**22  # bytes


@dataclass(frozen=True)
class Download:
    """A file of a corpus, or an archive of a folder of it.

    Attributes
    ----------
    url : str
    place : str
        Of the file or the folder, below that of the corpus.
    digest : str
        ``sha256:…``, or ``git:…``, git's own of a file.
    inside : str, optional
        The folder's place in the archive; None of what is none.
    """

    url: str
    place: str
    digest: str
    inside: str | None = None


class _Broken(Exception):
    """The connection is, and may be tried again."""


def listed(endpoint, dataset, revision, folder):
    """What the Hugging Face hub has in a folder of a dataset: by path, the URL and the digest of each file.

    Large files have a SHA-256 sum there, small ones git's.

    Parameters
    ----------
    endpoint : str
    dataset, revision, folder : str

    Returns
    -------
    dict of str to (str, str)

    Raises
    ------
    UserError
        Where it cannot be asked, or lacks it.
    """
    endpoint = endpoint.rstrip("/")
    url = TREE.format(endpoint, dataset, revision, folder)
    try:
        files = [entry for entry in json.loads(_tried(lambda: _text(url), url, str)) if entry["type"] == "file"]
        sums = {e["path"]: f"sha256:{e['lfs']['oid']}" if e.get("lfs") else f"git:{e['oid']}" for e in files}
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise UserError(f"{url}: the server answers with no list of files") from None
    return {path: (FILE.format(endpoint, dataset, revision, path), digest) for path, digest in sums.items()}


def fetch(downloads, folder, tell=print, bar=None):
    """Bring downloads into a folder.

    Parameters
    ----------
    downloads : iterable of Download
    folder : Path
    tell : callable
        Is given a sentence for each of them.
    bar : callable, optional
        From a title to a progress bar of bytes.

    Raises
    ------
    UserError
        For what the server does not give, a sum that is wrong, and an archive that cannot be read or reaches out of its
        folder.
    """
    under_way = Path(folder) / UNDER_WAY
    for download in downloads:
        place = Path(folder) / download.place
        if place.exists():
            tell(f"{download.place}: is already there")
            continue
        under_way.mkdir(parents=True, exist_ok=True)
        file = under_way / download.place.replace("/", "+")
        _tried(lambda d=download, f=file: _go_on(d.url, f, bar), download.url, lambda f=file: _so_far(f))
        _check(download, file)
        place.parent.mkdir(parents=True, exist_ok=True)
        if download.inside is None:
            file.replace(place)
        else:
            _unpack(download, file, place)
        tell(f"{download.place}: fetched")
    shutil.rmtree(under_way, ignore_errors=True)


def _tried(work, url, so_far):
    """What work gives; it is tried again where the connection breaks."""
    for number in range(TRIES):
        try:
            return work()
        except HTTPError as error:
            if error.code < 500 and error.code not in BUSY:
                raise UserError(
                    f"{url}: the server says {error.code} {error.reason}; is this still its address?"
                ) from None
            reason = error
        except (_Broken, *BROKEN) as error:
            reason = getattr(error, "reason", error)
        if number + 1 < TRIES:
            time.sleep(PAUSE * 2**number)
    raise UserError(f"{url}: the connection breaks{so_far()} ({reason}); the same command goes on there")


def _so_far(file):
    return f" after {file.stat().st_size / 2**20:.1f} MiB" if file.is_file() else ""


def _text(url):
    with urlopen(Request(url), timeout=PATIENCE) as response:
        return response.read(MOST_LISTED)


def _go_on(url, file, bar):
    """Read what a file still lacks; a server that does not go on begins again."""
    have = file.stat().st_size if file.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urlopen(request, timeout=PATIENCE)
    except HTTPError as error:
        if have and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # there is no more of it
        raise
    with response:
        have = have if response.status == http.client.PARTIAL_CONTENT else 0
        rest = response.headers.get("Content-Length")
        with open(file, "ab" if have else "wb") as out:
            _copy(response, out, bar and bar(file.name.replace("+", "/")))
            if rest is not None and out.tell() < have + int(rest):
                raise _Broken("it ends early")


def _copy(response, out, bar):
    while True:
        try:
            block = response.read(BLOCK)
        except BROKEN as error:
            raise _Broken(error) from None
        if not block:
            break
        out.write(block)
        if bar is not None:
            bar.update(len(block))
    if bar is not None:
        bar.close()


def _check(download, file):
    kind, _, expected = download.digest.partition(":")
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % file.stat().st_size)  # noqa: S324
    with open(file, "rb") as stream:
        hashlib.file_digest(stream, lambda: digest)
    if digest.hexdigest() != expected:
        file.unlink()
        raise UserError(
            f"{download.url}: the downloaded file has the checksum {digest.hexdigest()}, not {expected}; it was "
            "deleted, and the same command fetches it again"
        )


def _unpack(download, file, place):
    """Let the archive's folder appear, whole, and what files stand beside it there, such as a licence."""
    staging = file.with_name(f"{file.name}.unpacked")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        with tarfile.open(file) as archive:
            archive.extractall(staging, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise UserError(f"{download.url}: cannot be unpacked ({error}); tell its publisher") from None
    found = staging / download.inside
    if not found.is_dir():
        raise UserError(f"{download.url}: holds no folder {download.inside}; is this still that archive?")
    for beside in found.parent.iterdir():
        if beside.is_file() and not (place.parent / beside.name).exists():
            os.replace(beside, place.parent / beside.name)
    os.replace(found, place)
    shutil.rmtree(staging)
    file.unlink()
