"""What end-pointing keeps and costs: word error rates of recordings joined to one stream, with pauses between them.

    python benchmarks/endpoints.py RESULT_DIR DATA

The recordings of DATA (as of `serenanet evaluate`) are joined with pauses of so many seconds, in turn, of white noise
so many dB below the recording before. The stream is heard in chunks: with the rules' end points, cut by length alone as
`serenanet transcribe` cuts, and never cut. Beside them stand the recordings one by one.
"""

import argparse
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from level import CHUNK, spoken  # noqa: E402

from serenanet_modules.analysis.scoring import score  # noqa: E402
from serenanet_modules.data.audio import SAMPLE_RATE  # noqa: E402
from serenanet_modules.inference.endpointing import NONE, LiveStream, Rules  # noqa: E402
from serenanet_modules.inference.recognizer import Recognizer  # noqa: E402
from serenanet_modules.inference.streaming import Streamer  # noqa: E402

PAUSES = (0.3, 0.8, 1.6, 3.0)  # seconds: rule 2 asks for 1.2


def main(argv=None):
    options = parse(argv)
    recognizer = Recognizer.from_folder(options.folder)
    texts, recordings = spoken(options, recognizer)
    sound, places = joined(list(recordings.values()), options.pauses, options.below)
    rows = [("one by one", *timed(one_by_one, recognizer, recordings.values()))]
    ways = {"end points": LiveStream(recognizer, Rules()), "cut by length alone": LiveStream(recognizer, NONE)}
    for name, live in ways.items():
        rows.append((name, *timed(sentences, live, sound)))
    rows.append(("never cut", *timed(uncut, Streamer(recognizer), sound)))
    print(table(" ".join(texts.values()), rows, len(sound) / SAMPLE_RATE))
    print(whole(rows[1][1], places))


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="a finished run of a recogniser that streams")
    parser.add_argument("data", help="as of serenanet evaluate")
    parser.add_argument("--data-folder")
    parser.add_argument("--split", help="a set (test)")
    parser.add_argument("--pauses", type=float, nargs="+", default=PAUSES, metavar="S")
    parser.add_argument("--below", type=float, default=50.0, metavar="dB", help="of the noise in pauses (50)")
    return parser.parse_args(argv)


def joined(recordings, pauses, below):
    """One sound (N,) of recordings (N,), and the samples at which each begins and ends."""
    parts, places, at, rng = [], [], 0, np.random.default_rng(0)
    for samples, seconds in zip(recordings, cycle(pauses), strict=False):
        noise = rng.normal(0, samples.std() * 10 ** (-below / 20), round(seconds * SAMPLE_RATE))
        parts += [samples, noise.astype(np.float32)]
        places.append((at, at + len(samples)))
        at += len(samples) + len(parts[-1])
    return np.concatenate(parts), places


def timed(hear, *arguments):
    """What a function gives, and the seconds that it took."""
    began = time.perf_counter()
    return hear(*arguments), time.perf_counter() - began


def one_by_one(recognizer, sounds):
    """Transcripts of sounds that are read alone."""
    return [recognizer.transcribe([sound])[0] for sound in sounds]


def sentences(live, sound):
    """Transcripts of the sentences of a stream."""
    found = []
    for at in range(0, len(sound), CHUNK):
        found += live.feed(sound[at : at + CHUNK])
    return found + live.finish()


def uncut(streamer, sound):
    """The transcript of a stream as one sentence."""
    for at in range(0, len(sound), CHUNK):
        streamer.feed(sound[at : at + CHUNK])
    return [streamer.finish()]


def table(text, rows, seconds):
    """Markdown: errors in the words of all transcripts together, and real-time factors."""
    lines = ["| | WER % | S | D | I | sentences | RTF |", "|---|---:|---:|---:|---:|---:|---:|"]
    for name, found, took in rows:
        total = score({"all": text}, {"all": " ".join(t.text for t in found)}).total
        counts = f"{total.substitutions} | {total.deletions} | {total.insertions}"
        lines.append(f"| {name} | {100 * total.rate:.1f} | {counts} | {len(found)} | {took / seconds:.3f} |")
    return "\n".join(lines)


def whole(found, places):
    """How many recordings lie within one sentence, and how many sentences hold one recording alone."""
    ends = [0.0, *(SAMPLE_RATE * sentence.duration for sentence in found)]
    cut = sum(any(begin < end < stop for end in ends) for begin, stop in places)
    return f"{len(places)} recordings, {cut} of them cut by the end of a sentence"


if __name__ == "__main__":
    main()
