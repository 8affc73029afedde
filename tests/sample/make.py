"""Make the embedded corpus: a Common Voice release of Swahili in miniature.

    python -m tests.sample.make [FOLDER]

from the repository root writes ``FOLDER/{train,dev,test}.tsv`` and ``FOLDER/clips/*.mp3`` (default:
``CommonVoice/sw`` beside this file). It needs espeak-ng. The sentences come from
:mod:`tests.sample.grammar`, the speech from espeak-ng's Swahili voice in several variants, rates
and pitches; a voice, its rate and its pitch make one speaker. Everything is drawn from fixed seeds,
so the tables are the same on every machine and the clips are the same for one version of espeak-ng
and of LAME.
"""

import csv
import hashlib
import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from tests.sample.grammar import Grammar

SAMPLE_RATE = 16000
COLUMNS = (
    "client_id path sentence_id sentence sentence_domain up_votes down_votes age gender accents variant locale segment"
).split()
SIZES = {"train": 540, "dev": 56, "test": 56}

# The voices of the held-out sets are never heard in training, but lie among those that are.
VARIANTS = {
    "train": ["m1", "m2", "m4", "m5", "m7", "m8", "f3", "f4", "f5", "linda"],
    "dev": ["m3", "f2"],
    "test": ["m6", "f1"],
}
MANNERS = [(165, 45), (180, 55), (195, 50)]  # words per minute, espeak pitch 0-99

# espeak-ng spells out a word that starts with ng', so these are given to it as phonemes.
SPOKEN = {"ng'ombe": "N'ombe", "ng'ambo": "N'ambo", "ng'ang'a": "N'aNa"}


class Speaker(NamedTuple):
    variant: str
    rate: int
    pitch: int

    @property
    def client_id(self) -> str:
        return hashlib.sha512(repr(tuple(self)).encode()).hexdigest()

    @property
    def gender(self) -> str:
        return "male_masculine" if self.variant.startswith("m") else "female_feminine"


def words(sentence: str) -> frozenset[str]:
    return frozenset(re.findall(r"[\w']+", sentence.lower()))


def draw_sentences(grammar: Grammar) -> dict[str, list[str]]:
    """Sentences per split: none twice, and none nearly the same as one of another split.

    One held-out sentence in four has a word that training lacks; the others have none.
    """
    splits: dict[str, list[str]] = {}
    for split, size in SIZES.items():
        others = [words(s) for chosen in splits.values() for s in chosen]
        known = frozenset().union(*map(words, splits.get("train", [])))
        own: dict[frozenset, str] = {}
        while len(own) < size:
            sentence = grammar.sentence()
            bag = words(sentence)
            unknown = len(bag - known) if known else 0
            if unknown == (len(own) % 4 == 0) * bool(known) and not any(
                len(bag & other) > 0.6 * len(bag | other) for other in others
            ):
                own.setdefault(bag, sentence)
        splits[split] = list(own.values())
    return splits


def speak(sentence: str, speaker: Speaker) -> np.ndarray:
    """Speech at 16 kHz, in [-1, 1]."""
    text = sentence
    for word, phonemes in SPOKEN.items():
        text = re.sub(rf"\b{word}", f"[[{phonemes}]]", text, flags=re.IGNORECASE)
    command = ["espeak-ng", "-v", f"sw+{speaker.variant}", "-s", str(speaker.rate)]
    command += ["-p", str(speaker.pitch), "--stdout", text]
    wav = subprocess.run(command, check=True, capture_output=True).stdout
    audio, rate = soundfile.read(io.BytesIO(wav))
    return soxr.resample(audio, rate, SAMPLE_RATE)


def record(audio: np.ndarray, seed: int) -> np.ndarray:
    """The audio as a microphone would hear it: at some level, over faint noise."""
    random = np.random.default_rng(seed)
    level = random.uniform(0.2, 0.6) / np.abs(audio).max()
    return level * audio + random.normal(0, 1e-3, len(audio))


def write_clip(path: Path, sentence: str, speaker: Speaker, seed: int) -> None:
    soundfile.write(
        path, record(speak(sentence, speaker), seed), SAMPLE_RATE, format="MP3",
        subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.9,  # 24 kbit/s
    )  # fmt: skip


def row(clip: str, sentence: str, speaker: Speaker) -> dict[str, str]:
    return dict.fromkeys(COLUMNS, "") | {
        "client_id": speaker.client_id,
        "path": clip,
        "sentence_id": hashlib.sha256(sentence.encode()).hexdigest(),
        "sentence": sentence,
        "up_votes": "2",
        "down_votes": "0",
        "gender": speaker.gender,
        "locale": "sw",
    }


def main(folder: Path) -> None:
    clips = folder / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    for stale in clips.glob("*.mp3"):
        stale.unlink()
    number = 0
    with ThreadPoolExecutor() as pool:
        for split, sentences in draw_sentences(Grammar(seed=1)).items():
            speakers = [Speaker(v, *m) for m in MANNERS for v in VARIANTS[split]]
            rows, jobs = [], []
            for index, sentence in enumerate(sentences):
                number += 1
                speaker = speakers[index % len(speakers)]
                clip = f"common_voice_sw_{number:08d}.mp3"
                rows.append(row(clip, sentence, speaker))
                jobs.append(pool.submit(write_clip, clips / clip, sentence, speaker, number))
            for job in jobs:
                job.result()
            with open(folder / f"{split}.tsv", "w", encoding="utf-8", newline="") as file:
                table = csv.DictWriter(file, COLUMNS, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE)
                table.writeheader()
                table.writerows(sorted(rows, key=lambda r: (r["client_id"], r["path"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "CommonVoice" / "sw")
