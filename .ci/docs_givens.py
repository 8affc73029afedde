"""Make in a folder what the documents take as given: corpora, recordings, texts, tiny public models."""

import gzip
import os
import shutil
import sys
from pathlib import Path

import soundfile
import torch

from serenanet_modules.lobes.speaker_encoder import SpeakerEncoder
from serenanet_modules.runs.speaker_weights import STATE
from tests.support.eaf import eaf
from tests.support.encoders import save_encoder
from tests.support.language_models import save_language_model
from tests.support.tiny import SAMPLE, make_corpus, read_tsv, write_tsv
from tests.support.whispers import make_whisper

SIZES = {"train": 16, "dev": 4, "test": 4}
SPEAKER_ENCODER = "speakers.pt"  # with random weights, in the place of the public ones
STORY = """File type = "ooTextFile"
Object class = "TextGrid"

0 2 <exists> 1
"IntervalTier" "Text" 0 2 1
0 2 "habari ya asubuhi"
"""
ARPA = """\\data\\
ngram 1=7

\\1-grams:
-99 <s>
-0.8 </s>
-0.8 <unk>
-0.8 kisu
-0.8 hiki
-0.8 mwaka
-0.8 jana

\\end\\
"""


def recordings(folder, rows, tier="Text"):
    """WAV files, and beside each an ELAN file with one tier."""
    folder.mkdir(parents=True)
    for row in rows:
        samples, rate = soundfile.read(SAMPLE / "clips" / row["path"])
        path = folder / Path(row["path"]).with_suffix(".wav").name
        soundfile.write(path, samples, rate)
        annotated = (
            f'<TIER TIER_ID="{tier}" LINGUISTIC_TYPE_REF="free"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" '
            f'TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>{row["sentence"]}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        )
        end = round(1000 * len(samples) / rate)
        eaf(path.with_suffix(".eaf"), annotated, slots=[0, end], media=[(path.name, f"./{path.name}")])


def main():
    place = Path(sys.argv[1])
    for name in ("DIR", "DIR/sw", "DIR/sw_joshua", "DIR/mdw", "DIR/en", "radio_corpus"):
        (place / name).mkdir(parents=True)
        make_corpus(place / name, sizes=SIZES, locale=Path(name).name.partition("_")[0] if "/" in name else "sw")
    train = read_tsv(SAMPLE / "train.tsv")
    rows = [{"path": f"DIR/clips/{r['path']}", "text": r["sentence"], "speaker": r["client_id"]} for r in train[:16]]
    write_tsv(place / "corpus.tsv", rows)
    recordings(place / "recordings", train[:20])
    recordings(place / "new", train[20:22])
    recordings(place / "corpus/transcribed", train[:12], tier="Phrase")
    recordings(place / "talks", train[40:41], tier="Phrase")
    for name in ("radio", "untranscribed", "sound", "rest"):
        recordings(place / name, train[30:34])
        for path in (place / name).glob("*.eaf"):
            path.unlink()
    sorted((place / "untranscribed").glob("*.wav"))[0].rename(place / "untranscribed/audio.wav")
    for name in ("corrections", "heard"):
        shutil.copytree(place / "recordings", place / name)
    first = sorted((place / "talks").glob("*.wav"))[0]
    for name in ("interview", "call", "clip", "talk"):
        shutil.copy(first, place / f"{name}.wav")
    shutil.copy(first.with_suffix(".eaf"), place / "interview.eaf")
    (place / "story.TextGrid").write_text(STORY, encoding="utf-8")
    (place / "4.arpa").write_text(ARPA, encoding="utf-8")
    (place / "talk.txt").write_text(train[40]["sentence"], encoding="utf-8")
    for name in ("interview.mp3", "clip.mp3"):
        shutil.copy(SAMPLE / "clips" / train[0]["path"], place / name)
    letters = sorted({letter for row in train for letter in row["sentence"].lower() if letter.isalpha()})
    (place / "letter_to_sound.txt").write_text("".join(f"{c} {c}\n" for c in letters), encoding="utf-8")
    text = "\n".join(row["sentence"] for row in train[:200]) + "\n"
    for name in ("news.txt", "books.txt", "sentences.txt", "a.txt", "dev.txt"):
        (place / name).write_text(text, encoding="utf-8")
    (place / "b.txt.gz").write_bytes(gzip.compress(text.encode()))
    make_whisper(_made(place / "WHISPER"), seconds=30.0)
    save_encoder(_made(place / "ENCODER"), "whisper-30s")
    save_language_model(_made(place / "LLM"))
    torch.save({STATE: SpeakerEncoder().state_dict()}, place / SPEAKER_ENCODER)
    os.symlink("../ENCODER", _made(place / "openai") / "whisper-base")


def _made(folder):
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
