"""Hotwords: how many more of the rare words are found, and what they cost the others.

    python benchmarks/hotwords.py RESULT_DIR RECIPE|MANIFEST [--data-folder DIR] [--kept FOLDER] [--draws N]

Of the words that were said, 50 are drawn that the training transcripts have once at most, and of the words that the
training has once and nobody said, another 50; and so `--draws` times, since one draw depends on few words. Figures are
those of all draws together, with paired bootstrap intervals over utterances. Dev, with words of its own, chooses the
weight: of those that make no more errors in the other words than none, the least that finds `NEARLY` as many as the
best of them. Test is read once.
"""

import random
from collections import Counter
from dataclasses import dataclass
from functools import partial

from decoding import Ours, chosen
from heard import SPLITS, heard, parser

from serenanet_modules.analysis.bootstrap import compare
from serenanet_modules.analysis.scoring import ErrorCounts, align_all
from serenanet_modules.data.asked import candidates
from serenanet_modules.data.sifting import written
from serenanet_modules.decoding.beam import BeamDecoder

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)  # nats a letter
NEARLY = 0.95
WORDS, LETTERS = 50, 4


def main(argv=None):
    o = parse(argv)
    with heard(o) as found:
        texts = written(candidates(o.data, o.locale, o.data_folder, "train"))
        train = Counter(word for text in texts for word in text.split())
        print("| model | weight | rare words found, % | WER of the others | WER | false among absent words, a draw |")
        print("|---|---|---|---|---|---|")
        lm_weight, word_score = chosen(Ours(found), found.utterances["dev"])
        weighed = {"lm": found.arpa, "lm_weight": lm_weight, "word_score": word_score}
        for name, options in {"none": {}, f"n-grams ({lm_weight:g}, {word_score:g})": weighed}.items():
            report(name, partial(make, found.units, options), found.utterances, train, o.draws)


def parse(argv):
    options = parser(__doc__.splitlines()[0])
    options.add_argument("--locale", default="sw")
    options.add_argument("--draws", type=int, default=20)
    return options.parse_args(argv)


def make(units, options, hotwords):
    """The decoder with words that are expected."""
    return BeamDecoder(units, hotwords=hotwords, **options)


@dataclass(frozen=True)
class Trial:
    """What a weight does to utterances, the draws of words added up.

    Attributes
    ----------
    weight : float
    rare, others, words : dict of str to ErrorCounts
        By utterance: of hotwords, of the words that are none (what is inserted, a hotword too, is an error of these),
        and of both.
    false : float
        Absent words that are written in a draw.
    """

    weight: float
    rare: dict
    others: dict
    words: dict
    false: float

    @property
    def found(self):
        """Share of the hotwords."""
        return 1.0 - total(self.rare).rate

    def beside(self, none):
        """A row of the table, with differences to the `Trial` without hotwords."""
        cells = [f"{100 * self.found:.1f}", *(f"{100 * total(part).rate:.2f}" for part in (self.others, self.words))]
        if self.weight:
            more, lost = difference(none.rare, self.rare), difference(none.others, self.others)
            risen = f"{100 * (self.found / none.found - 1):+.0f} %; " if none.found else ""
            cells[0] += f" ({risen}{points(-more[0], -more[2], -more[1], 1)})"
            cells[1] += f" ({points(*lost, 2)})"
        return " | ".join([f"{self.weight:g}", *cells, f"{self.false:.1f}"])


def total(counts):
    return sum(counts.values(), ErrorCounts())


def difference(before, after):
    """Of error rates, in points, with the ends of its interval."""
    found = compare(before, after)
    return [100 * value for value in (found.difference, found.low, found.high)]


def points(value, low, high, digits):
    return f"{value:+.{digits}f}, {low:+.{digits}f} to {high:+.{digits}f}"


def report(name, make, utterances, train, draws):
    """Print the weights on dev, and the chosen one beside none on test."""
    words = {split: drawn(utterances[split], train, draws) for split in SPLITS}
    dev = [tried(make, utterances["dev"], words["dev"], weight) for weight in WEIGHTS]
    most = total(dev[0].others).errors
    allowed = [trial for trial in dev if total(trial.others).errors <= most]
    best = next(trial for trial in allowed if trial.found >= NEARLY * max(one.found for one in allowed))
    test = [tried(make, utterances["test"], words["test"], weight) for weight in (0.0, best.weight)]
    for split, trials in {"dev": dev, "test": test}.items():
        for trial in trials:
            print(f"| {name}, {split} | {trial.beside(trials[0])} |", flush=True)


def drawn(utterances, train, draws):
    """For each draw, words that were said and that the training has once at most, and words of it that nobody said."""
    said = Counter(word for _, text, *_ in utterances for word in text.split())
    rare = sorted(word for word in said if train[word] <= 1 and len(word) >= LETTERS)
    absent = sorted(word for word in train if train[word] == 1 and word not in said and len(word) >= LETTERS)
    seeds = range(draws)
    return [[random.Random(n).sample(words, min(WORDS, len(words))) for words in (rare, absent)] for n in seeds]


def tried(make, utterances, draws, weight):
    """The `Trial` of a weight."""
    kept = {kind: {u[0]: ErrorCounts() for u in utterances} for kind in ("rare", "others", "words")}
    plain, false = aligned(make, utterances, (), 0.0), 0
    for hotwords, never in draws:
        found = aligned(make, utterances, hotwords, weight) if weight else plain
        for key, columns in found.items():
            hot = [column for column in columns if column[1] in set(hotwords)]
            others = [column for column in columns if column[1] not in set(hotwords)]
            for kind, part in {"rare": hot, "others": others, "words": columns}.items():
                kept[kind][key] += counted(part)
        misled = aligned(make, utterances, never, weight) if weight else plain
        false += sum(op != "=" and word in set(never) for columns in misled.values() for op, _, word in columns)
    return Trial(weight, *kept.values(), false / len(draws))


def counted(columns):
    """Columns of an alignment as counts."""
    by = Counter(operation for operation, *_ in columns)
    return ErrorCounts(by["="], by["S"], by["D"], by["I"])


def aligned(make, utterances, hotwords, weight):
    """The columns of each utterance's alignment."""
    decoder = make({word: weight * len(word) for word in hotwords} if weight else None)
    texts = [" ".join(decoder.best(piece).text for piece in rows) for *_, rows in utterances]
    pairs = [(u[1].split(), text.split()) for u, text in zip(utterances, texts, strict=True)]
    return {u[0]: found.columns for u, found in zip(utterances, align_all(pairs), strict=True)}


if __name__ == "__main__":
    main()
