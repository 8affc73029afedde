"""What the machine does to a command or a run, in one sentence: full disks, read-only folders, little memory, …."""

import contextlib
import errno
import os
import re
import shutil
import time

from serenanet_modules.errors import Fault, UserError

RESUMES = "the same command then goes on from the last checkpoint"
VERDICT = 2.0  # seconds in which `lifeline` ends a process whose error came of another one's end

ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
RIGHTS = {errno.EROFS, errno.EACCES, errno.EPERM}
# of libraries that write by themselves and keep the number of the error for themselves
FAILED_WRITE = re.compile(
    r"inline_container\S* \. unexpected pos|PytorchStreamWriter failed writing|"
    r"No space left|write failed|os error (28|122|27|30|13)"
)
OUT_OF_MEMORY = re.compile(
    r"out of memory|can't allocate memory|not enough memory|CUBLAS_STATUS_ALLOC_FAILED|std::bad_alloc", re.IGNORECASE
)
WORKER = re.compile(r"DataLoader worker.*(is killed|exited unexpectedly)")


def out_of_memory(error):
    """Whether an exception says that memory, of the GPU or of the machine, was not enough."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and bool(OUT_OF_MEMORY.search(str(error)))


@contextlib.contextmanager
def in_a_sentence(folder):
    """Turn exceptions that the machine causes into a `Fault`; others pass.

    Parameters
    ----------
    folder : Path
        Where the run writes, for errors that do not say where.

    Raises
    ------
    Fault
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        sentence = explain(error, folder)
        if sentence is None:
            import torch

            if torch.distributed.is_initialized():
                time.sleep(VERDICT)
            raise
        raise Fault(sentence) from error


def explain(error, folder=None):
    """The sentence for an exception, None for one that is not the machine's fault.

    Parameters
    ----------
    error : Exception
    folder : Path, optional
        Where a training writes, for errors that do not say where; the sentence then says how it goes on.
    """
    if isinstance(error, shutil.Error):  # of a folder that was copied, all files that could not be
        place, reason = error.args[0][0][1:] if isinstance(error.args[0], list) else (None, error)
        return f"{place or folder or 'the output'}: could not be written ({reason})"
    first = (str(error).strip().splitlines() or [""])[0]
    number = error.errno if isinstance(error, OSError) else None
    where, resumes = getattr(error, "filename", None) or folder or "the output", f", {RESUMES}" if folder else ""
    where = os.fsdecode(where) if isinstance(where, bytes) else where
    if number in RIGHTS and folder:
        return f"{where}: cannot be written ({error.strerror}); give --output_folder and --prepared_folder that can be"
    if number in ROOM or FAILED_WRITE.search(first):
        return f"{where}: could not be written ({getattr(error, 'strerror', None) or first}); make room{resumes}"
    if WORKER.search(str(error)):
        return (
            "a data loader's worker was killed, most often because memory ran out; lower num_workers or "
            f"free memory; {RESUMES}"
        )
    if out_of_memory(error):
        anew = "or begin anew with a lower --max_batch_seconds and another --experiment"
        hint = f"free memory; {RESUMES}; {anew}" if folder else "free memory"
        return f"memory ran out ({first}); {hint}"
    return None if number is None else _of_system(error, where)


def _of_system(error, where):
    """Any other failure of a system call."""
    if error.errno == errno.ENOENT and error.filename is None:
        try:
            os.getcwd()
        except OSError:
            return "the working folder is gone; go to one that is there"
    return f"{where}: {error.strerror or error}"
