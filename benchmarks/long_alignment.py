"""How well an hour of speech is aligned with its text when a share of its words is replaced.

    python benchmarks/long_alignment.py RESULT_DIR CORPUS [--seconds 3600] [--replaced 0.05] [--locale sw]

Clips of the corpus (whatever `recipes/Custom` reads), in random order and again from the first where there are too few,
are one recording with half a second of silence between them. The reference is where each clip's words are when it is
aligned alone with its right text. A word counts that was not replaced.
"""

import argparse
import random
import resource
import sys
import time
from itertools import cycle
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402

from serenanet_modules.data import custom  # noqa: E402
from serenanet_modules.data.audio import SAMPLE_RATE, load  # noqa: E402
from serenanet_modules.data.text import normaliser  # noqa: E402
from serenanet_modules.errors import UserError  # noqa: E402
from serenanet_modules.inference.align import align_text  # noqa: E402
from serenanet_modules.inference.recognizer import Recognizer  # noqa: E402

PAUSE = 0.5  # seconds
NEAR = 0.1  # seconds


def recording(recognizer, clips, seconds):
    """Samples, and (word, start, end) of the reference."""
    samples, reference, at, alone = [], [], 0.0, {}
    for clip in cycle(clips):
        if at > seconds:
            return np.concatenate(samples), reference
        if clip.id not in alone:
            sound = load(clip.path)
            try:
                alone[clip.id] = sound, align_text(recognizer, sound, clip.text).words
            except UserError:
                alone[clip.id] = None
        if alone[clip.id]:
            sound, words = alone[clip.id]
            reference += [(word.text, at + word.start, at + word.end) for word in words]
            samples += [sound, np.zeros(int(PAUSE * SAMPLE_RATE), np.float32)]
            at += len(sound) / SAMPLE_RATE + PAUSE


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("corpus")
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--replaced", type=float, default=0.05)
    parser.add_argument("--locale", default="sw")
    a = parser.parse_args()
    recognizer, rng = Recognizer.from_folder(a.folder), random.Random(0)
    clips = [c for c in custom.candidates(a.corpus, a.locale, needs_text=True) if normaliser(a.locale)(c.text)]
    rng.shuffle(clips)
    samples, reference = recording(recognizer, clips, a.seconds)
    words = [word for word, _, _ in reference]
    replaced = set(rng.sample(range(len(words)), round(a.replaced * len(words))))
    text = [rng.choice(words) if i in replaced else word for i, word in enumerate(words)]
    began = time.monotonic()
    found = align_text(recognizer, samples, " ".join(text))
    took, peak = time.monotonic() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    assert len(found.words) + len(found.unplaced) == len(text), "words were lost"
    off = distances(found, reference, replaced)
    near = sum(value <= NEAR for value in off) / len(off)
    listed = sum(word.position in replaced for word in found.unplaced)
    counts = (
        f"{len(words)} words, {len(replaced)} replaced, {listed} of these and {len(found.unplaced) - listed} others"
    )
    print(f"{len(samples) / SAMPLE_RATE:.0f} s, {counts} have no place")
    print(f"within {1000 * NEAR:.0f} ms: {100 * near:.1f} %, median {1000 * sorted(off)[len(off) // 2]:.0f} ms")
    print(f"{took:.0f} s, {peak:.1f} GiB")


def distances(found, reference, replaced):
    """Seconds by which each word that was not replaced is off; words without a place are so by an hour."""
    unplaced, placed = {word.position for word in found.unplaced}, iter(found.words)
    words = [None if i in unplaced else next(placed) for i in range(len(reference))]
    return [
        max(abs(word.start - start), abs(word.end - end)) if word else 3600.0
        for i, (word, (_, start, end)) in enumerate(zip(words, reference, strict=True))
        if i not in replaced
    ]


if __name__ == "__main__":
    main()
