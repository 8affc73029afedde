"""``serenanet evaluate``."""

import contextlib
import sys
import tempfile
from pathlib import Path

from serenanet_modules.cli.opening import add_decoding, add_recogniser, opened
from serenanet_modules.cli.values import pairs


def add(commands, name):
    command = commands.add_parser(
        name,
        help="measure a finished run on a manifest, a recipe's corpus or a text",
        epilog="Further --key value pairs are the recipe's, such as --language sw_ke.",
    )
    add_recogniser(command)
    command.add_argument(
        "data",
        metavar="MANIFEST|RECIPE|TEXT",
        help="any that recipes/Custom reads, a prepared manifest.csv, or a recipe; of a language model a text file",
    )
    command.add_argument("--split", metavar="NAME", help="a set, or all dev, test or train sets (test)")
    command.add_argument(
        "--data-folder", nargs="+", metavar="DIR", help="the recipe's corpus; where a manifest's relative paths start"
    )
    command.add_argument("--locale", help="whose text rules are used (those of the run)")
    command.add_argument("--out", type=Path, metavar="DIR", help="write hypotheses, alignments and scores")
    add_decoding(command)
    command.set_defaults(run=_evaluate, takes_more=True)


def _evaluate(arguments):
    from serenanet_modules.data.asked import candidates
    from serenanet_modules.inference import evaluate
    from serenanet_modules.runtime.threads import best_device, share_cores
    from serenanet_modules.training.measured import measure, task_of

    a, options = arguments, pairs(arguments.more)
    task = task_of(a.folder)
    asked = {"data": a.data, "locale": a.locale, "data_folder": a.data_folder, "split": a.split, "options": options}
    if task is not None and not task.recognises:
        share_cores()
        print(measure(a.folder, asked, a.device or best_device(), a.out))
        return 0
    recognizer = opened(a)
    chosen = candidates(**asked | {"locale": a.locale or recognizer.settings["locale"]})
    with contextlib.ExitStack() as stack:
        prepared = a.out / "prepared" if a.out else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = evaluate.evaluate(recognizer, chosen, prepared, a.batch_seconds, a.lm, sys.stderr.isatty())
    print(*evaluate.report(*found), sep="\n")
    if a.out:
        about = {"model": str(a.folder), "data": a.data, "split": a.split, "lm": a.lm, "seconds": round(found[2], 1)}
        evaluate.write(found[0], a.out, about)
        print(f"\nhypotheses, alignments and scores: {a.out}")
        _by_language(a)
    return 0


def _by_language(arguments):
    """Say and write error rates by language, of a recipe of many."""
    from serenanet_modules.analysis.languages import write
    from serenanet_modules.data.recipe import Recipe

    if (Path(arguments.data) / "dataset.yaml").is_file() and (table := Recipe(arguments.data).languages):
        print(write(arguments.out, table, arguments.out, asked=dict(pairs(arguments.more)).get("language")) or "")
