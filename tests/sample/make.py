"""Make the embedded corpus: a Common Voice release of Swahili in miniature.

    python -m tests.sample.make [FOLDER]

from the repository root writes ``FOLDER/{train,dev,test}.tsv`` and ``FOLDER/clips/*.mp3`` (default:
``CommonVoice/sw`` beside this file). The sentences come from :mod:`tests.sample.grammar`, the speech
from espeak-ng's Swahili voice in several variants, rates and pitches; a voice, its rate and its pitch
make one speaker. Everything is drawn from fixed seeds, so the tables are the same on every machine and
the clips are the same for one version of espeak-ng and of LAME.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from serenanet_modules.data.espeak import Espeak, Manner, Talker
from serenanet_modules.data.synthesis.release import row, write_list
from serenanet_modules.data.synthesis.spoken import spoken
from tests.sample.grammar import Grammar

SAMPLE_RATE = 16000
SIZES = {"train": 540, "dev": 56, "test": 56}

# The voices of the held-out sets are never heard in training, but lie among those that are.
VARIANTS = {
    "train": ["m1", "m2", "m4", "m5", "m7", "m8", "f3", "f4", "f5", "linda"],
    "dev": ["m3", "f2"],
    "test": ["m6", "f1"],
}
MANNERS = [(165, 45), (180, 55), (195, 50)]  # words per minute, espeak pitch 0-99


class Speaker(NamedTuple):
    variant: str
    rate: int
    pitch: int

    @property
    def is_man(self) -> bool:
        return self.variant.startswith("m")


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


def speak(sentence: str, speaker: Speaker, espeak: Espeak, talker: Talker) -> np.ndarray:
    """Speech at 16 kHz, in [-1, 1]."""
    text = spoken(sentence, "sw", espeak, "sw")
    sound = talker.say(text, Manner(f"sw+{speaker.variant}", speaker.rate, speaker.pitch))
    return soxr.resample(np.frombuffer(sound, np.int16) / 2**15, espeak.sample_rate, SAMPLE_RATE)


def record(audio: np.ndarray, seed: int) -> np.ndarray:
    """The audio as a microphone would hear it: at some level, over faint noise."""
    random = np.random.default_rng(seed)
    level = random.uniform(0.2, 0.6) / np.abs(audio).max()
    return level * audio + random.normal(0, 1e-3, len(audio))


def write_clip(path: Path, audio: np.ndarray) -> None:
    soundfile.write(
        path, audio, SAMPLE_RATE, format="MP3",
        subtype="MPEG_LAYER_III", bitrate_mode="CONSTANT", compression_level=0.9,  # 24 kbit/s
    )  # fmt: skip


def main(folder: Path) -> None:
    clips = folder / "clips"
    clips.mkdir(parents=True, exist_ok=True)
    for stale in clips.glob("*.mp3"):
        stale.unlink()
    number, espeak = 0, Espeak("the embedded corpus")
    with Talker() as talker:
        for split, sentences in draw_sentences(Grammar(seed=1)).items():
            speakers = [Speaker(v, *m) for m in MANNERS for v in VARIANTS[split]]
            rows = []
            for index, sentence in enumerate(sentences):
                number += 1
                speaker = speakers[index % len(speakers)]
                clip = f"common_voice_sw_{number:08d}.mp3"
                rows.append(row(clip, sentence, tuple(speaker), "sw", speaker.is_man))
                write_clip(clips / clip, record(speak(sentence, speaker, espeak, talker), number))
            write_list(folder / f"{split}.tsv", rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).parent / "CommonVoice" / "sw")
