"""Any audio file gives 16 kHz mono float32, or an error that names what is wrong."""

import os
import shutil
import subprocess
import threading

import numpy as np
import pytest
import soundfile

from serenanet_modules.data import audio, ffmpeg, mpeg
from serenanet_modules.data.audio import AudioError, cut, is_prepared, load, save_flac, seconds
from serenanet_modules.data.mpeg import count
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing

needs_ffmpeg = pytest.mark.skipif(not shutil.which("ffmpeg"), reason="ffmpeg is not installed")


def tone(rate, seconds=1.0, hertz=440.0):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def strongest_frequency(samples):
    return np.argmax(np.abs(np.fft.rfft(samples))) * 16000 / len(samples)


def reason(path):
    with pytest.raises(AudioError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["wav", "flac", "mp3", "ogg"])
def test_any_rate_and_format(tmp_path, rate, suffix):
    soundfile.write(tmp_path / f"a.{suffix}", tone(rate), rate)
    samples = load(tmp_path / f"a.{suffix}")
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - 16000) <= (2400 if suffix == "mp3" else 2)  # mp3 pads its frames
    assert strongest_frequency(samples) == pytest.approx(440, abs=2)
    assert 0.45 < np.abs(samples[4000:12000]).max() < 0.55


def test_channels_are_averaged(tmp_path):
    left = tone(16000)
    soundfile.write(tmp_path / "a.wav", np.stack([left, 0 * left, 0 * left], axis=1), 16000)
    np.testing.assert_allclose(load(tmp_path / "a.wav"), left / 3, atol=1e-4)


def test_resampling_removes_what_16_khz_cannot_hold(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(48000, hertz=11000), 48000)
    assert np.abs(load(tmp_path / "a.wav")[1000:-1000]).max() < 1e-3


@needs_ffmpeg
@pytest.mark.parametrize("suffix", ["m4a", "webm", "avi", "mpg", "mts", "ts"])
def test_containers_of_phones_browsers_and_cameras(tmp_path, suffix):
    soundfile.write(tmp_path / "a.wav", tone(48000), 48000)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", tmp_path / f"-a.{suffix}"]
    subprocess.run(command, check=True)
    samples = load(tmp_path / f"-a.{suffix}")
    assert abs(len(samples) - 16000) < 2000
    assert strongest_frequency(samples) == pytest.approx(440, abs=2)


def test_without_ffmpeg_its_formats_are_one_clear_sentence(tmp_path, monkeypatch):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    monkeypatch.setattr(ffmpeg.shutil, "which", lambda program: None)
    with pytest.raises(UserError, match="ffmpeg, which is not installed"):
        load(tmp_path / "a.m4a")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "git lfs pull"),
        ("\n<!DOCTYPE html><html>", "a page of HTML"),
    ],
)
def test_what_stands_in_the_place_of_a_file(tmp_path, content, words):
    (tmp_path / "a.wav").write_text(content)
    with pytest.raises(AudioError, match=words):
        load(tmp_path / "a.wav")


@needs_ffmpeg
def test_a_broken_foreign_container(tmp_path):
    (tmp_path / "a.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    assert reason(tmp_path / "a.m4a") == "undecodable"


@needs_ffmpeg
def test_pictures_alone(tmp_path):
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=d=0.1:size=32x32", tmp_path / "a.mp4"]
    subprocess.run(command, check=True)
    with pytest.raises(AudioError, match="a.mp4: .* audio .it has no audio."):
        load(tmp_path / "a.mp4")


def test_missing_empty_and_undecodable(tmp_path):
    assert reason(tmp_path / "none.mp3") == "missing"
    assert reason(tmp_path) == "missing"
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="pipe.wav: .* pipe or device"):
        load(tmp_path / "pipe.wav")
    (tmp_path / "zero.mp3").touch()
    assert reason(tmp_path / "zero.mp3") == "empty"
    soundfile.write(tmp_path / "silent.wav", np.zeros(0), 16000)
    assert reason(tmp_path / "silent.wav") == "empty"
    for text, read, said in (
        ("404 not found", load, "no MPEG frame was found"),
        ("404 not found", seconds, "no MPEG frame was found"),
        ("<html>404 not found</html>", load, "a page of HTML"),
    ):
        (tmp_path / "text.mp3").write_text(text * 50)
        with pytest.raises(AudioError, match=f"text.mp3: this cannot be read as audio .{said}"):
            read(tmp_path / "text.mp3")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite(tmp_path, value):
    samples = tone(16000)
    samples[100] = value
    soundfile.write(tmp_path / "a.wav", samples, 16000, subtype="FLOAT")
    assert reason(tmp_path / "a.wav") == "not finite"


@pytest.mark.parametrize("rate", [8000, 16000, 32000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2])
def test_truncated_mp3(tmp_path, rate, channels):
    whole = tmp_path / "whole.mp3"
    soundfile.write(whole, np.stack([tone(rate)] * channels, axis=1), rate)
    data = whole.read_bytes()
    assert count(data).missing == ""
    load(whole)
    for share in (0.2, 0.5, 0.9, 0.99):
        cut = tmp_path / "cut.mp3"
        cut.write_bytes(data[: int(len(data) * share)])
        assert reason(cut) == "truncated"


def test_mp3_cut_between_frames_is_seen_by_its_header(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(16000), 16000, bitrate_mode="CONSTANT")
    data = (tmp_path / "a.mp3").read_bytes()
    ends = [i for i in range(len(data)) if not count(data[:i]).missing.startswith("the last")]
    between = max(i for i in ends if i < len(data) * 0.7)
    assert "frames are there" in count(data[:between]).missing


def test_tags_around_an_mp3_are_no_damage(tmp_path):
    soundfile.write(tmp_path / "a.mp3", tone(16000), 16000)
    data = (tmp_path / "a.mp3").read_bytes()
    picture = b"ID3\x04\0\0\0\0\x02\x00" + b"\xff\xfb\x90\x00" * 64
    (tmp_path / "tagged.mp3").write_bytes(picture + data + b"TAG" + bytes(125))
    assert count((tmp_path / "tagged.mp3").read_bytes()).missing == ""
    assert len(load(tmp_path / "tagged.mp3")) == len(load(tmp_path / "a.mp3"))
    assert count(picture + data[: len(data) // 2]).missing


def test_truncated_wav_and_flac(tmp_path):
    for suffix, expected in (("wav", "truncated"), ("flac", "undecodable")):
        soundfile.write(tmp_path / f"a.{suffix}", tone(16000), 16000)
        data = (tmp_path / f"a.{suffix}").read_bytes()
        (tmp_path / f"cut.{suffix}").write_bytes(data[: len(data) // 2])
        assert reason(tmp_path / f"cut.{suffix}") == expected


def test_a_wav_may_lack_a_few_milliseconds(tmp_path):
    """Some recorders announce more than they write; 20 ms are let pass, 150 ms are a truncation."""
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[: -2 * 320])
    assert len(load(tmp_path / "a.wav")) == 16000 - 320
    (tmp_path / "a.wav").write_bytes(data[: -2 * 2400])
    assert reason(tmp_path / "a.wav") == "truncated"


def test_wav_from_a_pipe_promises_no_length(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    at = data.index(b"data") + 4
    data[at : at + 4] = data[4:8] = b"\xff\xff\xff\xff"
    (tmp_path / "a.wav").write_bytes(data)
    assert len(load(tmp_path / "a.wav")) == 16000


def test_flac_keeps_samples_to_16_bits_and_clips(tmp_path):
    samples = tone(16000).astype(np.float32)
    samples[:3] = 2.0
    save_flac(tmp_path / "new" / "a.flac", samples)
    info = soundfile.info(tmp_path / "new" / "a.flac")
    assert (info.samplerate, info.channels, info.subtype) == (16000, 1, "PCM_16")
    kept = load(tmp_path / "new" / "a.flac")
    np.testing.assert_allclose(kept, np.clip(samples, -1, 1), atol=4e-5)


def test_a_failed_write_leaves_nothing(tmp_path):
    target = tmp_path / "a.txt"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(target) as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]


def test_two_threads_write_one_file(tmp_path):
    samples = tone(16000, 3.0)
    writers = [threading.Thread(target=save_flac, args=(tmp_path / "a.flac", samples)) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(load(tmp_path / "a.flac")) == len(samples)
    assert [p.name for p in tmp_path.iterdir()] == ["a.flac"]


@pytest.mark.parametrize("suffix", ["wav", pytest.param("mka", marks=needs_ffmpeg)])
def test_blocks_are_bounded_in_samples(tmp_path, suffix, monkeypatch):
    """Many channels at a high rate come in shorter blocks, and are the same sound."""
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (96000, 8)).astype(np.float32)
    soundfile.write(tmp_path / "a.wav", noise, 96000)
    if suffix != "wav":
        command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", "-c:a", "pcm_s16le", tmp_path / f"a.{suffix}"]
        subprocess.run(command, check=True)
    whole, seen = load(tmp_path / f"a.{suffix}"), []
    mono = audio._mono
    monkeypatch.setattr(audio, "BLOCK_SAMPLES", 80000)
    monkeypatch.setattr(audio, "_mono", lambda samples, *of: seen.append(samples.size) or mono(samples, *of))
    np.testing.assert_allclose(load(tmp_path / f"a.{suffix}"), whole, atol=1e-6)
    assert max(seen) == 80000 and sum(seen) == noise.size


SPANS = [(70.0, None), (0.5, 1.25), (29.9, 30.1), (1.0, 65.0), (0.0, None), (80.0, 81.0)]


@pytest.mark.parametrize(("rate", "channels", "suffix"), [(16000, 1, "flac"), (16000, 2, "wav"), (44100, 1, "mp3")])
def test_segments_are_what_the_whole_has_there(tmp_path, rate, channels, suffix):
    """Any spans, also across blocks, overlapping, or behind the end; the samples are those of `load`."""
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, (71 * rate, channels)).cumsum(0)
    soundfile.write(path, 0.5 * noise / np.abs(noise).max(), rate)
    whole = load(path)
    found = dict(cut(path, SPANS))
    assert sorted(found) == list(range(len(SPANS)))
    for i, (start, end) in enumerate(SPANS):
        expected = whole[round(start * 16000) : None if end is None else round(end * 16000)]
        assert abs(len(found[i]) - len(expected)) <= (2 if end is None else 0)
        common = min(len(found[i]), len(expected))
        np.testing.assert_allclose(found[i][:common], expected[:common], atol=0 if rate == 16000 else 2e-4)


def test_segments_of_damaged_recordings(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 3), 16000)
    data = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(data[:-9000])
    for path, reason in ((tmp_path / "a.wav", "truncated"), (tmp_path / "b.wav", "missing")):
        with pytest.raises(AudioError) as caught:
            list(cut(path, [(0.0, 1.0)]))
        assert caught.value.reason == reason


def onsets(path):
    """Seconds at which sound begins after silence, and the length of it all."""
    samples = audio.load(path)
    loud = np.abs(samples[: len(samples) // 160 * 160]).reshape(-1, 160).max(1) > 0.1
    return [round(i / 100, 2) for i in np.flatnonzero(loud & ~np.append(False, loud[:-1]))], len(samples) / 16000


def timed(folder, name, *arguments):
    """A tone of a second as a container in which it is heard when ``arguments`` say."""
    soundfile.write(folder / "tone.wav", 0.5 * np.sin(np.arange(16000) * 0.3), 16000)
    subprocess.run(["ffmpeg", "-v", "error", *arguments, folder / name], check=True)
    return folder / name


@needs_ffmpeg
@pytest.mark.parametrize("name", ["late.mp4", "late.mpg", "late.mts"])
def test_a_sound_track_begins_when_its_container_says(tmp_path, name):
    """2.5 s after the picture, as a player plays it."""
    picture = ("-f", "lavfi", "-i", "color=size=32x32:rate=25:duration=4")
    late = timed(tmp_path, name, *picture, "-itsoffset", "2.5", "-i", tmp_path / "tone.wav")
    (start,), seconds = onsets(late)
    with pytest.raises(UserError, match="it has no sound track 2"):
        list(audio.blocks(late, track="2"))
    assert start == pytest.approx(2.5, abs=0.05) and seconds == pytest.approx(3.5, abs=0.1)


@needs_ffmpeg
def test_holes_in_time_stamps_are_silence(tmp_path):
    """Of 3 s, as a player plays it."""
    hole = "asetpts=if(gte(T\\,0.5)\\,PTS+3/TB\\,PTS)"
    path = timed(tmp_path, "hole.mka", "-i", tmp_path / "tone.wav", "-af", hole, "-c:a", "pcm_s16le")
    starts, seconds = onsets(path)
    assert starts[0] == 0 and starts[1] == pytest.approx(3.5, abs=0.1) and seconds == pytest.approx(4.0, abs=0.1)


@needs_ffmpeg
def test_holes_of_hours_are_refused(tmp_path, monkeypatch):
    """A small file cannot make much silence."""
    hole = "asetpts=if(gte(T\\,0.5)\\,PTS+3000/TB\\,PTS)"
    path = timed(tmp_path, "hole.mka", "-i", tmp_path / "tone.wav", "-af", hole, "-c:a", "pcm_s16le")
    monkeypatch.setattr(ffmpeg, "LONG", 1000)
    with pytest.raises(UserError, match="time stamps jump by hours"):
        audio.load(path)


@needs_ffmpeg
def test_segments_of_what_ffmpeg_reads(tmp_path):
    soundfile.write(tmp_path / "a.wav", tone(16000, 3), 16000)
    command = ["ffmpeg", "-v", "error", "-i", tmp_path / "a.wav", tmp_path / "a.m4a"]
    subprocess.run(command, check=True)
    (_, samples), *_ = cut(tmp_path / "a.m4a", [(1.0, 2.0)])
    np.testing.assert_array_equal(samples, load(tmp_path / "a.m4a")[16000:32000])
    assert seconds(tmp_path / "a.m4a") is None


def test_length_by_the_header(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(44100, 2), 44100)
    assert seconds(tmp_path / "a.flac") == 2.0
    (tmp_path / "b.wav").write_text("no audio")
    (tmp_path / "c.wav").touch()
    soundfile.write(tmp_path / "d.wav", np.zeros(0), 16000)
    for name, why in (("b.wav", "undecodable"), ("c.wav", "empty"), ("d.wav", "empty"), ("e.wav", "missing")):
        with pytest.raises(AudioError) as caught:
            seconds(tmp_path / name)
        assert caught.value.reason == why


def test_what_needs_no_copy(tmp_path):
    save_flac(tmp_path / "a.flac", tone(16000))
    soundfile.write(tmp_path / "rate.flac", tone(8000), 8000)
    soundfile.write(tmp_path / "stereo.flac", np.zeros((100, 2)), 16000)
    soundfile.write(tmp_path / "deep.flac", tone(16000), 16000, "PCM_24")
    soundfile.write(tmp_path / "a.wav", tone(16000), 16000)
    assert [p.name for p in sorted(tmp_path.iterdir()) if is_prepared(p)] == ["a.flac"]


def test_what_looks_like_a_million_frames_is_not_searched_for_ever(monkeypatch):
    """Headers without their frames, which an upload can be full of, cost no more than some of them do."""
    tried, length = [], mpeg.frame_length
    monkeypatch.setattr(mpeg, "frame_length", lambda data, at: tried.append(at) or length(data, at))
    for junk in (b"\xff\xfb\x90\x00", b"\xff\xff\xff\xff", b"\xff\xfb\xff\xfb"):
        tried.clear()
        assert count(junk * 100_000).missing == ""
        assert len(tried) <= 2 * mpeg.MOST_FALSE + 2
