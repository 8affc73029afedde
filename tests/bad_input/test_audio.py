"""Whatever a file holds, it becomes the sound that it is, or one sentence that names it and says what is wrong."""

import random
import shutil
import subprocess

import numpy as np
import pytest
import soundfile

from serenanet_modules.data.audio import AudioError, blocks, load, seconds
from serenanet_modules.data.segment import segment
from serenanet_modules.data.sources import read
from serenanet_modules.errors import UserError
from tests.support.refusals import refusal, refused_or
from tests.support.sounds import HERTZ, SUFFIXES, flipped, lying_wav, magics, tone, write

CUTS = 12  # of each format
MISSING = 1600  # samples that a file may lack unnoticed: what `data.wav` lets pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A tone of four seconds in each format: suffix -> (bytes, samples)."""
    folder = tmp_path_factory.mktemp("whole")
    paths = {suffix: write(folder / f"a.{suffix}", tone(seconds=4.0)) for suffix in SUFFIXES}
    return {suffix: (path.read_bytes(), load(path)) for suffix, path in paths.items()}


def usable(samples):
    """Whether they are what a network may be given."""
    return samples.dtype == np.float32 and samples.ndim == 1 and len(samples) > 0 and np.isfinite(samples).all()


# --- what is unusual and no damage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["wav", "flac"])
@pytest.mark.parametrize("channels", [1, 2, 8])
@pytest.mark.parametrize("rate", [8000, 11025, 44100, 48000, 96000, 192000])
def test_rates_and_channels(tmp_path, rate, channels, suffix):
    """The same second of the same tone, whatever it was stored at."""
    samples = load(write(tmp_path / f"a.{suffix}", rate=rate, channels=channels))
    assert usable(samples) and abs(len(samples) - 16000) <= 2
    assert np.argmax(np.abs(np.fft.rfft(samples))) * 16000 / len(samples) == pytest.approx(HERTZ, abs=2)
    assert 0.4 < np.abs(samples).max() < 0.55


@pytest.mark.parametrize(
    "name", ["a.txt", "a", "a.mp3", "a.wav", "a.m4a", "kahawa $HOME 'ya' \"moto\".flac", "-a.ogg", "عربي.wav"]
)
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_a_wrong_extension_and_odd_names(whole, tmp_path, suffix, name):
    """What a file holds decides, not what it is called."""
    data, samples = whole[suffix]
    (tmp_path / name).write_bytes(data)
    np.testing.assert_array_equal(load(tmp_path / name), samples)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_one_sample(tmp_path, suffix):
    assert usable(load(write(tmp_path / f"a.{suffix}", np.full(1, 0.25))))


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "IMA_ADPCM"])
def test_clipping_is_no_damage(tmp_path, subtype):
    """A tone driven into its limits stays within them, and is heard."""
    samples = load(write(tmp_path / "a.wav", np.clip(tone(level=20), -1, 1), subtype=subtype))
    assert usable(samples) and 0.9 < np.abs(samples).max() <= 1.02


def test_hours_of_silence_are_read_piece_by_piece(tmp_path):
    """Two hours take the memory of a minute, and lose no sample."""
    data = lying_wav(claims=2 * 7200 * 16000, samples=0)
    with open(tmp_path / "a.wav", "wb") as file:
        file.write(data)
        file.truncate(len(data) + 2 * 7200 * 16000)  # a hole: nothing is on the disk
    longest, count = 0, 0
    for piece in segment(blocks(tmp_path / "a.wav"), 30.0):
        longest, count = max(longest, len(piece)), count + len(piece)
        assert not piece.any()
    assert count == 7200 * 16000 and longest <= 30 * 16000


# --- damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", range(CUTS))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_cut_anywhere(whole, tmp_path, suffix, number):
    """A file without its end is refused; none passes for a whole one that is shorter."""
    data, samples = whole[suffix]
    at = random.Random(f"{suffix}{number}").randrange(1, len(data) * 9 // 10)
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(data[:at])
    found = refused_or(lambda: load(path), path)
    assert found is None or len(found) >= len(samples) - MISSING, f"{len(found)} samples of {len(samples)}, cut at {at}"


@pytest.mark.parametrize("number", range(10))
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg", "aiff"])
def test_changed_bytes(whole, tmp_path, suffix, number):
    """Of damage inside a file comes usable sound, or a refusal; never an exception of a library, and no hang."""
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(flipped(whole[suffix][0], f"{suffix}{number}"))
    found = refused_or(lambda: load(path), path)
    assert found is None or usable(found)
    refused_or(lambda: seconds(path), path)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 12, 40, 44])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_headers_alone(whole, tmp_path, suffix, size):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(whole[suffix][0][:size])
    refusal(lambda: load(path), path)


@pytest.mark.parametrize("number", range(len(magics())))
def test_noise_that_begins_like_audio(tmp_path, number):
    """An inviting beginning, then nothing that follows from it."""
    path = tmp_path / "a.wav"
    path.write_bytes(magics()[number] + random.Random(number).randbytes(3000))
    found = refused_or(lambda: load(path), path)
    assert found is None or usable(found)


@pytest.mark.parametrize(
    "claims",
    [
        {"rate": 0},
        {"rate": 1},
        {"rate": 10},
        {"rate": 999},
        {"rate": 2**31 - 1},
        {"rate": 2**32 - 1},
        {"channels": 0},
        {"channels": 1024},
        {"channels": 2**16 - 1},
        {"bits": 0},
        {"bits": 7},
        {"bits": 64},
        {"form": 0},
        {"form": 2},
        {"form": 3, "bits": 32},
        {"form": 0x55},
        {"form": 2**16 - 1},
        {"claims": 2**31},
        {"claims": 2**32 - 2},
        {"claims": 1},
    ],
    ids=str,
)
def test_headers_that_lie(tmp_path, claims):
    path = tmp_path / "a.wav"
    path.write_bytes(lying_wav(**claims))
    for look in (load, seconds):
        refused_or(lambda look=look: look(path), path)


@pytest.mark.parametrize("channels", [1, 8])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e30, 32768.0])
def test_numbers_that_are_no_sound(tmp_path, value, subtype, channels):
    """One of them, at the end of the last channel; numbers of a 16-bit range are no sound between -1 and 1 either."""
    samples = np.stack([tone()] * channels, axis=1)
    samples[-1, -1] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype=subtype)
    said = refusal(lambda: load(tmp_path / "a.wav"), tmp_path / "a.wav")
    assert ("not a number" in said) == (not np.isfinite(value)) and ("-1 and 1" in said) == np.isfinite(value)
    refusal(lambda: list(read((samples, 16000))), "an array")


@pytest.mark.parametrize("name", ["no\0pe.wav", "x" * 300 + ".wav", "a/" * 3000, "", "\ud800.wav", "nowhere/a.wav"])
def test_names_of_no_file(tmp_path, name):
    for look in (load, seconds):
        with pytest.raises(AudioError) as caught:
            look(f"{tmp_path}/{name}")
        assert caught.value.reason == "missing" and isinstance(caught.value, UserError)


def test_a_chain_of_links_without_an_end(tmp_path):
    (tmp_path / "a.wav").symlink_to(tmp_path / "b.wav")
    (tmp_path / "b.wav").symlink_to(tmp_path / "a.wav")
    refusal(lambda: load(tmp_path / "a.wav"), "a.wav", "no such file")


@pytest.fixture(scope="module")
def containers(tmp_path_factory):
    """A tone of three seconds as ffmpeg writes it: suffix -> bytes."""
    folder = tmp_path_factory.mktemp("containers")
    source = write(folder / "a.wav", tone(seconds=3.0))
    for suffix in ("m4a", "webm", "mka", "avi"):
        subprocess.run(["ffmpeg", "-v", "error", "-i", source, folder / f"a.{suffix}"], check=True)
    return {suffix: (folder / f"a.{suffix}").read_bytes() for suffix in ("m4a", "webm", "mka", "avi")}


@pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
@pytest.mark.parametrize("suffix", ["m4a", "webm", "mka", "avi"])
def test_cut_containers_of_phones(containers, tmp_path, suffix, share):
    """What ffmpeg reads: a cut file is refused."""
    path, data = tmp_path / f"a.{suffix}", containers[suffix]
    path.write_bytes(data)
    assert len(load(path)) >= 3 * 16000 - MISSING
    path.write_bytes(data[: int(len(data) * share)])
    refusal(lambda: load(path), path)
