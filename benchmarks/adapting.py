"""How much does a recogniser learn from so many corrected minutes of somebody else, and what becomes of the old voice?

    python benchmarks/adapting.py RESULT_DIR CORPUS --minutes 10,20,40 --seeds 1,2,3 --work DIR

CORPUS is laid out as Common Voice is. For each seed the first `--pool` minutes of train are shuffled, and so many of
them are what was corrected; ``serenanet adapt`` gets them with its defaults. What is measured is the rest of that
reader, test and the last `--rest` minutes of train, and the test set of the model's own training; nothing learns from
either. The same command goes on where it was stopped. ``--curve FILE.png`` draws it.
"""

import argparse
import csv
import json
import random
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

from curve import change, draw, line, table

from serenanet_modules.analysis.scoring import ErrorCounts
from serenanet_modules.cli.values import positive, wholes
from serenanet_modules.data.audio import seconds
from serenanet_modules.data.frame_cache import ENCODED, key_of
from serenanet_modules.data.manifest import role
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.inference.adaptation import Adaptation, Plan, old_speech
from serenanet_modules.inference.evaluate import evaluate
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.training.recall import MEASURED, cache_of, recall_kept

RECIPE = Path(__file__).parents[1] / "recipes" / "CommonVoice"
SETS = {"new": "the rest of the new reader", "old": "the old reader"}


class Remembering:
    """A fixed encoder whose frames are kept as they are made: the same audio is read by many models."""

    def __init__(self, part, cache):
        self.part, self.cache = part, cache

    def __call__(self, wavs, lengths):
        keys = [key_of(wav[:n]) for wav, n in zip(wavs, lengths.tolist(), strict=True)]
        found = self.part(wavs, lengths)
        rows = {key: x[:n] for key, x, n in zip(keys, found.x, found.lengths.tolist(), strict=True)}
        with self.cache.lock():
            self.cache.extend((key, x) for key, x in rows.items() if key not in self.cache)
        return found


def corpus(folder, locale):
    """(pool, rest): candidates of train in order, and those of test; with their seconds."""
    recipe = Recipe(RECIPE)
    found = recipe.candidates(recipe.values(str(folder), locale))
    return {name: [c for c in found if role(c.split) == name] for name in ("train", "dev", "test")}


def first(rows, minutes):
    """As many of the rows in order as so many minutes need."""
    ends = accumulate(seconds(row.path) for row in rows)
    return [row for row, end in zip(rows, ends, strict=True) if end < 60 * minutes] or rows[:1]


def write_manifest(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["id", "path", "sentence"])
        table.writerows([row.id, row.path, row.text] for row in rows)


def remember(recognizer, plan):
    """Let a fixed encoder of a recogniser look up what it has heard before, where an `Adaptation` keeps that."""
    acoustic, dtype = recognizer.modules["model"].acoustic, plan.plain.get("encoder_cache")
    if acoustic.listener is not None and dtype:
        kept = cache_of(acoustic.listener, plan.prepared / ENCODED, MEASURED)
        kept.folder.mkdir(parents=True, exist_ok=True)
        recall_kept(acoustic, plan.prepared, dtype)
        acoustic.listen.part = Remembering(acoustic.listener, kept)


class Measured:
    """Errors of models on the sets, kept on disk.

    Parameters
    ----------
    base : Path
        The model before, whose pieces of long audio all models read.
    sets : dict of str to list of Candidate
    on : str
        Their role, dev or test.
    work : Path
    """

    def __init__(self, base, sets, on, work):
        self.sets, self.on, self.work, self.plan = sets, on, work, Adaptation(base, work / "none", Plan(), "cpu")
        self.piece_seconds = Recognizer.from_folder(base).settings["piece_seconds"]

    def of(self, folder, name):
        """{utterance: ErrorCounts} of each set."""
        file = self.work / f"errors-{self.on}-{name}.json"
        if not file.is_file():
            file.write_text(json.dumps({key: self._heard(folder, rows) for key, rows in self.sets.items()}))
        kept = json.loads(file.read_text())
        return {key: {u: ErrorCounts(**errors) for u, errors in rows.items()} for key, rows in kept.items()}

    def _heard(self, folder, rows):
        recognizer = Recognizer.from_folder(folder)
        recognizer.settings["piece_seconds"] = self.piece_seconds
        remember(recognizer, self.plan)
        (found,) = evaluate(recognizer, rows, self.plan.prepared, batch_seconds=20.0)[0].values()
        return {u: vars(errors) for u, errors in found.scores["WER"].per_utterance.items()}


def arguments(argv):
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument("--minutes", type=wholes, default=[10, 20, 40], metavar="N,…")
    parser.add_argument("--seeds", type=wholes, default=[1, 2, 3], metavar="N,…")
    parser.add_argument("--pool", type=positive, default=50.0, metavar="MINUTES")
    parser.add_argument("--rest", type=positive, default=15.0, metavar="MINUTES")
    parser.add_argument("--dev", action="store_true", help="measure on the dev sets instead, to choose settings by")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--curve", type=Path, metavar="FILE.png")
    return parser.parse_args(argv)


def main(argv=None):
    a = arguments(argv)
    a.work.mkdir(parents=True, exist_ok=True)
    plain = Adaptation(a.model, a.work / "none", Plan(), "cpu").plain
    new, old = corpus(a.corpus, plain["locale"]), old_speech(a.model, plain)
    pool, rest = first(new["train"], a.pool), [*new["test"], *first(new["train"][::-1], a.rest)]
    on = "dev" if a.dev else "test"
    sets = {"new": new["dev"] if a.dev else rest, "old": [c for c in old if role(c.split) == on]}
    sets = {name: [replace(c, split="test") for c in rows] for name, rows in sets.items()}
    measured = Measured(a.model, sets, on, a.work)
    before, curves = measured.of(a.model, "before"), {name: {} for name in sets}
    for minutes in sorted(a.minutes):
        found = [adapted(a, pool, minutes, seed, measured, before) for seed in a.seeds]
        for key in sets:
            curves[key][minutes] = change(before[key], [each[key] for each in found])
    for key, points in curves.items():
        print("", *table(f"WER, {SETS[key]}, {len(a.seeds)} seeds; minutes", points.items()), sep="\n")
    if a.curve:
        draw({SETS[key]: {f"mean of {len(a.seeds)} seeds": points} for key, points in curves.items()}, a.curve)


def adapted(a, pool, minutes, seed, measured, before):
    """Errors of a model that has learned from so many minutes of the pool, which a seed draws."""
    name = f"{minutes}-{seed}"
    manifest, out = a.work / f"corrected-{name}.csv", a.work / name
    if not (out / "adapted.json").is_file():
        write_manifest(manifest, first(random.Random(seed).sample(pool, len(pool)), minutes))
        adaptation = Adaptation(a.model, out, Plan(seed=seed), "cpu")
        adaptation.read([manifest])
        print(name, json.dumps(adaptation.run()["sets"]), flush=True)
    found = measured.of(out, name)
    for key, errors in found.items():
        print(line(f"{key} {name}", change(before[key], errors)), flush=True)
    return found


if __name__ == "__main__":
    main()
