"""What words of a text that are not said cost, by the price of leaving a word out of an alignment.

    python benchmarks/holes.py RESULT_DIR CORPUS [--locale sw] [--clips 50] [--prices 10+7,0+7] [--frames 2]

Each clip of the corpus (whatever `recipes/Custom` reads) is aligned with its own text, with that and one to four words
of other clips in one place, with one word in five, at least one, replaced by one of another clip, and without one to
four of its words. Counted are the words that are left out: of the right text, which should be none, and of those that
are not said, which should be all; and how many of the other words are where they are with the right text, of which none
is left out, within some frames.
"""

import argparse
import random
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from serenanet_modules.cli.values import positive  # noqa: E402
from serenanet_modules.data import custom  # noqa: E402
from serenanet_modules.decoding import holes  # noqa: E402
from serenanet_modules.decoding.holes import NEVER, holes_of  # noqa: E402
from serenanet_modules.decoding.spans import align, words_of  # noqa: E402
from serenanet_modules.errors import UserError  # noqa: E402
from serenanet_modules.inference.align import _posteriors  # noqa: E402
from serenanet_modules.inference.recognizer import Recognizer  # noqa: E402
from serenanet_modules.inference.spelling import spelled  # noqa: E402

PRICES = "0+5,0+7,0+10,0+14,10+5,10+7,10+9,20+5,20+7"


def clips_of(recognizer, corpus, locale, count):
    """(words, log-probabilities) of clips that can be aligned."""
    clips = [c for c in custom.candidates(corpus, locale, needs_text=True)]
    random.Random(0).shuffle(clips)
    found = []
    for clip in clips:
        try:
            words = spelled(recognizer.units, locale, clip.text, "nearest", recognizer.run.style).words
            found.append((words, _posteriors(recognizer, clip.path, 120.0)[0]))
        except UserError:
            continue
        if len(found) == count:
            break
    return found


def placed(units, locale, words, log_probs, price):
    """(start, end) of each word in frames, or None."""
    holes.WORD, holes.LABEL = price
    text = spelled(units, locale, " ".join(words), "nearest")
    spans = align(log_probs, text.labels, units.blank_id, holes_of(units, text.labels))
    groups = [word.group for word in words_of(text, units)]
    return [spans[g[0]] and (spans[g[0]].start, spans[g[-1]].end) for g in groups]


def texts(words, others, rng):
    """Texts with holes: (name, words, which of the right text each is, or None)."""
    at, count = rng.randint(0, len(words)), rng.randint(1, 4)
    own = list(range(len(words)))
    yield "more", words[:at] + rng.sample(others, count) + words[at:], own[:at] + [None] * count + own[at:]
    gone = set(rng.sample(own, max(1, len(own) // 5)))
    text = [rng.choice(others) if i in gone else word for i, word in enumerate(words)]
    yield "other", text, [None if i in gone else i for i in own]
    kept = own[:at] + own[at + count :]
    if kept:
        yield "fewer", [words[i] for i in kept], kept


def measured(units, locale, clips, price, frames):
    """Shares in %: of right words left out, and, of each kind of holes, unsaid words left out and others in place."""
    rng, counts = random.Random(0), {}

    def count(name, values):
        counts.setdefault(name, []).extend(values)

    for k, (words, log_probs) in enumerate(clips):
        right = placed(units, locale, words, log_probs, (NEVER, 0.0))
        count("right left out", [place is None for place in placed(units, locale, words, log_probs, price)])
        others = [word for j, (text, _) in enumerate(clips) if j != k for word in text]
        for name, text, whose in texts(words, others, rng):
            pairs = list(zip(placed(units, locale, text, log_probs, price), whose, strict=True))
            if None in whose:
                count(f"{name}: left out", [place is None for place, i in pairs if i is None])
            count(f"{name}: in place", [_near(place, right[i], frames) for place, i in pairs if i is not None])
    return {name: 100 * sum(values) / len(values) for name, values in counts.items()}


def _near(place, right, frames):
    return place is not None and max(abs(a - b) for a, b in zip(place, right, strict=True)) <= frames


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("corpus")
    parser.add_argument("--locale", default="sw")
    parser.add_argument("--clips", type=positive, default=50)
    parser.add_argument("--prices", default=PRICES, help="of a word + of each of its labels, in nats")
    parser.add_argument("--frames", type=int, default=2)
    a = parser.parse_args()
    recognizer = Recognizer.from_folder(a.folder)
    clips = clips_of(recognizer, a.corpus, a.locale, a.clips)
    print(f"{len(clips)} clips, {sum(len(words) for words, _ in clips)} words; %")
    for n, price in enumerate(a.prices.split(",")):
        found = measured(recognizer.units, a.locale, clips, tuple(map(float, price.split("+"))), a.frames)
        if n == 0:
            print("price", *found, sep=" | ")
        print(price, *(f"{value:.1f}" for value in found.values()), sep=" | ", flush=True)


if __name__ == "__main__":
    main()
