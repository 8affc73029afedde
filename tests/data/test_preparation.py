"""Preparation keeps, rejects and remembers what its docstrings promise."""

import csv
import dataclasses
import json
import multiprocessing
import os
import signal
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serenanet_modules.data import listening, preparation
from serenanet_modules.data.batching import MicroBatch, Utterances
from serenanet_modules.data.manifest import Candidate, read_manifest
from serenanet_modules.data.preparation import prepare
from serenanet_modules.data.sifting import Settings, ctc_frames, inspect
from serenanet_modules.errors import UserError


def write_clip(path, seconds=1.0, rate=16000, level=0.3):
    noise = np.random.default_rng(len(path.name)).uniform(-level, level, int(seconds * rate))
    soundfile.write(path, noise, rate)


class Corpus:
    """A folder of clips and the candidates that refer to them."""

    def __init__(self, folder):
        self.folder, self.candidates = folder, []
        folder.mkdir()

    def add(self, name, split="train", text="habari", speaker="s1", seconds=1.0, **clip):
        path = self.folder / f"{name}.mp3"
        if seconds:
            write_clip(path, seconds, **clip)
        self.candidates.append(Candidate(name, path, text, speaker, "sw", split))
        return path

    def prepare(self, out, **settings):
        return prepare(self.candidates, out, Settings(**settings), jobs=2, progress=False)


@pytest.fixture
def corpus(tmp_path):
    corpus = Corpus(tmp_path / "corpus")
    corpus.add("good", text="Habari yako!", seconds=1.5)
    corpus.add("held_out", "test", text="Asante sana", speaker="s2")
    return corpus


def rejects(prepared):
    with open(prepared.folder / "rejects.tsv", encoding="utf-8") as file:
        return {row["path"].rsplit("/", 1)[1]: row for row in csv.DictReader(file, delimiter="\t")}


def test_manifest_and_audio(corpus, tmp_path):
    corpus.add("fast", rate=48000, seconds=2.0)
    prepared = corpus.prepare(tmp_path / "out")
    train = {u.id: u for u in read_manifest(prepared.manifest, "train")}
    assert train["good"].text == "habari yako" and train["good"].locale == "sw"
    assert train["good"].phonemes == "" and train["good"].speaker == "s1"
    assert [u.id for u in read_manifest(prepared.manifest, "test")] == ["held_out"]
    for utterance in train.values():
        info = soundfile.info(prepared.folder / utterance.path)
        assert (info.samplerate, info.channels, info.format) == (16000, 1, "FLAC")
        assert info.frames / 16000 == utterance.duration
    assert train["fast"].duration == pytest.approx(2.0, abs=0.15)


def test_every_reject_has_its_reason(corpus, tmp_path):
    corpus.add("missing", seconds=0)
    corpus.add("undecodable", seconds=0).write_text("not audio " * 100)
    corpus.add("empty", seconds=0).touch()
    cut = corpus.add("truncated")
    cut.write_bytes(cut.read_bytes()[:-300])
    corpus.add("too short", seconds=0.2)
    corpus.add("too long", seconds=6.0)
    corpus.add("too short for its text", text="neno " * 20)
    corpus.add("empty text", text=" ?! ")
    corpus.add("silent", level=0.0)
    not_finite = corpus.add("not finite", seconds=0)
    soundfile.write(not_finite, np.full(16000, np.nan), 16000, format="WAV", subtype="FLOAT")
    corpus.candidates.append(corpus.candidates[0])
    prepared = corpus.prepare(tmp_path / "out", max_duration=5.0)
    rows = rejects(prepared)
    assert {name: row["reason"] for name, row in rows.items()} == {
        **{f"{c.id}.mp3": c.id for c in corpus.candidates[2:-1]},
        "good.mp3": "duplicate id",
    }
    assert all(row["split"] == "train" for row in rows.values())
    assert [u.id for u in read_manifest(prepared.manifest, "train")] == ["good"]
    assert sum(prepared.summary["splits"]["train"]["rejected"].values()) == len(rows)


@pytest.mark.parametrize("split", ["dev", "test"])
def test_held_out_utterances_are_dropped_only_for_being_unreadable(corpus, tmp_path, split):
    corpus.add("short", split, seconds=0.2)
    corpus.add("long", split, seconds=6.0)
    corpus.add("dense", split, text="neno " * 20)
    corpus.add("wordless", split, text="?")
    corpus.add("quiet", split, level=0.0)
    cut = corpus.add("cut", split)
    cut.write_bytes(cut.read_bytes()[:-300])
    prepared = corpus.prepare(tmp_path / "out", max_duration=5.0)
    kept = {u.id for u in read_manifest(prepared.manifest, split)}
    assert kept - {"held_out"} == {"short", "long", "dense", "wordless", "quiet"}
    assert {row["reason"] for row in rejects(prepared).values()} == {"truncated"}
    assert any("have no text" in warning for warning in prepared.summary["warnings"])


def test_of_two_with_one_id_the_held_out_one_stays(corpus, tmp_path):
    corpus.add("held_out", "train")
    prepared = corpus.prepare(tmp_path / "out")
    assert [u.split for u in read_manifest(prepared.manifest) if u.id == "held_out"] == ["test"]
    assert rejects(prepared)["held_out.mp3"]["detail"] == "the one in test is kept"


def test_summary_and_its_warnings(corpus, tmp_path, capsys):
    corpus.add("same", "test", text="habari yako", speaker="s1")
    corpus.add("foreign", "test", text="xenxa", speaker="s3")
    prepared = prepare(corpus.candidates, tmp_path / "out", jobs=1)
    assert json.loads((prepared.folder / "summary.json").read_text()) == prepared.summary
    test = prepared.summary["splits"]["test"]
    durations = [u.duration for u in read_manifest(prepared.manifest, "test")]
    assert (test["utterances"], test["speakers"], test["rejected"]) == (3, 3, {})
    assert test["characters"] == len("asante sana" + "habari yako" + "xenxa")
    assert test["hours"] == pytest.approx(3.2 / 3600, rel=0.1)
    assert test["p99_seconds"] == pytest.approx(np.percentile(durations, 99), abs=0.01)
    assert prepared.summary["warnings"] == [
        "1 test speaker(s) also speak in train",
        "1 test utterance(s) have a sentence that is in train",
        "test has character(s) that train lacks: e n s t x",
    ]
    printed = capsys.readouterr().out
    assert str(prepared.folder) in printed and "note: 1 test speaker(s)" in printed


def test_small_amounts_are_seen(corpus, tmp_path):
    """Seconds where there are no hours; a dash where nobody knows the speakers."""
    prepared = prepare([dataclasses.replace(c, speaker="") for c in corpus.candidates], tmp_path / "out", jobs=1)
    (row,) = [line.split() for line in str(prepared).splitlines() if line.startswith("test ")]
    assert 0 < float(row[1]) < 9 and row[2:] == ["s", "1", "-", "11", "none"]


def test_nothing_is_done_twice(corpus, tmp_path, monkeypatch):
    first = corpus.prepare(tmp_path / "out")
    before = first.manifest.stat().st_mtime_ns
    monkeypatch.setattr(preparation, "hear", lambda *_: pytest.fail("listened again"))
    second = corpus.prepare(tmp_path / "out")
    assert second == first and second.manifest.stat().st_mtime_ns == before


def test_what_decides_the_result_decides_the_key(corpus, tmp_path, monkeypatch):
    folders = {corpus.prepare(tmp_path / "out").folder}
    folders.add(corpus.prepare(tmp_path / "out", max_duration=5.0).folder)
    write_clip(corpus.candidates[0].path, seconds=1.8)
    newer = corpus.prepare(tmp_path / "out")
    assert read_manifest(newer.manifest, "train")[0].duration == pytest.approx(1.8, abs=0.15)
    folders.add(newer.folder)
    corpus.add("more")
    folders.add(corpus.prepare(tmp_path / "out").folder)
    monkeypatch.setattr(preparation, "_source_hash", lambda module: b"another normaliser")
    folders.add(corpus.prepare(tmp_path / "out").folder)
    assert len(folders) == 5


def test_other_settings_reuse_the_decoded_audio(corpus, tmp_path, monkeypatch):
    corpus.add("shorter", seconds=0.8)
    first = corpus.prepare(tmp_path / "out")
    monkeypatch.setattr(listening, "load", lambda path: pytest.fail("decoded again"))
    second = corpus.prepare(tmp_path / "out", max_duration=1.2)
    assert rejects(second)["good.mp3"]["reason"] == "too long"
    paths = {u.id: u.path for u in read_manifest(first.manifest)}
    assert paths.pop("good")
    assert {u.id: u.path for u in read_manifest(second.manifest)} == paths


def test_a_flac_file_that_is_broken_is_made_again(corpus, tmp_path):
    first = corpus.prepare(tmp_path / "out")
    flac = first.folder / read_manifest(first.manifest, "train")[0].path
    whole = flac.read_bytes()
    flac.write_bytes(whole[:100])
    corpus.prepare(tmp_path / "out", max_duration=5.0)
    assert flac.read_bytes() == whole


def test_order_does_not_depend_on_threads(corpus, tmp_path):
    for i in range(50):
        corpus.add(f"clip{i}", seconds=0.5 + i % 7 / 5)
    one = prepare(corpus.candidates, tmp_path / "one", jobs=1, progress=False)
    many = prepare(corpus.candidates, tmp_path / "many", jobs=8, progress=False)
    assert one.manifest.read_bytes() == many.manifest.read_bytes()


def test_segments_are_cut_in_one_pass(corpus, tmp_path, monkeypatch):
    """Twenty segments decode their recording once; what is behind its end is rejected, a hair's breadth is not."""
    long = corpus.folder / "long.wav"
    write_clip(long, 21.0)
    spans = [(float(i), i + 1.0) for i in range(20)] + [(20.0, 21.3), (20.0, None), (20.5, 23.0), (30.0, 31.0)]
    for i, (start, end) in enumerate(spans):
        corpus.candidates.append(Candidate(f"s{i}", long, "neno", "s", "sw", "train", "", start, end))
    opened = []
    monkeypatch.setattr(
        listening, "cut_parts", lambda path, parts, cut=listening.cut_parts: opened.append(path) or cut(path, parts)
    )
    prepared = corpus.prepare(tmp_path / "out")
    assert opened == [long]
    whole = soundfile.read(long, dtype="float32")[0]
    rows = {u.id: u for u in read_manifest(prepared.manifest)}
    for i in range(22):
        samples = soundfile.read(prepared.folder / rows[f"s{i}"].path, dtype="float32")[0]
        np.testing.assert_array_equal(samples, whole[16000 * min(i, 20) : 16000 * min(i + 1, 21)])
    with open(prepared.folder / "rejects.tsv", encoding="utf-8") as file:
        rejected = {row["id"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert rejected.keys() == {"s22", "s23"} and {r["reason"] for r in rejected.values()} == {"outside the recording"}
    assert rejected["s22"]["detail"] == "which ends at 21.00 s"
    corpus.prepare(tmp_path / "out", max_duration=5.0)
    assert opened == [long, long]  # for the two that there is nothing of


def test_segments_say_their_recording(corpus, tmp_path):
    """Two of one file are of one recording, also where the corpus is moved to; a file of its own is of none."""
    for name in ("a", "b"):
        (corpus.folder / name).mkdir()
        write_clip(corpus.folder / name / "tape.wav", 3.0 + (name == "b"))
        for start in (0.0, 1.0):
            path = corpus.folder / name / "tape.wav"
            corpus.candidates.append(Candidate(f"{name}{start}", path, "neno", "s", "sw", "dev", "", start, start + 1))
    rows = {u.id: u.recording for u in read_manifest(corpus.prepare(tmp_path / "out").manifest)}
    assert rows["a0.0"] == rows["a1.0"] != rows["b0.0"] == rows["b1.0"] and rows["a0.0"].startswith("tape-")
    assert rows["good"] == ""
    moved = corpus.folder.rename(tmp_path / "moved")
    found = [dataclasses.replace(c, path=moved / c.path.relative_to(corpus.folder)) for c in corpus.candidates]
    again = prepare(found, tmp_path / "again", progress=False)
    assert {u.id: u.recording for u in read_manifest(again.manifest)} == rows


def test_flac_that_needs_no_change_is_used_where_it_is(tmp_path, monkeypatch):
    """Such a file is not copied, and gives a training the samples that a copy gives; a moved corpus is found anew."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for split in ("train", "dev"):
        write_clip(folder / f"{split}.flac")

    def prepared(folder, out):
        clips = [Candidate(s, folder / f"{s}.flac", "neno", "", "sw", s) for s in ("train", "dev")]
        return prepare(clips, tmp_path / out, progress=False)

    first = prepared(folder, "out")
    assert first.summary["in_place"] == 2 and not list((tmp_path / "out").rglob("*.flac"))
    assert [u.path for u in read_manifest(first.manifest)] == [str(folder / "dev.flac"), str(folder / "train.flac")]
    moved = folder.rename(tmp_path / "moved")
    second = prepared(moved, "out")
    assert second.folder == first.folder
    assert {Path(u.path).parent for u in read_manifest(second.manifest)} == {moved}
    monkeypatch.setattr(listening, "is_prepared", lambda path: False)
    copied = prepared(moved, "copies")
    for here, copy in zip(read_manifest(second.manifest), read_manifest(copied.manifest), strict=True):
        one, other = (
            Utterances([u], p.folder)[MicroBatch((0,), 0, 1, True)] for u, p in ((here, second), (copy, copied))
        )
        assert one.wavs.equal(other.wavs) and here.duration == copy.duration
        assert copy.path.startswith("../audio/")


def test_pre_training_needs_no_text(corpus, tmp_path):
    """Without need of text, only what is heard rejects a training clip."""
    corpus.add("wordless", text="")
    corpus.add("dense", text="neno " * 20)
    corpus.add("short", seconds=0.2)
    prepared = corpus.prepare(tmp_path / "out", needs_text=False)
    assert {u.id for u in read_manifest(prepared.manifest, "train")} == {"good", "wordless", "dense"}
    assert "1 train utterance(s) have no text; only pre-training can use them" in prepared.summary["warnings"]


def test_inspection_applies_the_same_rules_and_writes_nothing(corpus, tmp_path):
    """With decoding the rejects are those of preparation; headers alone miss damage."""
    corpus.add("short", seconds=0.2)
    corpus.add("gone", seconds=0)
    corpus.add("silent", level=0.0)
    cut = corpus.add("cut", "test")
    cut.write_bytes(cut.read_bytes()[:-300])
    corpus.candidates.append(Candidate("s1", corpus.candidates[0].path, "a", "s", "sw", "train", "", 1.0, 9.0))
    before = sorted(tmp_path.rglob("*"))
    decoded = inspect(corpus.candidates, decode=True, progress=False)
    headers = inspect(corpus.candidates, progress=False)
    assert sorted(tmp_path.rglob("*")) == before
    prepared = corpus.prepare(tmp_path / "out")
    with open(prepared.folder / "rejects.tsv", encoding="utf-8") as file:
        rejected = {row["id"]: row["reason"] for row in csv.DictReader(file, delimiter="\t")}
    assert {c.candidate.id: c.reason for c in decoded if c.reason} == rejected
    seen = {c.candidate.id: c.reason for c in headers if c.reason}
    assert seen == {name: reason for name, reason in rejected.items() if name not in ("silent", "cut")}
    for one, other in zip(decoded, headers, strict=True):
        assert one.reason or one.duration == pytest.approx(other.duration, abs=0.1)


def test_a_text_of_another_script_is_named(corpus, tmp_path, caplog):
    """Of which nothing is left to score by; a mark alone is nothing that is said."""
    corpus.add("mark", "test", text="[kelele]")
    corpus.prepare(tmp_path / "out")
    assert "scored as empty" not in caplog.text
    corpus.add("other", "test", text="кису хики")
    corpus.prepare(tmp_path / "out")
    assert "1 text of dev or test left without a letter by the rules of sw, the first 'кису хики'" in caplog.text


def test_transcribers_marks_as_asked(corpus, tmp_path):
    """Left out, words of their own, or training utterances that have them left out, and of dev and test only they."""
    corpus.add("marked", text="[kelele] Habari <unk> yako", seconds=2.0)
    corpus.add("marked_test", "test", text="(anacheka) Ndiyo", seconds=2.0)
    texts = {}
    for rule in ("drop", "keep", "skip"):
        prepared = corpus.prepare(tmp_path / rule, marks=rule)
        texts[rule] = {u.id: u.text for u in read_manifest(prepared.manifest)}
        assert ("marked.mp3" in rejects(prepared)) == (rule == "skip")
    assert texts["drop"]["marked"] == "habari yako" and texts["drop"]["marked_test"] == "ndiyo"
    assert (
        texts["keep"]["marked"] == "<kelele> habari <unk_> yako" and texts["keep"]["marked_test"] == "<anacheka> ndiyo"
    )
    assert texts["skip"]["marked_test"] == "ndiyo"


def test_named_sets_are_counted_apart(corpus, tmp_path):
    corpus.add("other", "test-other", text="sawa")
    summary = corpus.prepare(tmp_path / "out").summary
    assert list(summary["splits"]) == ["train", "dev", "test", "test-other"]
    assert summary["splits"]["test-other"]["utterances"] == 1
    assert "test-other has character(s) that train lacks: s w" in summary["warnings"]


def test_phonemes_are_made_or_taken_from_the_corpus(corpus, tmp_path):
    given = Candidate("given", corpus.candidates[0].path, "baba", "s", "sw", "train", "p a | p a")
    corpus.candidates.append(given)
    corpus.add("made", text="mama tano")
    prepared = corpus.prepare(tmp_path / "out", phonemes=True)
    phonemes = {u.id: u.phonemes for u in read_manifest(prepared.manifest)}
    assert phonemes["made"] == "m a m a | t a n o"
    assert phonemes["given"] == "p a | p a"


def test_a_split_without_one_usable_utterance_is_an_error(corpus, tmp_path, monkeypatch):
    """It says where the list of rejects is, unless that is gone with the machine's temporary files."""
    corpus.add("gone", "dev", seconds=0)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError, match=r"No dev utterance is usable \(1 missing; first .*gone.mp3\)\.$"):
        corpus.prepare(tmp_path / "passing")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "elsewhere"))
    with pytest.raises(UserError, match=r"No dev utterance is usable \(1 missing; first .*\); see .*rejects"):
        corpus.prepare(tmp_path / "out")
    assert not list((tmp_path / "out").glob("*/manifest.csv"))
    with pytest.raises(UserError, match="nothing to prepare"):
        prepare([], tmp_path / "out")


def test_ctc_needs_a_blank_between_equal_characters():
    assert ctc_frames("") == 0
    assert ctc_frames("aab") == 4


def slowly(candidates, out):
    """Prepare so that there is time to interrupt it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    quick = listening.load
    listening.load = lambda path: time.sleep(0.02) or quick(path)
    prepare(candidates, out, jobs=2)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_preparation_leaves_whole_files_and_goes_on(tmp_path, how):
    corpus = Corpus(tmp_path / "corpus")
    for i in range(120):
        corpus.add(f"clip{i:03d}", text="neno", seconds=0.5)
    out = tmp_path / "out"
    process = multiprocessing.get_context("fork").Process(target=slowly, args=(corpus.candidates, out))
    process.start()
    while len(list(out.rglob("*.flac"))) < 20 and process.is_alive():
        time.sleep(0.01)
    os.kill(process.pid, how)
    process.join(10)
    assert process.exitcode not in (0, None)
    flacs = list(out.rglob("*.flac"))
    assert 20 <= len(flacs) < 120
    assert all(soundfile.info(flac).frames for flac in flacs)
    assert not list(out.rglob("*.part")) and not list(out.rglob("manifest.csv"))

    times = {flac: flac.stat().st_mtime_ns for flac in flacs}
    prepare(corpus.candidates, out, progress=False)
    assert all(flac.stat().st_mtime_ns == made for flac, made in times.items())
    assert len(read_manifest(next(out.rglob("manifest.csv")))) == 120
