"""Containers that are joined, or whose headers say another length, rate or number of channels than they have."""

import functools
import io
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import strategies as st

from serenanet_modules.data import audio, joined, mpeg, passage
from serenanet_modules.data.audio import load, mixed
from tests.support.battery import all_hold, is_found
from tests.support.refusals import refused_or
from tests.support.sounds import lying_wav, tone

KINDS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "aiff": ("AIFF", "PCM_16"),
    "au": ("AU", "PCM_16"),
    "caf": ("CAF", "PCM_16"),
    "w64": ("W64", "PCM_16"),
}
SECONDS = (0.6, 0.9)
LENGTHS = {  # where a header says how long the sound is: the number's name before it, its place behind that, its form
    "wav": (b"data", 4, "<I"),
    "aiff": (b"SSND", 4, ">I"),
    "au": (b".snd", 8, ">I"),
    "caf": (b"data", 4, ">Q"),
}


@functools.cache
def recording(kind, seconds):
    """The bytes of a tone in a container, and its samples' number."""
    samples, file = tone(seconds=seconds), io.BytesIO()
    name, subtype = KINDS[kind]
    soundfile.write(file, samples, 16000, format=name, subtype=subtype)
    return file.getvalue(), len(samples)


def heard(data, kind):
    """Samples of a file with these bytes, None where it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"a.{kind}"
        path.write_bytes(data)
        return refused_or(lambda: load(path), path)


ID3V2 = b"ID3\x04\0\0\0\0\0"
TAGS = st.one_of(  # what players write behind a recording
    st.sampled_from([b"", b"TAG" + bytes(125)]),
    st.integers(0, 127).map(lambda size: ID3V2 + bytes([size]) + bytes(size)),
    st.integers(1, 5000).map(bytes),
)
JOINED = st.tuples(st.sampled_from(sorted(KINDS)), st.permutations(SECONDS), TAGS)


def whole_or_refused(case):
    """Two recordings in one file are both heard, or one sentence says that there are two."""
    kind, (first, second), between = case
    (a, frames), (b, more) = recording(kind, first), recording(kind, second)
    found = heard(a + between + b, kind)
    assert found is None or len(found) >= 0.95 * (frames + more), (len(found), frames, more)


def test_joined():
    all_hold("joined recordings", JOINED, whole_or_refused)


SHORTENED = st.tuples(st.sampled_from([*sorted(LENGTHS), "flac"]), st.floats(0.1, 0.8), st.sampled_from(SECONDS))


def shortened(case):
    """A header that says less than there is hides nothing."""
    kind, share, seconds = case
    data, frames = recording(kind, seconds)
    data = bytearray(data)
    if kind == "flac":
        data[18:26] = (int.from_bytes(data[18:26]) - frames + int(share * frames)).to_bytes(8)
    else:
        name, behind, form = LENGTHS[kind]
        at = data.index(name) + behind
        (size,) = struct.unpack_from(form, data, at)
        struct.pack_into(form, data, at, int(share * size) & ~1)
    found = heard(bytes(data), kind)
    assert found is None or len(found) >= 0.95 * frames, (len(found), frames)


def test_lengths_that_are_too_short():
    all_hold("short lengths", SHORTENED, shortened)


ENDED = st.tuples(st.sampled_from(["wav", "flac", "mp3", "aiff", "au", "caf"]), TAGS)


def ended(case):
    """What players write behind a recording is no second one."""
    kind, tag = case
    data, frames = recording(kind, SECONDS[0])
    found = heard(data + tag, kind)
    assert found is not None and len(found) >= 0.95 * frames


def test_tags_and_padding():
    all_hold("tags and padding", ENDED, ended)


RATES = st.one_of(st.integers(1, 2000), st.integers(2001, 2**32 - 1))


def a_rate(rate):
    """Of any rate in a header comes sound of its length, or one sentence."""
    found = heard(lying_wav(rate=rate, samples=400), "wav")
    assert found is None or (audio.LEAST_RATE <= rate and abs(len(found) - 400 * 16000 / rate) <= 200)


def test_rates():
    all_hold("rates", RATES, a_rate)


FIELDS = {  # of a header: what comes before the number, its place behind that, its form, what it may be by itself
    "wav": [
        (b"fmt ", 6, "<H", (1, 2, 3, 64)),
        (b"fmt ", 8, "<I", (8000, 16000, 48000)),
        (b"fmt ", 18, "<H", (8, 16, 24, 32)),
    ],
    "aiff": [(b"COMM", 4, ">H", (1, 2, 3, 64)), (b"COMM", 10, ">H", (8, 16, 24, 32))],
    "caf": [(b"desc", 32, ">I", (1, 2, 3, 64)), (b"desc", 36, ">I", (8, 16, 24, 32))],
    "w64": [(b"fmt ", 26, "<H", (1, 2, 3, 64)), (b"fmt ", 38, "<H", (8, 16, 24, 32))],
}
LIES = st.sampled_from(
    [(kind, field, value) for kind, fields in FIELDS.items() for field in fields for value in field[3]]
)


def a_lie(case):
    """Where one field of a header is untrue, what is said of the rest of the file betrays it."""
    kind, (name, behind, form, _), value = case
    data, frames = recording(kind, SECONDS[0])
    data = bytearray(data)
    at = data.index(name) + behind
    true = struct.unpack_from(form, data, at) == (value,)
    struct.pack_into(form, data, at, value)
    found = heard(bytes(data), kind)
    assert (found is not None and len(found) == frames) if true else found is None


def test_headers_that_contradict_themselves():
    all_hold("untrue headers", LIES, a_lie)


@pytest.mark.parametrize("channels", [65, 255])
def test_more_channels_than_there_are_microphones(channels):
    assert heard(lying_wav(channels=channels, samples=channels * 100), "wav") is None
    assert heard(lying_wav(channels=64, samples=6400), "wav") is not None


TRANSFERS = {
    "line ends added": lambda data: data.replace(b"\n", b"\r\n"),
    "line ends taken": lambda data: data.replace(b"\r\n", b"\n"),
    "no byte 13": lambda data: data.replace(b"\r", b""),
    "13 to 10": lambda data: data.replace(b"\r", b"\n"),
    "7 bits": lambda data: bytes(byte & 127 for byte in data),
    "question marks": lambda data: bytes(byte if byte < 128 else 63 for byte in data),
    "UTF-8": lambda data: data.decode(errors="replace").encode(),
    "Latin-1": lambda data: data.decode("latin-1").encode(),
    "no zeros": lambda data: data.replace(b"\0", b""),
}
TRANSFERRED = st.tuples(
    st.sampled_from([kind for kind in KINDS if kind != "mp3"]), st.sampled_from(sorted(TRANSFERS)), st.integers(0, 3)
)


@functools.cache
def noisy(kind, seed):
    """The bytes of noise, in which all bytes are, and its samples."""
    samples, file = 0.1 * np.random.default_rng(seed).standard_normal(48000), io.BytesIO()
    name, subtype = KINDS[kind]
    soundfile.write(file, samples, 16000, format=name, subtype=subtype)
    return file.getvalue(), len(samples)


def transferred(case):
    """Of a file that was sent or kept as a text comes one sentence, or it was not changed, or the sound as it was."""
    kind, way, seed = case
    data, frames = noisy(kind, seed)
    changed = TRANSFERS[way](data)
    found = heard(changed, kind)
    assert found is None if changed != data else len(found) == frames


def test_files_sent_as_texts():
    all_hold("files sent as texts", TRANSFERRED, transferred)


FLIPS = st.tuples(st.sampled_from(["ogg", "opus"]), st.floats(0, 1, exclude_max=True), st.integers(1, 255))


def flipped_byte(case):
    """One wrong byte anywhere in an Ogg file is found, where decoders would pass over its page."""
    kind, place, change = case
    data = bytearray(noisy(kind, 0)[0])
    data[int(place * len(data))] ^= change
    assert heard(bytes(data), kind) is None


def test_damaged_pages():
    all_hold("damaged pages", FLIPS, flipped_byte)


def test_an_mp3_in_which_its_decoder_gives_up(tmp_path):
    data, frames = recording("mp3", SECONDS[1])
    middle = len(data) // 3
    (tmp_path / "a.mp3").write_bytes(data[:middle] + bytes(3000) + data[middle:])
    found = refused_or(lambda: load(tmp_path / "a.mp3"), "a.mp3")
    assert found is None or len(found) >= 0.9 * frames


CHANNELS = st.tuples(
    st.integers(2, 8), st.lists(st.sampled_from([-1.0, -0.97, 0.0, 0.03, 0.5, 1.0]), min_size=8, max_size=8)
)


def a_mix(case):
    """What one channel says is said by the mix, whatever the others are."""
    channels, gains = case
    gains = np.array(gains[:channels])
    sound = tone(seconds=0.2)
    found = mixed(sound[:, None] * gains)
    assert found.shape == sound.shape and np.isfinite(found).all()
    assert found.std() >= 0.099 * np.abs(gains).max() * sound.std()


def test_channels():
    all_hold("channels", CHANNELS, a_mix)


@pytest.mark.parametrize(
    ("place", "name", "fault", "strategy", "check"),
    [
        (joined, "extra_part", lambda data: "", JOINED, whole_or_refused),
        (joined, "_behind_chunks", lambda *_: 0, SHORTENED, shortened),
        (joined, "_crc8", lambda data: -1, SHORTENED, shortened),
        (joined, "_more", lambda data, at: len(data) - at, ENDED, ended),
        (mpeg.Count, "extra", "", JOINED, whole_or_refused),
        (audio, "_check_rate", lambda *_: None, RATES, a_rate),
        (audio.headers, "contradiction", lambda data: "", LIES, a_lie),
        (passage, "LINES", 10**9, TRANSFERRED, transferred),
        (passage, "_pages", lambda data: "", FLIPS, flipped_byte),
        (audio, "CANCELLED", 0.0, CHANNELS, a_mix),
    ],
    ids=["joined", "chunks", "flac", "padding", "mp3", "rates", "headers", "texts", "pages", "channels"],
)
def test_planted_faults(monkeypatch, place, name, fault, strategy, check):
    monkeypatch.setattr(place, name, fault)
    assert is_found(strategy, check)


@pytest.mark.parametrize("subtype", ["G721_32", "G723_24", "ULAW", "ALAW"])
def test_codecs_that_cannot_seek(tmp_path, subtype):
    """Sound of about the length and level that it had, of codecs of telephones too."""
    sound = tone(seconds=0.5)
    soundfile.write(tmp_path / "a.au", sound, 16000, format="AU", subtype=subtype)
    found = load(tmp_path / "a.au")
    assert abs(len(found) - len(sound)) < 200 and found.std() == pytest.approx(sound.std(), rel=0.1)
