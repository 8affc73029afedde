"""Files that are either whole or not there."""

import hashlib
import json
import os
import re
import shutil
import threading
import unicodedata
from contextlib import contextmanager
from pathlib import Path

from serenanet_modules.errors import UserError

LONGEST = 150  # bytes of a file's name that stand in that of its temporary file
FILE = re.compile(r"(\.{0,2}|~)/.+|[^,\n]+\.(txt|text|csv|tsv|list|lst|words|srt|vtt|json|md|docx?)", re.IGNORECASE)
UNSHOWN = ("Cc", "Zl", "Zp")  # kinds of characters that no line can hold
PARTIAL = ".part"  # ends the names of files and folders that are being written; they begin with a dot


def walk(folder):
    """Yield (path, names of its files) of a folder and of those at any depth, also behind symbolic links.

    Each folder is met once, by its own name where it is inside; links to folders that hold this one are passed over. So
    are what vanishes or may not be read, and names that begin with a dot, such as the ``._a.wav`` that macOS puts
    beside files and into archives.
    """
    met, waiting = set(Path(os.path.realpath(folder)).parents), [Path(folder)]
    for start in waiting:  # links are followed when all that is no link has been met
        for place, folders, files in os.walk(start):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            real = Path(os.path.realpath(place))
            if real in met:
                folders.clear()
                continue
            met.add(real)
            yield Path(place), [name for name in files if not name.startswith(".")]
            waiting += [path for name in folders if (path := Path(place, name)).is_symlink()]


def below(folder, wanted=lambda name: True):
    """Files and folders at any depth, as of `walk`, whose name is wanted, sorted."""
    found = []
    for place, files in walk(folder):
        names = [Path(place, name) for name in files]
        found += [path for path in (place, *names) if path != Path(folder) and wanted(path.name)]
    return sorted(found)


def names_a_file(text):
    """Whether what may be a text or a file's name can hardly be a text: ``words.txt``, ``/tmp/words``."""
    return bool(FILE.fullmatch(text))


def one_line(name):
    """A name with escapes in the place of line breaks, tabs and other control characters.

    Examples
    --------
    >>> one_line("first\\nsecond.wav")
    'first\\\\nsecond.wav'
    """
    return "".join(c.encode("unicode_escape").decode() if unicodedata.category(c) in UNSHOWN else c for c in name)


@contextmanager
def replacing(path):
    """Yield a temporary path, renamed to `path` when the block ends well, else deleted.

    Parameters
    ----------
    path : str or Path
        The file to create or replace, or the folder to create. Its own folder is made if it is missing.

    Yields
    ------
    Path
        Where to write. Unique per process and thread, so writers of the same file do not meet.

    Raises
    ------
    OSError
        Which names the file, also where the system does not.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    name = os.fsencode(path.name)[:LONGEST].decode("utf-8", "ignore")
    partial = path.with_name(f".{name}.{os.getpid()}.{threading.get_ident()}{PARTIAL}")
    try:
        yield partial
        os.replace(partial, path)
    except OSError as error:
        if error.filename is None:  # as of a disk that is full
            error.filename = str(path)
        raise
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def write_text(path, text):
    """Write a UTF-8 text, whole or not at all."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path, content):
    """Write plain data as JSON for people to read, whole or not at all."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path):
    """The content of a UTF-8 JSON file.

    Raises
    ------
    ValueError
        Where it is none, or nested too deeply.
    OSError
    """
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"), parse_int=_whole)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _whole(digits):
    """A whole number of JSON; one that no machine counts to is a float, and may be infinite."""
    return int(digits) if len(digits) < 19 else float(digits)


def write_tensors(path, tensors, metadata=None):
    """Write a safetensors file; it is either whole or not there, and may be read by whom the other files may.

    safetensors' own `save_file` writes beside it first, to a file that nobody sweeps up and only its owner may read.

    Parameters
    ----------
    path : Path
    tensors : dict of str to Tensor
        On any device.
    metadata : dict of str to str, optional
    """
    from safetensors.torch import save  # brings torch, which locks and folders do without

    with replacing(path) as partial:
        partial.write_bytes(save({name: t.detach().cpu().contiguous() for name, t in tensors.items()}, metadata))


def fingerprint(tensors):
    """SHA-256 of tensors by name: equal where names, types, shapes and all bits are.

    Parameters
    ----------
    tensors : dict of str to Tensor
        On any device.

    Returns
    -------
    str
        Hexadecimal.
    """
    from torch import uint8  # brings torch, which locks and folders do without

    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        tensor = tensor.detach().contiguous().to("cpu", copy=True)  # numpy pins the memory of what it reads
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(uint8).numpy())
    return digest.hexdigest()


def sha256(*paths):
    """The SHA-256 sum of files, one after the other, in hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            hashlib.file_digest(file, lambda: digest)
    return digest.hexdigest()


def sweep(folder, spared=None):
    """Delete what writers that were killed have left in a folder; its lock must be held.

    Parameters
    ----------
    folder : Path
        With all that is inside.
    spared : str, optional
        A folder in it that has locks of its own.
    """
    for path in list(folder.rglob(f".*{PARTIAL}")):
        if path.relative_to(folder).parts[0] == spared:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


@contextmanager
def locked(path, refusal=None):
    """Hold a lock file; the kernel lets it go when the process ends, however it ends.

    A data loader's worker, forked meanwhile, does not hold it: it may live some seconds longer than its killed parent.

    Parameters
    ----------
    path : str or Path
        Made if it is missing, with its folder, and left there.
    refusal : str, optional
        What to say where another holds it; by default it is waited for.

    Raises
    ------
    UserError
        The refusal.
    """
    from filelock import FileLock, Timeout  # only what writes folders locks them

    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(path, blocking=refusal is None).acquire()
    except Timeout:
        raise UserError(refusal) from None
    with held:
        yield
