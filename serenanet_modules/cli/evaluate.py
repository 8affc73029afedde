"""``serenanet evaluate``."""

import contextlib
import tempfile
from pathlib import Path

from serenanet_modules.cli.opening import add_decoding, add_recogniser, add_spoken, opened, warn_unsure
from serenanet_modules.cli.values import add_out, add_switch, pairs, positive, say_written, wholes
from serenanet_modules.errors import UserError

CHUNK_MS = 100.0
SEARCHING = (  # what greedy decoding of one utterance at a time has no use for
    *("lm", "lm_weight", "word_score", "hotwords", "hotword_weight", "digits", "nbest"),
    *("beam_size", "context", "jobs", "batch_seconds"),
)


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
        help="manifest or folder that recipes/Custom reads, prepared manifest.csv, recipe; for a language model a text",
    )
    command.add_argument("--split", metavar="NAME", help="a set, or all dev, test or train sets (test)")
    command.add_argument(
        "--data-folder", nargs="+", metavar="DIR", help="the recipe's corpus; where a manifest's relative paths start"
    )
    command.add_argument("--locale", help="language whose text rules are used (that of the run)")
    add_out(command, "DIR", "write hypotheses, alignments and scores")
    add_decoding(command, "lists of N texts: their oracle error rate, and with --out the lists")
    add_spoken(command)
    add_switch(command, "--compare-streaming", "error rates, latencies and memory offline and as a stream, greedily")
    command.add_argument(
        "--look-ahead",
        type=wholes,
        metavar="MS,…",
        help="with --compare-streaming: milliseconds, some of those that the model has (all)",
    )
    command.add_argument(
        "--chunk-ms", type=positive, metavar="N", help="with --compare-streaming: milliseconds fed at a time (100)"
    )
    usual = {name: command.get_default(name) for name in SEARCHING}
    command.set_defaults(run=_evaluate, takes_more=True, usual=usual)


def _evaluate(arguments):
    from serenanet_modules.runtime.outputs import Outputs
    from serenanet_modules.runtime.threads import best_device, share_cores
    from serenanet_modules.training.measured import measure, task_of

    a = arguments
    if not a.compare_streaming and (a.look_ahead or a.chunk_ms):
        raise UserError("--look-ahead and --chunk-ms go with --compare-streaming; add it, or leave them out")
    if a.compare_streaming and (unused := [name for name, usual in a.usual.items() if getattr(a, name) != usual]):
        told = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise UserError(f"--compare-streaming decodes each utterance greedily, as streams do; leave {told} out")
    outputs = Outputs("evaluate", [a.folder, a.data, *(a.data_folder or ()), a.lm], a.force)
    if a.out:
        outputs.check_folder(a.out)
    asked = {"data": a.data, "locale": a.locale, "data_folder": a.data_folder, "split": a.split}
    asked["options"], task = _options(a), task_of(a.folder)
    if task is not None and not task.recognises:
        if a.compare_streaming:
            raise UserError(f"{a.folder}: is no recogniser; leave --compare-streaming out")
        share_cores()
        if a.out:
            outputs.begin(a.out)
        print(measure(a.folder, asked, a.device or best_device(), a.out))
        if a.out:
            say_written(a.out, "scores.json")
        return 0
    recognizer = opened(a)
    warn_unsure(recognizer, a.folder)
    if a.out:
        outputs.begin(a.out)
    with contextlib.ExitStack() as stack:
        prepared = a.out / "prepared" if a.out else Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (_compare if a.compare_streaming else _score)(a, recognizer, asked, prepared)
    return 0


def _options(arguments):
    """The recipe's options; of one of several languages ``--language`` is the data's, and no Whisper is told it."""
    recipe, language = _recipe(arguments.data), arguments.language
    if language is None or recipe is None or "language" not in recipe.options:
        return pairs(arguments.more)
    arguments.language = None
    return [*pairs(arguments.more), ("language", language)]


def _recipe(data):
    """The `Recipe` that the data is, or None."""
    from serenanet_modules.config.carried import there
    from serenanet_modules.data.recipe import Recipe

    return Recipe(data) if (there(data) / "dataset.yaml").is_file() else None


def _chosen(arguments, recognizer, asked):
    """The `Candidate` of each utterance to measure on."""
    from serenanet_modules.data.asked import candidates
    from serenanet_modules.data.text import ANY

    chosen = candidates(**asked | {"locale": arguments.locale or recognizer.run.locale})
    if any(c.locale == ANY for c in chosen):
        print("note: no language given: default text rules are used; give --locale")
    return chosen


def _score(arguments, recognizer, asked, prepared):
    from serenanet_modules.inference import evaluate

    a, chosen = arguments, _chosen(arguments, recognizer, asked)
    found = evaluate.evaluate(recognizer, chosen, prepared, a.batch_seconds, a.lm, True)
    print(*evaluate.report(*found), sep="\n")
    if a.out:
        about = {
            "model": str(a.folder),
            "data": a.data,
            "split": a.split,
            "lm": a.lm,
            **evaluate.asked(recognizer, a.lm),
            "computing": recognizer.computing,
        }
        about["seconds"] = round(found[2], 1)
        evaluate.write(found[0], a.out, about)
        print(f"\nhypotheses, alignments and scores: {a.out}")
    _by_language(a, found[0], dict(asked["options"]).get("language"))


def _compare(arguments, recognizer, asked, prepared):
    from serenanet_modules.analysis import streaming
    from serenanet_modules.inference.compared import compare, streams
    from serenanet_modules.inference.evaluate import left_out

    a, seconds = arguments, (arguments.chunk_ms or CHUNK_MS) / 1000
    ways = streams(recognizer, a.look_ahead, seconds)
    rows, summary = compare(recognizer, ways, _chosen(a, recognizer, asked), prepared, True)
    print(*left_out(summary), streaming.markdown(rows), sep="\n")
    if a.out:
        about = {"model": str(a.folder), "data": a.data, "split": a.split, "chunk_ms": 1000 * seconds}
        streaming.write(rows, about, a.out)
        print(f"\ntables and pictures: {a.out}")


def _by_language(arguments, sets, language):
    """Say and, where there is a folder, write error rates by language, of a recipe of many."""
    from serenanet_modules.analysis.languages import told, write
    from serenanet_modules.data.manifest import role
    from serenanet_modules.inference.evaluate import rates

    a, recipe = arguments, _recipe(arguments.data)
    if recipe is None or recipe.languages is None:
        return
    asked = {"role": role(a.split or "test"), "asked": language}
    by_name = write(a.out, recipe.languages, a.out, **asked) if a.out else told(rates(sets), recipe.languages, **asked)
    if by_name:
        print(f"\n{by_name}")
