"""Audio files of all kinds, whole and damaged."""

import random
import struct

import numpy as np
import soundfile

from serenanet_modules.data import ffmpeg

SUFFIXES = ("wav", "flac", "mp3", "ogg", "aiff", "au", "caf", "w64")
HERTZ = 440.0


def tone(rate=16000, seconds=1.0, level=0.5):
    """A sine, whose every part differs from its beginning: it grows louder."""
    time = np.arange(int(rate * seconds)) / rate
    return level * np.sin(2 * np.pi * HERTZ * time) * np.linspace(0.1, 1, len(time))


def write(path, samples=None, rate=16000, channels=1, **options):
    """A file of `tone` or other samples; returns the path."""
    samples = tone(rate) if samples is None else samples
    soundfile.write(path, np.stack([samples] * channels, axis=1) if channels > 1 else samples, rate, **options)
    return path


def lying_wav(rate=16000, channels=1, bits=16, form=1, claims=None, samples=1600):
    """The bytes of a wav file whose header may say anything."""
    data = bytes(2 * samples)
    align = channels * bits // 8 % 2**16
    head = struct.pack("<HHIIHH", form, channels, rate, rate * align % 2**32, align, bits)
    size = len(data) if claims is None else claims
    chunks = b"fmt " + struct.pack("<I", len(head)) + head + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", (4 + len(chunks)) % 2**32) + b"WAVE" + chunks


def magics():
    """How files of many formats begin."""
    known = [b"RIFF\x24\0\0\0WAVEfmt ", b"fLaC\0\0\0\x22", b"OggS\0\x02", b"ID3\x04\0\0\0\0\0\x10", b"\xff\xfb\x90\x44"]
    known += [
        b"FORM\0\0\1\0AIFFCOMM",
        b".snd\0\0\0\x18",
        b"caff\0\1\0\0",
        b"riff\x2e\x91\xcf\x11",
        b"RF64\xff\xff\xff\xff",
    ]
    return known + [bytes(at) + magic for at, magic in ffmpeg.MAGIC.values()]


def flipped(data, seed, count=20):
    """The bytes with some of them changed, of the header rather than of the rest."""
    rng, data = random.Random(seed), bytearray(data)
    for _ in range(count):
        data[rng.randrange(len(data) if rng.random() < 0.5 else min(len(data), 200))] = rng.randrange(256)
    return bytes(data)
