"""Make in a folder what the documents take as given: corpora, recordings, texts, tiny public models."""

import os
import shutil
import sys
from pathlib import Path

import soundfile

from tests.support.eaf import eaf
from tests.support.encoders import save_encoder
from tests.support.language_models import save_language_model
from tests.support.tiny import SAMPLE, make_corpus, read_tsv
from tests.support.whispers import make_whisper

SIZES = {"train": 16, "dev": 4, "test": 4}


def recordings(folder, rows):
    """WAV files, and beside each an ELAN file with one tier ``Text``."""
    folder.mkdir()
    for row in rows:
        samples, rate = soundfile.read(SAMPLE / "clips" / row["path"])
        path = folder / Path(row["path"]).with_suffix(".wav").name
        soundfile.write(path, samples, rate)
        tier = (
            '<TIER TIER_ID="Text" LINGUISTIC_TYPE_REF="free"><ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" '
            f'TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2"><ANNOTATION_VALUE>{row["sentence"]}</ANNOTATION_VALUE>'
            "</ALIGNABLE_ANNOTATION></ANNOTATION></TIER>"
        )
        end = round(1000 * len(samples) / rate)
        eaf(path.with_suffix(".eaf"), tier, slots=[0, end], media=[(path.name, f"./{path.name}")])


def main():
    place = Path(sys.argv[1])
    for name in ("DIR", "DIR/sw", "DIR/mdw", "DIR/en", "radio_corpus"):
        (place / name).mkdir(parents=True)
        make_corpus(place / name, sizes=SIZES, locale=Path(name).name if "/" in name else "sw")
    train = read_tsv(SAMPLE / "train.tsv")
    recordings(place / "recordings", train[:20])
    recordings(place / "new", train[20:22])
    recordings(place / "radio", train[30:34])
    for path in (place / "radio").glob("*.eaf"):
        path.unlink()
    for name in ("corpus", "corrections", "heard"):
        shutil.copytree(place / "recordings", place / name)
    first = sorted((place / "new").glob("*.wav"))[0]
    for name in ("interview", "call", "clip", "talk"):
        shutil.copy(first, place / f"{name}.wav")
        shutil.copy(first.with_suffix(".eaf"), place / f"{name}.eaf")
    shutil.copy(SAMPLE / "clips" / train[0]["path"], place / "interview.mp3")
    text = "\n".join(row["sentence"] for row in train[:200]) + "\n"
    for name in ("news.txt", "books.txt", "sentences.txt", "a.txt", "dev.txt"):
        (place / name).write_text(text, encoding="utf-8")
    make_whisper(_made(place / "WHISPER"), seconds=30.0)
    save_encoder(_made(place / "ENCODER"), "whisper-30s")
    save_language_model(_made(place / "LLM"))
    os.symlink("ENCODER", place / "whisper-base")


def _made(folder):
    folder.mkdir()
    return folder


if __name__ == "__main__":
    main()
