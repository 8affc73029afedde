"""Does a recogniser learn more from recordings that ``serenanet rank`` chose than from as many seconds drawn at random?

    python benchmarks/ranking.py MANIFEST --locale sw --work DIR -- HPARAMS --key value …

Of MANIFEST's training recordings `--start` minutes train the first model, as what stands behind ``--`` says. For each
seed `--pool` minutes of the others are on offer; each way chooses `--minutes` of them, and ``serenanet adapt`` learns
from these and all that the model had, and keeps what it learned. Test is that of MANIFEST. The same command goes on
where it was stopped. ``--curve FILE.png`` draws it.
"""

import argparse
import random
from dataclasses import replace
from functools import cache
from pathlib import Path

from adapting import Measured, first, remember
from curve import change, draw, line, table

from serenanet_modules.cli.values import names, positive, wholes
from serenanet_modules.data import asked, corrected
from serenanet_modules.data.audio import seconds
from serenanet_modules.data.manifest import role
from serenanet_modules.inference import ranking
from serenanet_modules.inference.adaptation import Adaptation, Plan
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.training.experiment import Experiment

ROOT = Path(__file__).parents[1]
WAYS = {  # what chooses: weights of doubt, novelty and distance
    "random": None,
    "rank": ranking.Weights(),
    "all": ranking.Weights(1, 1, 1),
    "doubt": ranking.Weights(1, 0, 0),
    "novelty": ranking.Weights(0, 1, 0),
    "doubt+distance": ranking.Weights(1, 0, 1),
}


class Learned(Adaptation):
    """An adaptation that keeps what it learned: the choice is measured, not whether few held-out recordings see it."""

    def _about(self, before, after):
        return super()._about(before, after) | {"kept": "adapted"}


class Given:
    """A recipe of candidates that are there."""

    languages = None

    def __init__(self, found):
        self.found = found

    def candidates(self, plain, needs_text=True, roles=None):
        return list(self.found)


def trained(found, arguments, prepared, work):
    """The first model's folder."""
    folder = work / "first"
    if not (folder / "result.json").is_file():
        options = ["--data_folder", work, "--output_folder", folder, "--prepared_folder", prepared]
        command = [*arguments, *options, "--beam_size", 0, "--lm", "null", "--num_workers", 0, "--noprogressbar"]
        experiment = Experiment.from_command_line(ROOT / "recipes/Custom", list(map(str, command)))
        experiment.recipe = Given(found)
        experiment.run()
    return folder


def fitting(order, wanted):
    """Those in order that fit into so many seconds, and their sum."""
    chosen, spoken = [], 0.0
    for row, length in order:
        if spoken + length <= wanted:
            chosen.append(row)
            spoken += length
    return chosen, spoken


@cache
def heard(model, offered):
    """The `ranking.Item` of each recording on offer."""
    recognizer = Recognizer.from_folder(model)
    remember(recognizer, Adaptation(model, model / "none", Plan(), "cpu"))
    return [ranking.whole(pieces) for pieces in ranking.items(recognizer, list(offered), 20.0) if pieces]


def ordered(way, offered, model, seed):
    """(candidate, its seconds) of what is on offer, in the order of a way."""
    lengths, rows = {row.path: seconds(row.path) for row in offered}, {row.path: row for row in offered}
    if WAYS[way] is None:
        paths = random.Random(seed).sample(list(rows), len(rows))
    else:
        choices = ranking.rank(heard(model, tuple(rows)), ranking.known_grams(model), WAYS[way])
        paths = [choice.item.path for choice in choices]
    return [(rows[path], lengths[path]) for path in paths]


def run(way, minutes, seed, offered, model, old, work):
    """The adapted model's folder, and how many seconds it was given."""
    out = work / f"{way}-{minutes}-{seed}"
    told = out.with_suffix(".txt")
    if not (out / "adapted.json").is_file() or not told.is_file():
        chosen, spoken = fitting(ordered(way, offered, model, seed), 60 * minutes)
        told.write_text(f"{spoken:.0f} s, {len(chosen)} recordings", encoding="utf-8")
        adaptation = Learned(model, out, Plan(seed=seed), "cpu")
        adaptation.pool = corrected.pool([replace(c, split="train") for c in chosen], old, 1e9, seed)
        adaptation.run()
    return out, told.read_text(encoding="utf-8")


def arguments(argv):
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="a recipe's folder or a manifest with train, dev and test")
    parser.add_argument("--data-folder", nargs="+")
    parser.add_argument("--locale", required=True)
    parser.add_argument("--start", type=positive, default=15.0, metavar="MINUTES")
    parser.add_argument("--pool", type=positive, default=50.0, metavar="MINUTES")
    parser.add_argument("--minutes", type=wholes, default=[10, 20], metavar="N,…")
    parser.add_argument("--seeds", type=wholes, default=[1, 2, 3], metavar="N,…")
    parser.add_argument("--ways", type=names, default=["random", "rank"], metavar="WAY,…", help=", ".join(WAYS))
    parser.add_argument("--dev", action="store_true", help="measure on dev instead, to choose weights by")
    parser.add_argument("--prepared", type=Path, metavar="DIR", help="where prepared audio is kept (in --work)")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--curve", type=Path, metavar="FILE.png")
    parser.add_argument("arguments", nargs="+", metavar="-- HPARAMS --key value …")
    return parser.parse_args(argv)


def main(argv=None):
    a = arguments(argv)
    a.work.mkdir(parents=True, exist_ok=True)
    found = asked.corpus(a.data, a.locale, a.data_folder)
    train = random.Random(0).sample(rows := [c for c in found if role(c.split) == "train"], len(rows))
    start = first(train, a.start)
    old = [*start, *(c for c in found if role(c.split) != "train")]
    model = trained(old, a.arguments, a.prepared or a.work / "prepared", a.work)
    on = "dev" if a.dev else "test"
    measured = Measured(model, {on: [replace(c, split="test") for c in old if role(c.split) == on]}, on, a.work)
    before, rows, curves = measured.of(model, "first")[on], [], {way: {} for way in a.ways}
    for minutes in sorted(a.minutes):
        errors = {way: [] for way in a.ways}
        for seed in a.seeds:
            offered = first(random.Random(seed).sample(train[len(start) :], len(train) - len(start)), a.pool)
            for way in a.ways:
                folder, told = run(way, minutes, seed, offered, model, old, a.work)
                errors[way].append(measured.of(folder, folder.name)[on])
                print(line(f"{folder.name}, {told}", change(before, errors[way][-1])), flush=True)
        for way in a.ways:
            curves[way][minutes] = change(before, errors[way])
            rows.append((f"{minutes}, {way}", curves[way][minutes]))
        plain = errors[a.ways[0]]
        rows += [(f"{minutes}, {way} after {a.ways[0]}", change(plain, errors[way])) for way in a.ways[1:]]
    print("", *table(f"WER, {len(a.seeds)} seeds; minutes", rows), sep="\n")
    if a.curve:
        draw({f"mean of {len(a.seeds)} seeds": curves}, a.curve)


if __name__ == "__main__":
    main()
