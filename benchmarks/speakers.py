"""How much of a conversation is given to the wrong speaker by `transcribe --speakers`.

    python benchmarks/speakers.py LIST … [--readers 2] [--conversations 10] [--seconds 120] [--count auto|N]

Lists are those of Common Voice releases with clips beside them. Readers are drawn who have enough clips; they take
turns of 1.5 to 8 s, each a part of a clip, with 0.1 to 0.8 s of silence between them. Every 0.3 s of a turn counts as a
word; it is wrong where another is said to speak, under the best match of found speakers and readers.
"""

import argparse
import csv
import random
import sys
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import numpy as np  # noqa: E402
from scipy.optimize import linear_sum_assignment  # noqa: E402

from serenanet_modules.data.audio import SAMPLE_RATE, amplitude, load  # noqa: E402
from serenanet_modules.inference.speakers import AUTO, Voices  # noqa: E402
from serenanet_modules.runs.speaker_weights import speaker_encoder  # noqa: E402

TURN, PAUSE = (1.5, 8.0), (0.1, 0.8)  # seconds
WORD = 0.3  # seconds
ENOUGH = 6  # clips


def readers(lists):
    """Clips of each reader."""
    found = defaultdict(list)
    for path in map(Path, lists):
        with path.open(encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                found[path.parent, row["client_id"]].append(path.parent / "clips" / row["path"])
    return [clips for _, clips in sorted(found.items()) if len(clips) >= ENOUGH]


def conversation(rng, chosen, seconds):
    """Samples, and (start, end, reader) of turns."""
    samples, turns, at, reader = [], [], 0.0, None
    while at < seconds:
        reader = rng.choice([r for r in range(len(chosen)) if r != reader or len(chosen) == 1])
        sound = load(rng.choice(chosen[reader]))
        size = int(rng.uniform(*TURN) * SAMPLE_RATE)
        first = rng.randrange(max(1, len(sound) - size))
        sound = sound[first : first + size]
        if amplitude(sound) < 1e-3:
            continue
        turns.append((at, at + len(sound) / SAMPLE_RATE, reader))
        pause = int(rng.uniform(*PAUSE) * SAMPLE_RATE)
        samples += [sound, np.zeros(pause, np.float32)]
        at += (len(sound) + pause) / SAMPLE_RATE
    return np.concatenate(samples), turns


def wrong(voices, turns, count):
    """Words, those of them that are given to another, and how many speakers were found."""
    said = [(voices.of(t, t + WORD), r) for a, b, r in turns for t in np.arange(a, b - WORD, WORD)]
    found = 1 + max(who for who, _ in said)
    both = np.zeros((found, count), int)
    np.add.at(both, tuple(np.array(said).T), 1)
    rows, columns = linear_sum_assignment(-both)
    return len(said), len(said) - both[rows, columns].sum(), len({who for who, _ in said})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("lists", nargs="+")
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--conversations", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=120)
    parser.add_argument("--count", default=AUTO)
    parser.add_argument("--seed", type=int, default=0)
    a = parser.parse_args()
    rng, encoder, pool = random.Random(a.seed), speaker_encoder(), readers(a.lists)
    words = errors = heard = took = 0
    counts = []
    for _ in range(a.conversations):
        samples, turns = conversation(rng, rng.sample(pool, a.readers), a.seconds)
        began = time.process_time()
        voices = Voices(samples, a.count if a.count == AUTO else int(a.count), encoder)
        took += time.process_time() - began
        more, missed, found = wrong(voices, turns, a.readers)
        words, errors, heard = words + more, errors + missed, heard + len(samples) / SAMPLE_RATE
        counts.append(found)
    right = sum(found == a.readers for found in counts)
    print(f"{len(pool)} readers, {a.conversations} conversations of {a.readers}, {heard:.0f} s, --speakers {a.count}")
    told = f"the number of speakers is right in {right} of {a.conversations} conversations"
    print(f"{100 * errors / words:.1f} % of {words} words have the wrong speaker; {told}")
    print(f"found {counts}; {1000 * took / heard:.0f} ms of processor time a second of sound")


if __name__ == "__main__":
    main()
