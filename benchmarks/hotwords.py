"""Hotwords: how many more of the rare words are found, and what they cost the others.

    python benchmarks/hotwords.py RESULT_DIR RECIPE|MANIFEST [--data-folder DIR] [--kept FOLDER]

Of the words that were said, 50 are drawn that the training transcripts have once at most, and of the words that the
training has once and nobody said, another 50. Dev, with words of its own, chooses the weight: of those that leave the
error rate of the other words within `MOST_LOST` points, the least that finds `NEARLY` as many as the best of them. Test
is read once.
"""

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial

from decoding import Ours, chosen
from heard import SPLITS, heard, parser

from serenanet_modules.analysis.scoring import align
from serenanet_modules.data.asked import candidates
from serenanet_modules.data.preparation import written
from serenanet_modules.decoding.beam import BeamDecoder

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # nats a letter
MOST_LOST = 0.2  # points of WER, of the words that are no hotwords
NEARLY = 0.95
SEED, WORDS, LETTERS = 0, 50, 4


def main(argv=None):
    o = parse(argv)
    with heard(o) as found:
        texts = written(candidates(o.data, o.locale, o.data_folder, "train"))
        train = Counter(word for text in texts for word in text.split())
        print("| model | weight | recall of 50 rare words | WER of the others | WER | false among 50 absent words |")
        print("|---|---|---|---|---|---|")
        lm_weight, word_score = chosen(Ours(found), found.utterances["dev"])
        weighed = {"lm": found.arpa, "lm_weight": lm_weight, "word_score": word_score}
        for name, options in {"none": {}, "n-grams": weighed}.items():
            report(name, partial(make, found.units, options), found.utterances, train)


def parse(argv):
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--locale", default="sw")
    return options.parse_args(argv)


def make(units, options, hotwords):
    """The decoder with words that are expected."""
    return BeamDecoder(units, hotwords=hotwords, **options)


@dataclass(frozen=True)
class Trial:
    """What a weight does to some utterances."""

    weight: float
    found: int
    said: int
    others: float  # WER of the words that are no hotwords
    total: float
    false: int

    def __str__(self):
        rates = f"{100 * self.others:.2f} | {100 * self.total:.2f}"
        return f"{self.weight:g} | {self.found} of {self.said} | {rates} | {self.false}"


def report(name, make, utterances, train):
    """Print the weights on dev, and the chosen one beside none on test."""
    words = {split: (rare(utterances[split], train), absent(utterances[split], train)) for split in SPLITS}
    dev = [tried(make, utterances["dev"], *words["dev"], weight) for weight in WEIGHTS]
    allowed = [trial for trial in dev if trial.others <= dev[0].others + MOST_LOST / 100]
    best = next(trial for trial in allowed if trial.found >= NEARLY * max(one.found for one in allowed))
    for split, trials in {
        "dev": dev,
        "test": [tried(make, utterances["test"], *words["test"], weight) for weight in (0.0, best.weight)],
    }.items():
        for trial in trials:
            print(f"| {name}, {split} | {trial} |", flush=True)


def said(utterances):
    """How often each word stands in the references."""
    return Counter(word for _, text, *_ in utterances for word in text.split())


def rare(utterances, train):
    """Words that were said and that the training has once at most."""
    return drawn(word for word in said(utterances) if train[word] <= 1)


def absent(utterances, train):
    """Words that were not said and that the training has once."""
    there = said(utterances)
    return drawn(word for word in train if train[word] == 1 and word not in there)


def drawn(words):
    """A number of them, the same each time."""
    words = sorted(word for word in words if len(word) >= LETTERS)
    return random.Random(SEED).sample(words, min(WORDS, len(words)))


def tried(make, utterances, hotwords, never, weight):
    """The `Trial` of a weight."""
    pairs = aligned(make, utterances, hotwords, weight)
    there, others, errors, found = 0, 0, 0, 0
    hot = set(hotwords)
    for operation, reference, _ in pairs:
        there += reference in hot
        found += reference in hot and operation == "="
        others += bool(reference) and reference not in hot
        errors += operation != "=" and reference not in hot  # what is inserted, a hotword too, is an error of these
    wrong = sum(operation != "=" for operation, *_ in pairs)
    false = sum(
        operation != "=" and word in set(never) for operation, _, word in aligned(make, utterances, never, weight)
    )
    return Trial(weight, found, there, errors / others, wrong / (there + others), false)


def aligned(make, utterances, hotwords, weight):
    """The columns of all alignments."""
    decoder, pairs = make({word: weight * len(word) for word in hotwords} if weight else None), []
    for _, text, _, rows in utterances:
        pairs += align(text.split(), " ".join(decoder.best(piece).text for piece in rows).split())
    return pairs


if __name__ == "__main__":
    main()
