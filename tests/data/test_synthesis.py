"""Synthetic corpora: the same bytes by any number of threads and after a kill, and nothing that is held out."""

import io
import json
import signal
import subprocess
import sys
import time
from collections import Counter
from itertools import islice

import numpy as np
import pytest
import soundfile

from serenanet_modules import cli
from serenanet_modules.data.audio import is_prepared
from serenanet_modules.data.espeak import Espeak
from serenanet_modules.data.synthesis.plan import Settings, clips, draw_voices
from serenanet_modules.data.synthesis.rooms import Room, impulse_response
from tests.support.layouts import candidates
from tests.support.tiny import ROOT, SAMPLE, read_tsv, write_tsv

SENTENCES = [row["sentence"] for row in read_tsv(SAMPLE / "train.tsv")[:8]]
QUIET = Room(decay=0.0, direct=0.0, response=(0.0,) * 4, noise=300.0, colour=0.0, peak=0.5)


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text("\n".join(SENTENCES) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def synthesise(text, capsys):
    """``synthesise(folder, *more) -> (status, stdout, stderr)`` of the command."""

    def run(folder, *more, texts=(text,)):
        capsys.readouterr()
        line = ["synthesise", *texts, "--locale", "sw", "--out", folder, "--voices", 6, *more]
        return cli.main([*map(str, line)]), *capsys.readouterr()

    return run


def content(folder):
    """All files and their bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != ".lock"}


def refused(result, *words):
    status, out, err = result
    assert (status, out) == (2, "") and err.startswith("error: ") and err.count("\n") == 1
    assert all(word in err for word in words), err


# --- what is made -----------------------------------------------------------------------------------------------------


def test_jobs_kills_and_growth_change_nothing(synthesise, text, tmp_path):
    """Nor does a corpus that was larger before; another seed changes every clip."""
    assert synthesise(tmp_path / "one", "--jobs", 1)[0] == 0
    whole = content(tmp_path / "one")
    assert len(whole) == 4 + len(SENTENCES)
    synthesise(tmp_path / "three", "--jobs", 3)
    killed(text, tmp_path / "killed")
    for count in (3, 2 * len(SENTENCES), len(SENTENCES)):
        synthesise(tmp_path / "grown", "--sentences", count)
        assert len(list((tmp_path / "grown/clips").iterdir())) == count
    synthesise(tmp_path / "killed")
    assert all(content(tmp_path / name) == whole for name in ("three", "killed", "grown"))
    synthesise(tmp_path / "other", "--seed", 1)
    other = content(tmp_path / "other")
    assert not any(other[name] == whole[name] for name in whole if name.startswith("clips"))


def killed(text, folder):
    """Kill the command when some clips are there, and not all."""
    line = ["synthesise", text, "--locale", "sw", "--out", folder, "--voices", 6, "--sentences", 200, "--jobs", 2]
    process = subprocess.Popen([sys.executable, "-m", "serenanet_modules.cli", *map(str, line)], cwd=ROOT)
    while process.poll() is None and len(list(folder.glob("clips/*.flac"))) < 3:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not list(folder.glob("*.tsv")) and list(folder.glob("clips/synthetic_*.flac"))


def test_clips_that_are_there_are_not_made_again(synthesise, tmp_path, monkeypatch):
    folder = tmp_path / "sw"
    synthesise(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.glob("clips/*")}
    next(iter(before)).unlink()
    synthesise(folder)
    after = {path: path.stat().st_mtime_ns for path in folder.glob("clips/*")}
    assert before.keys() == after.keys() and sum(after[path] != before[path] for path in before) == 1


def test_recipes_read_it(synthesise, tmp_path):
    """Every clip is speech in the format that preparation uses in place; hours are reached and no more."""
    status, out, _ = synthesise(tmp_path / "sw", "--hours", 0.012)
    found = candidates("CommonVoice", tmp_path / "sw", "sw")
    seconds = {c.id: soundfile.info(c.path).duration for c in found}
    total = sum(seconds.values())
    assert status == 0 and 43.2 <= total < 43.2 + max(seconds.values())
    assert f"{len(found)} clips" in out and len(found) > len(SENTENCES)  # all sentences, and some of them again
    assert {c.split for c in found} == {"train", "dev", "test"} and {c.text for c in found} == set(SENTENCES)
    for c in found:
        samples, _ = soundfile.read(c.path)
        assert is_prepared(c.path) and 0.09 < np.abs(samples).max() < 0.91 and 1 < seconds[c.id] < 15
    about = json.loads((tmp_path / "sw/synthesis.json").read_text(encoding="utf-8"))
    assert about["espeak-ng"] == Espeak("this test").version and about["sentences"] == len(SENTENCES)


def test_without_held_out_sets(synthesise, tmp_path):
    """Two sentences are enough for a corpus that is train alone, and too few for one with dev and test."""
    (tmp_path / "two.txt").write_text('Habari ya "asubuhi".\nKaribu\tnyumbani.\n')
    refused(synthesise(tmp_path / "a", texts=[tmp_path / "two.txt"]), "2 sentence(s)", "--dev-share 0")
    shares = ("--dev-share", 0.5, "--test-share", 0.4)  # of three voices two and one, so train has none
    refused(synthesise(tmp_path / "c", "--voices", 3, *shares), "by 3 voice(s) cannot be split", "--dev-share 0")
    status, *_ = synthesise(tmp_path / "b", "--dev-share", 0, "--test-share", 0, texts=[tmp_path / "two.txt"])
    lists = [{row["sentence"] for row in read_tsv(tmp_path / f"b/{split}.tsv")} for split in ("train", "dev", "test")]
    assert status == 0 and lists == [{'Habari ya "asubuhi".', "Karibu nyumbani."}, set(), set()]


# --- what is not made -------------------------------------------------------------------------------------------------


def test_what_is_excluded(synthesise, tmp_path):
    """Sentences of dev and test are left out however they are written, and counted; those of its train are not."""
    held_out = [{"path": "x.mp3", "sentence": f" {SENTENCES[0].upper()} !"}]
    for split, rows in {"train": SENTENCES[4:], "dev": SENTENCES[1:3], "test": [held_out[0]["sentence"]]}.items():
        write_tsv(tmp_path / f"{split}.tsv", [{"path": f"{split}{i}.mp3", "sentence": s} for i, s in enumerate(rows)])
    status, out, _ = synthesise(tmp_path / "sw", "--exclude", tmp_path)
    assert status == 0 and "left out: 3 in what is excluded" in out
    said = {row["sentence"] for split in ("train", "dev", "test") for row in read_tsv(tmp_path / f"sw/{split}.tsv")}
    assert said == set(SENTENCES[3:])
    refused(synthesise(tmp_path / "none", texts=[tmp_path / "test.tsv"]), "no sentence", "1 in a dev or test set")
    status, out, _ = synthesise(tmp_path / "lists", texts=[tmp_path / "train.tsv", tmp_path / "dev.tsv"])
    assert "2 in a dev or test set" in out and "4 clips" in out


def test_text_of_other_kinds(synthesise, tmp_path, monkeypatch):
    """A list without paths, and the standard input; what is there twice or has no word is counted."""
    write_tsv(tmp_path / "more.tsv", [{"sentence_id": "1", "sentence": "Mvua inanyesha."}])
    monkeypatch.setattr(sys, "stdin", io.StringIO("Jua linawaka.\n\nJUA linawaka!\n...\nUsiku mwema.\n"))
    status, out, _ = synthesise(tmp_path / "sw", texts=[tmp_path / "more.tsv", "-"])
    assert status == 0 and "left out: 1 there twice, 1 without a word" in out and "3 clips" in out


def test_folders_that_hold_something_else(synthesise, text, tmp_path):
    """Nothing in them is touched."""
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "train.tsv").write_text("mine")
    refused(synthesise(foreign), "foreign", "train.tsv")
    assert content(foreign) == {"train.tsv": b"mine"}
    refused(synthesise(text), "text.txt: is a file")
    folder = tmp_path / "sw"
    synthesise(folder)
    before = content(folder)
    refused(synthesise(folder, "--seed", 7), "another seed (1986, not 7)")
    refused(synthesise(folder, texts=[text, SAMPLE / "train.tsv"]), "another sentences (8, not")
    (folder / "synthesis.json").write_text("[]")
    refused(synthesise(folder), "synthesis.json")
    assert {**content(folder), "synthesis.json": before["synthesis.json"]} == before


def test_numbers_that_cannot_be(synthesise, tmp_path):
    for option, value in (("--seed", -1), ("--dev-share", -0.1), ("--hours", 0), ("--voices", 0), ("--jobs", "two")):
        refused(synthesise(tmp_path / "x", option, value), option)
    refused(synthesise(tmp_path / "x", "--dev-share", 1.5), "shares")
    assert not (tmp_path / "x/clips").exists()


def test_languages_that_are_none(synthesise, tmp_path):
    refused(synthesise(tmp_path / "x", "--locale", "mdw"), "'mdw'", "sw (Swahili)")
    status, *_ = synthesise(tmp_path / "mdw", "--locale", "mdw", "--espeak-voice", "sw")
    assert status == 0 and {row["locale"] for row in read_tsv(tmp_path / "mdw/train.tsv")} == {"mdw"}


# --- voices and rooms -------------------------------------------------------------------------------------------------


def test_splits_share_neither_sentences_nor_voices():
    """And every beginning of the sequence has its share of each, the first three clips one of each."""
    sentences, variants = [f"sentence {i}" for i in range(500)], Espeak("this test").variants()
    settings = Settings("sw", "sw", voices=60, dev_share=0.1, test_share=0.1)
    found = list(islice(clips(sentences, variants, settings), 1500))
    for what in (lambda c: c.sentence, lambda c: c.voice.variant):
        sides = {split: {what(c) for c in found if c.split == split} for split in settings.shares}
        assert sum(map(len, sides.values())) == len(set.union(*sides.values()))
    assert Counter(Counter(c.sentence for c in found).values()) == {3: 500}
    assert len({(c.sentence, c.voice) for c in found}) > 1400  # said again, by others
    assert {c.split for c in found[:3]} == {"train", "dev", "test"}
    for beginning in (50, 250, 500):
        count = Counter(c.split for c in found[:beginning])
        assert abs(count["dev"] - beginning / 10) < 2 > abs(count["test"] - beginning / 10)
    voices = draw_voices(variants, settings)
    assert {split: len(own) for split, own in voices.items()} == {"train": 48, "dev": 6, "test": 6}
    assert {c.voice for c in found} == {voice for own in voices.values() for voice in own}


def test_a_room_dies_away():
    """By 60 dB in its time, and the direct sound is as much louder as it says."""
    rng = np.random.default_rng(0)
    echo = impulse_response(0.5, 6.0, 16000, rng)
    energy = np.square(echo[1:]).reshape(-1, len(echo[1:]) // 19).sum(1)
    slope = np.polyfit(np.arange(19) * 0.5 / 19, 10 * np.log10(energy), 1)[0]
    assert slope == pytest.approx(-120, rel=0.05)
    assert 10 * np.log10(1 / np.square(echo[1:]).sum()) == pytest.approx(6.0)
    assert impulse_response(0.0, 6.0, 16000, rng).tolist() == [1.0]


def test_noise_microphone_and_level():
    speech = np.random.default_rng(1).standard_normal(32000) * 0.01

    def recorded(**more):
        return Room(**{**vars(QUIET), **more}).record(speech, 16000, np.random.default_rng(2))

    plain = recorded()
    np.testing.assert_allclose(plain, speech * 0.5 / np.abs(speech).max(), atol=1e-12)
    noisy = recorded(noise=20.0, colour=1.0)
    noise = noisy / np.dot(noisy, plain) * np.dot(plain, plain) - plain
    assert 10 * np.log10(np.mean(plain**2) / np.mean(noise**2)) == pytest.approx(20.0, abs=0.3)
    dull = np.abs(np.fft.rfft(recorded(response=(6.0, 6.0, -6.0, -6.0)))) / np.abs(np.fft.rfft(plain))
    low, high = (np.median(dull[round(hertz * 2) :][:100]) for hertz in (200, 3000))
    assert 20 * np.log10(low / high) == pytest.approx(12.0, abs=0.1)


def test_rooms_are_drawn_from_their_seed():
    drawn = [[Room.draw(rng) for _ in range(50)] for rng in map(np.random.default_rng, (3, 3, 4))]
    assert drawn[0] == drawn[1] != drawn[2]
    assert 5 < sum(room.decay == 0 for room in drawn[0]) < 30
