"""Audio in tar archives: prepared there, read by place, and corpora that come so."""

import gzip
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serenanet_modules.data import corpora, custom
from serenanet_modules.data.audio import AudioError, load, prepared, seconds
from serenanet_modules.data.listening import Clip
from serenanet_modules.data.manifest import Candidate, read_manifest
from serenanet_modules.data.preparation import prepare
from serenanet_modules.data.sifting import inspect
from serenanet_modules.data.stores import packed
from serenanet_modules.data.tars import Shards, member, members
from serenanet_modules.errors import LayoutError, UserError

RATE = 16000


def sound(number, seconds_=0.5, kind="FLAC", rate=RATE):
    samples = np.random.default_rng(number).uniform(-0.3, 0.3, int(seconds_ * rate))
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=kind, subtype="PCM_16")
    return file.getvalue()


def write_tar(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


@pytest.fixture
def clips(tmp_path):
    """Six candidates, wav and FLAC, and two segments of a longer recording."""
    found = []
    for i, split in enumerate(("train", "train", "dev", "test")):
        kind = ("WAV", "FLAC")[i % 2]
        path = tmp_path / f"u{i}.{kind.lower()}"
        path.write_bytes(sound(i, 0.5 + i / 10, kind))
        found.append(Candidate(f"u{i}", path, "moja mbili", f"s{i}", "sw", split))
    (tmp_path / "long.wav").write_bytes(sound(9, 3.0, "WAV", 8000))
    for i, start in enumerate((0.5, 1.5)):
        found.append(Candidate(f"l{i}", tmp_path / "long.wav", "tatu", "s9", "sw", "train", start=start, end=start + 1))
    return found


def rows_and_samples(done):
    rows = {u.id: u for u in read_manifest(done.manifest)}
    return rows, {name: prepared(done.folder / u.path) for name, u in rows.items()}


def test_packed_audio_is_that_of_files(clips, tmp_path):
    """Bit by bit, with the same rows but for where they lie; a few archives stand for all."""
    loose = rows_and_samples(prepare(clips, tmp_path / "loose", progress=False))
    done = prepare(clips, tmp_path / "packed", progress=False, pack=True)
    rows, samples = rows_and_samples(done)
    assert list(rows) == list(loose[0]) and all(member(done.folder / u.path) for u in rows.values())
    for name, u in rows.items():
        other = loose[0][name]
        assert np.array_equal(samples[name], loose[1][name]) and np.array_equal(
            load(done.folder / u.path), samples[name]
        )
        assert (u.duration, u.text, u.split) == (other.duration, other.text, other.split)
        assert seconds(done.folder / u.path) == u.duration
    assert [file.name for file in (tmp_path / "packed" / "audio").iterdir()] == ["000-000000.tar"]


def test_archives_are_webdatasets(clips, tmp_path):
    """As its reader has them: the files of a sample follow one another, and any tar program lists them."""
    prepare(clips, tmp_path / "out", progress=False, pack=True)
    names = tarfile.open(tmp_path / "out" / "audio" / "000-000000.tar").getnames()
    stems = [name.partition(".")[0] for name in names]
    assert names[::2] == [f"{stem}.flac" for stem in stems[::2]] and names[1::2] == [
        f"{stem}.txt" for stem in stems[::2]
    ]
    found = custom.candidates(tmp_path / "out" / "audio", "sw", shares={"test": 1})
    assert sorted(c.text for c in found) == ["moja mbili"] * 4 + ["tatu"] * 2
    assert not [clip for clip in inspect(found, decode=True, jobs=1, progress=False) if clip.reason]


def test_what_was_packed_is_not_packed_again(clips, tmp_path):
    """Also where the process was killed inside a clip, whose archive then ends anywhere."""
    folder = tmp_path / "out"
    first = prepare(clips[:4], folder, progress=False, pack=True)
    tar = folder / "audio" / "000-000000.tar"
    *_, (_, last) = members(tar)
    with open(tar, "rb+") as file:
        file.truncate(last.offset + last.size // 2)
    whole = packed(folder / "audio")
    assert len(whole) == 4
    second = prepare(clips, folder, progress=False, pack=True)
    again, before = (rows_and_samples(done)[0] for done in (second, first))
    assert {again[name].path for name in before} == {u.path for u in before.values()}
    assert {member(second.folder / again[name].path).tar.name for name in ("l0", "l1")} == {"000-000001.tar"}


def test_processes_share_a_preparation(clips, tmp_path):
    """Each has archives of its own, a recording is decoded by one of them, and there is one manifest."""
    shared = []

    def share(parts):
        shared.extend(parts)
        return [part.hear() for part in parts]

    share.processes = 2
    loose = rows_and_samples(prepare(clips, tmp_path / "alone", progress=False))
    done = prepare(clips, tmp_path / "two", jobs=1, progress=False, pack=True, share=share)
    rows, samples = rows_and_samples(done)
    assert list(rows) == list(loose[0]) and all(np.array_equal(samples[name], loose[1][name]) for name in rows)
    assert {file.name for file in (tmp_path / "two" / "audio").iterdir()} == {"000-000000.tar", "001-000000.tar"}
    assert [len(part.clips) for part in shared] == [4, 2] or [len(part.clips) for part in shared] == [3, 3]
    assert {c.candidate.id[0] for part in shared for c in part.clips if c.candidate.is_segment} == {"l"}


def test_shards_of_a_size(tmp_path, monkeypatch):
    monkeypatch.setattr("serenanet_modules.data.tars.LARGEST", 4000)
    shards = Shards(tmp_path, "000")
    places = [shards.add(f"ŋ{i}" + "x" * 120, {"flac": bytes([i]) * 1500}) for i in range(3)]
    shards.close()
    assert [member(p).read() for p in places] == [bytes([i]) * 1500 for i in range(3)]
    assert len(list(tmp_path.glob("*.tar"))) == 3
    assert [name for tar in sorted(tmp_path.glob("*.tar")) for name in tarfile.open(tar).getnames()] == [
        f"ŋ{i}{'x' * 120}.flac" for i in range(3)
    ]


def test_what_is_wrong_with_a_member(tmp_path):
    write_tar(tmp_path / "a.tar", {"x.flac": sound(0), "y.flac": b"no sound", "z.m4a": b"\0\0\0\x20ftypM4A "})
    found = {name: Path(tmp_path / f"a.tar/@{m.offset}+{m.size}/{name}") for name, m in members(tmp_path / "a.tar")}
    assert len(load(found["x.flac"])) == RATE // 2
    for name in ("y.flac", "z.m4a"):
        with pytest.raises(AudioError, match="cannot be read as audio"):
            load(found[name])
    with open(tmp_path / "a.tar", "rb+") as file:
        file.truncate(member(found["x.flac"]).offset + 99)
    with pytest.raises(AudioError, match="the end of the file is missing .*a.tar is not whole"):
        load(found["x.flac"])
    (tmp_path / "a.tar").unlink()
    with pytest.raises(AudioError, match="no such file"):
        load(found["x.flac"])
    (tmp_path / "b.tar").write_bytes(b"anything" * 999)
    with pytest.raises(UserError, match="b.tar: cannot be read as a tar archive"):
        custom.candidates(tmp_path, "sw")


# --- corpora ----------------------------------------------------------------------------------------------------------


def web(folder, kind="flac"):
    """A WebDataset folder of train and dev, one text in a file, the others in JSON."""
    for split, numbers in (("train", range(3)), ("dev", range(3, 5))):
        files = {}
        for i in numbers:
            files[f"{split}/u.{i}.{kind}" if i else f"u0.{kind}"] = sound(i, kind=kind.upper())
            stem = f"{split}/u" if i else "u0"
            said = {"text": f"habari {i}", "speaker": f"s{i}", "start": 3, "mel": [1, 2]}
            ending = ("json", json.dumps(said)) if i != 1 else ("txt", "habari 1\n")
            files[f"{stem}.{i}.{ending[0]}" if i else f"u0.{ending[0]}"] = ending[1].encode()
        files = {name.replace("u.", "u"): data for name, data in files.items()}
        write_tar(folder / f"{split}-000000.tar", files)
    return folder


def test_webdataset(tmp_path):
    found = custom.candidates(web(tmp_path / "web"), "sw")
    assert [(c.id, c.text, c.speaker, c.split) for c in found] == [
        ("dev/u3", "habari 3", "s3", "dev"),
        ("dev/u4", "habari 4", "s4", "dev"),
        ("u0", "habari 0", "s0", "train"),
        ("train/u1", "habari 1", "", "train"),
        ("train/u2", "habari 2", "s2", "train"),
    ]
    assert not any(c.is_segment for c in found)
    for c in found:
        want = soundfile.read(io.BytesIO(sound(int(c.id[-1]))), dtype="float32")[0]
        assert np.array_equal(load(c.path), want)


def test_a_recipe_takes_archives(tmp_path):
    """Of any recipe, whose own layout they are not."""

    def layout(folder, locale):
        raise LayoutError("nothing like it")

    found = corpora.read([web(tmp_path / "web", "wav"), tmp_path / "web" / "dev-000000.tar"], "sw", layout)
    assert len(found) == 7 and {c.split for c in found} >= {"train"}
    done = prepare(found, tmp_path / "out", progress=False)
    assert len(read_manifest(done.manifest)) == 6  # and one has fewer frames than letters


def cut(number, supervisions, length=0.5):
    recording = {"id": f"r{number}", "sources": [{"type": "shar", "channels": [0], "source": ""}]}
    recording |= {"sampling_rate": RATE, "num_samples": int(RATE * length), "duration": length}
    about = {"id": f"c{number}", "start": 7.0, "duration": length, "channel": 0, "type": "MonoCut"}
    return {**about, "supervisions": supervisions, "recording": recording}


def said(number, start, duration, text):
    about = {"id": f"x{number}", "recording_id": f"r{number}", "channel": 0, "language": "sw"}
    return {**about, "start": start, "duration": duration, "text": text, "speaker": f"s{number}"}


def shar(folder):
    cuts = [
        cut(0, [said(0, 0.0, 0.5, "moja")]),
        cut(1, [said(1, 0.1, 0.6, "mbili"), said(1, 1.0, 0.5, "tatu")], 2.0),
    ]
    folder.mkdir(parents=True)
    with gzip.open(folder / "cuts.000000.jsonl.gz", "wt") as file:
        file.writelines(json.dumps(c) + "\n" for c in cuts)
    files = {}
    for i, length in enumerate((0.5, 2.0)):
        files |= {f"c{i}.flac": sound(i, length), f"c{i}.json": b"{}"}
    write_tar(folder / "recording.000000.tar", files)
    return folder


def test_shar(tmp_path):
    """The sound of a cut is all of it, wherever it was cut from; what is said lies in it."""
    shar(tmp_path / "x" / "train")
    found = custom.candidates(tmp_path / "x", "en")
    assert [(c.id, c.text, c.speaker, c.locale, c.split, c.start, c.end) for c in found] == [
        ("c0", "moja", "s0", "sw", "train", 0.0, None),
        ("c1-0", "mbili", "s1", "sw", "train", 0.1, 0.7),
        ("c1-1", "tatu", "s1", "sw", "train", 1.0, 1.5),
    ]
    clips = inspect(found, decode=True, jobs=1, progress=False)
    assert [round(clip.duration, 3) for clip in clips] == [0.5, 0.6, 0.5] and isinstance(clips[0], Clip)
    (tmp_path / "x" / "train" / "recording.000000.tar").unlink()
    with pytest.raises(UserError, match=r"recording.000000.tar, is not beside it"):
        custom.candidates(tmp_path / "x", "en")
