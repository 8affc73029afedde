"""What libraries say of the machine is recognised: real failures, not invented ones."""

import errno
import os
import resource
import shutil

import numpy as np
import pytest
import safetensors.torch
import torch

from serenanet_modules.runtime.faults import explain, out_of_memory

TENSORS = {"a": torch.zeros(100_000)}


@pytest.fixture
def no_room():
    """No file of this process can grow beyond 40 kB, as on a disk that fills up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (40_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_text("x" * 100_000),
        lambda path: torch.save(TENSORS, path),
        lambda path: safetensors.torch.save_file(TENSORS, path),
        lambda path: np.savez(path, np.zeros(100_000)),
    ],
    ids=["text", "torch", "safetensors", "numpy"],
)
def test_failed_write(write, no_room, tmp_path):
    """Whoever writes, the sentence says where and what to do."""
    with pytest.raises(Exception) as error:  # noqa: PT011 any class; the sentence is what counts
        write(tmp_path / "file")
    sentence = explain(error.value, tmp_path)
    assert "make room" in sentence and str(tmp_path) in sentence


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES])
def test_what_the_system_says(number, tmp_path):
    """Full, over quota, read-only and forbidden: the file is named."""
    sentence = explain(OSError(number, os.strerror(number), "some/file"), tmp_path)
    assert sentence.startswith("some/file: ") and os.strerror(number) in sentence


def test_out_of_memory(tmp_path):
    """More memory than any machine has; another error is none of it."""
    with pytest.raises(RuntimeError) as error:
        torch.empty(2**46)
    assert out_of_memory(error.value) and "memory ran out" in explain(error.value, tmp_path)
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory.")) and out_of_memory(MemoryError())
    for other in (RuntimeError("shapes differ"), OSError("of no number"), ValueError("memory")):
        assert not out_of_memory(other) and explain(other, tmp_path) is None
    assert explain(OSError(5, "Input/output error", "a.wav")) == "a.wav: Input/output error"


def test_a_folder_that_could_not_be_copied(tmp_path):
    """The first of its files, and why."""
    (tmp_path / "from").mkdir()
    (tmp_path / "from" / "a").symlink_to("nowhere")
    with pytest.raises(shutil.Error) as error:
        shutil.copytree(tmp_path / "from", tmp_path / "to")
    assert explain(error.value).startswith(f"{tmp_path / 'to' / 'a'}: could not be written (")
