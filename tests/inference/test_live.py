"""Chunks of files, pipes and microphones are the sound, in order and whole."""

import io
import os
import sys
import types

import numpy as np
import pytest
import soundfile

from serenanet_modules.data.audio import load
from serenanet_modules.errors import UserError
from serenanet_modules.inference.live import chunks

SAMPLES = np.random.default_rng(0).integers(-20000, 20000, 5000).astype("<i2")


def assert_sound(pieces, size):
    """All pieces have ``size`` samples but the last, and are `SAMPLES` together."""
    assert {len(piece) for piece in pieces[:-1]} <= {size} and 0 < len(pieces[-1]) <= size
    joined = np.concatenate(pieces)
    assert joined.dtype == np.float32
    np.testing.assert_array_equal(joined, SAMPLES / np.float32(32768))


@pytest.mark.parametrize("size", [1, 160, 777, 5000, 80000])
def test_files(tmp_path, size):
    soundfile.write(tmp_path / "a.wav", SAMPLES, 16000)
    assert_sound([*chunks(tmp_path / "a.wav", size / 16000)], size)


def test_files_of_other_rates(tmp_path):
    """Samples are those that `load` gives."""
    soundfile.write(tmp_path / "a.flac", SAMPLES.reshape(-1, 2), 44100)
    pieces = [*chunks(str(tmp_path / "a.flac"), 0.01)]
    np.testing.assert_allclose(np.concatenate(pieces), load(tmp_path / "a.flac"), atol=1e-6)


def test_bad_files(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        next(chunks(tmp_path / "no.wav", 0.1))


@pytest.mark.parametrize("size", [160, 4999, 5000])
def test_pipe(monkeypatch, size):
    """Half a sample at the end is dropped."""
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(SAMPLES.tobytes() + b"\x01")))
    assert_sound([piece for piece in chunks("-", size / 16000) if len(piece)], size)


@pytest.mark.parametrize("beginning", [b"RIFF$", b"ID3", b"OggS", b"fLaC", b"\x1aE\xdf\xa3"])
def test_a_file_on_a_pipe_is_no_samples(monkeypatch, beginning):
    """Its header would be heard as sound; the same bytes later on are samples."""
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(beginning + bytes(4000))))
    with pytest.raises(UserError, match="is a file of audio"):
        next(chunks("-", 0.1))
    later = bytes(3200) + beginning + bytes(3200 - len(beginning))
    monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(later)))
    assert len(list(chunks("-", 0.1))) == 2


# --- the microphone ---------------------------------------------------------------------------------------------------


@pytest.fixture
def no_sounddevice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)


@pytest.fixture
def program(tmp_path, monkeypatch):
    """A function that makes a shell script the only program of its name."""

    def make(name, script):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\nPATH={os.defpath}\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", str(path.parent))

    return make


@pytest.mark.parametrize("name", ["arecord", "ffmpeg"])
def test_recorders(no_sounddevice, program, tmp_path, name, monkeypatch):
    """Each is asked for 16 kHz mono, and what it writes is heard."""
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "sound").write_bytes(SAMPLES.tobytes())
    program(name, f'echo "$@" > {tmp_path}/asked; cat {tmp_path}/sound')
    assert_sound([*chunks("microphone", 0.02)], 320)
    asked = (tmp_path / "asked").read_text().split()
    assert "16000" in asked and {"S16_LE", "s16le"} & set(asked)


def test_a_recorder_is_stopped(no_sounddevice, program, tmp_path):
    """It does not go on once nobody listens."""
    (tmp_path / "sound").write_bytes(SAMPLES.tobytes())
    program("arecord", f"echo $$ > {tmp_path}/process; cat {tmp_path}/sound; exec sleep 100")
    stream = chunks("microphone", 0.02)
    assert len(next(stream)) == 320
    stream.close()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "process").read_text()), 0)


def test_a_recorder_that_cannot_record(no_sounddevice, program):
    program("arecord", "echo first >&2; echo 'arecord: no soundcards found' >&2; exit 1")
    with pytest.raises(UserError, match=r"microphone: arecord cannot record \(arecord: no soundcards found\)"):
        list(chunks("microphone", 0.02))


def test_nothing_can_record(no_sounddevice, program):
    program("sox", "")
    with pytest.raises(UserError, match="install the Python package sounddevice, or arecord"):
        list(chunks("microphone", 0.02))


class PortAudioError(Exception):
    pass


class RawInputStream:
    """What `chunks` needs of sounddevice's class of this name: two chunks, then the device is gone."""

    def __init__(self, samplerate, blocksize, channels, dtype):
        assert (samplerate, channels, dtype) == (16000, 1, "int16")
        self.blocks = [SAMPLES[:blocksize], SAMPLES[blocksize : 2 * blocksize]]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.blocks.clear()

    def read(self, frames):
        if not self.blocks:
            raise PortAudioError("Device unavailable")
        block = self.blocks.pop(0)
        assert len(block) == frames
        return block.tobytes(), False


def test_sounddevice_comes_first(monkeypatch, program):
    """Where the package is installed no program is asked; its errors are sentences."""
    fake = types.SimpleNamespace(RawInputStream=RawInputStream, PortAudioError=PortAudioError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    program("arecord", "exit 1")
    stream = chunks("microphone", 0.02)
    heard = np.concatenate([next(stream), next(stream)])
    np.testing.assert_array_equal(heard, SAMPLES[:640] / np.float32(32768))
    with pytest.raises(UserError, match=r"microphone: cannot be read \(Device unavailable\)"):
        next(stream)
