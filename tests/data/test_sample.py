"""The embedded corpus is what its README says, and its script still makes it."""

import csv
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from serenanet_modules.data.espeak import Espeak, Talker
from serenanet_modules.data.synthesis.release import COLUMNS
from serenanet_modules.data.text.sw import normalise
from tests.sample import make
from tests.sample.grammar import Grammar

CORPUS = Path(make.__file__).parent / "CommonVoice" / "sw"
SPLITS = ("train", "dev", "test")


@pytest.fixture(scope="module")
def tables():
    def read(split):
        with open(CORPUS / f"{split}.tsv", encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))

    return {split: read(split) for split in SPLITS}


def test_sizes_and_columns(tables):
    assert {split: len(rows) for split, rows in tables.items()} == make.SIZES
    assert all(list(row) == COLUMNS for rows in tables.values() for row in rows)
    assert {row["locale"] for rows in tables.values() for row in rows} == {"sw"}
    assert sum(file.stat().st_size for file in CORPUS.rglob("*") if file.is_file()) < 6e6


def test_every_row_has_its_own_clip_and_no_clip_is_left_over(tables):
    named = [row["path"] for rows in tables.values() for row in rows]
    assert sorted(named) == sorted(clip.name for clip in (CORPUS / "clips").iterdir())


def test_splits_share_neither_speakers_nor_sentences(tables):
    for a, b in combinations(SPLITS, 2):
        assert not {r["client_id"] for r in tables[a]} & {r["client_id"] for r in tables[b]}
        for sentence in (make.words(row["sentence"]) for row in tables[a]):
            for other in (make.words(row["sentence"]) for row in tables[b]):
                assert len(sentence & other) <= 0.6 * len(sentence | other)


def test_few_held_out_words_are_new(tables):
    texts = {split: [normalise(r["sentence"]) for r in rows] for split, rows in tables.items()}
    known = set(" ".join(texts["train"]).split())
    for split in ("dev", "test"):
        words = " ".join(texts[split]).split()
        assert 0.02 < sum(word not in known for word in words) / len(words) < 0.08
        assert any("ng'" in word for word in words)


def test_clips_are_speech_at_16_khz(tables):
    for row in [row for split in SPLITS for row in tables[split][::20]]:
        audio, rate = soundfile.read(CORPUS / "clips" / row["path"])
        assert rate == 16000 and audio.ndim == 1
        assert 1 < len(audio) / rate < 6
        assert 0.05 < np.abs(audio).max() < 1


def test_the_grammar_writes_the_tables(tables):
    sentences = make.draw_sentences(Grammar(seed=1))
    for split, rows in tables.items():
        assert sorted(row["sentence"] for row in rows) == sorted(sentences[split])


def test_the_script_speaks_its_clips(tmp_path):
    espeak, speaker = Espeak("this test"), make.Speaker("m3", 180, 55)
    for name in "ab":
        with Talker() as talker:
            audio = make.speak("Ng'ombe wangu anakula.", speaker, espeak, talker)
            make.write_clip(tmp_path / f"{name}.mp3", make.record(audio, seed=1))
    assert (tmp_path / "a.mp3").read_bytes() == (tmp_path / "b.mp3").read_bytes()
    audio, rate = soundfile.read(tmp_path / "a.mp3")
    assert rate == 16000 and 1 < len(audio) / rate < 4
