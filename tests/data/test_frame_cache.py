"""Frames on disk by the samples that they were made of."""

import logging
import os

import pytest
import torch
from safetensors.torch import load_file

from serenanet_modules.data import frame_cache
from serenanet_modules.data.frame_cache import FrameCache, key_of


def sounds(count, size=(7, 5)):
    """(key, frames) of so many sounds."""
    return [(key_of(torch.full((9,), float(i))), torch.full(size, i / 7)) for i in range(count)]


@pytest.fixture(name="small")
def _small(monkeypatch):
    """Files of two sounds each."""
    monkeypatch.setattr(frame_cache, "SHARD_BYTES", 2 * 7 * 5 * 2)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_what_is_written_is_read_again(tmp_path, small, dtype):
    """By another object as by the one that wrote; float32 bit by bit, float16 rounded."""
    kept = sounds(5)
    writer = FrameCache(tmp_path / "new", dtype)
    with writer.lock():
        writer.extend(kept)
    for cache in (writer, FrameCache(tmp_path / "new", dtype)):
        for key, x in kept:
            assert key in cache and torch.equal(cache[key], x.to(cache.dtype))
        assert key_of(torch.zeros(3)) not in cache
    assert len(writer.files) == (3 if dtype == "float16" else 5)


def test_a_key_is_of_the_samples_alone():
    """Not of where they lie in memory, or in what batch."""
    batch = torch.randn(2, 10)
    assert key_of(batch[1, :4]) == key_of(batch[1, :4].clone()) == key_of(batch.T.contiguous().T[1, :4])
    assert key_of(batch[1, :4]) != key_of(batch[1, :5])


def test_a_writer_holds_one_file_at_a_time(tmp_path, small):
    """What was enough for a file is on disk before more is asked for; so it outlives a kill."""
    cache, seen = FrameCache(tmp_path), []

    def frames():
        for key, x in sounds(5):
            seen.append(len(list(tmp_path.glob("*.safetensors"))))
            yield key, x
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.extend(frames())
    assert seen == [0, 0, 1, 1, 2]
    assert [key in FrameCache(tmp_path) for key, _ in sounds(5)] == [True] * 4 + [False]


def test_work_that_takes_long_is_kept_early(tmp_path, monkeypatch):
    monkeypatch.setattr(frame_cache, "SHARD_SECONDS", 0.0)
    cache = FrameCache(tmp_path)
    cache.extend(sounds(3))
    assert len(cache.files) == 3


def test_a_damaged_file_counts_as_missing(tmp_path, small, caplog):
    """And is named; the others stay."""
    FrameCache(tmp_path).extend(sounds(4))
    first, _ = sorted(tmp_path.glob("*.safetensors"))
    lost = load_file(first).keys()
    os.truncate(first, 50)
    with caplog.at_level(logging.WARNING):
        cache = FrameCache(tmp_path)
    assert first.name in caplog.text
    assert [key in cache for key, _ in sounds(4)] == [key not in lost for key, _ in sounds(4)]
    cache.extend((key, x) for key, x in sounds(4) if key in lost)
    assert all(key in FrameCache(tmp_path) for key, _ in sounds(4))


def test_what_float16_cannot_hold(tmp_path):
    """No infinity is written."""
    with pytest.raises(OverflowError, match="values up to 7e"):
        FrameCache(tmp_path).extend([("a", torch.tensor([[7e4]]))])
    assert not list(tmp_path.glob("*.safetensors"))
    FrameCache(tmp_path, "float32").extend([("a", torch.tensor([[7e4]]))])


def test_a_lock_sweeps_up(tmp_path):
    """What a killed writer has left."""
    (tmp_path / ".x.safetensors.1.1.part").write_bytes(b"half")
    with FrameCache(tmp_path).lock():
        assert not list(tmp_path.glob(".x*"))
