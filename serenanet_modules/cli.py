"""The command ``serenanet``.

What a command needs is imported when it runs: help must not wait for torch.
"""

import argparse
import difflib
import os
import runpy
import sys
from pathlib import Path

from serenanet_modules.errors import UserError

COMMANDS = ("train", "validate", "transcribe", "ablate", "report", "compare", "lm", "demo")
INTERRUPTED = 130  # what shells report for Ctrl-C
BROKEN_PIPE = 141


def main(argv=None):
    """Run a command line.

    Parameters
    ----------
    argv : list of str, optional
        Without the program's name; by default the process's own.

    Returns
    -------
    int
        The exit status: 0, 1 where some files could not be transcribed, 2 for a `UserError`, 130 for Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else argv
    try:
        _check_command(argv)
        parser = _parser()
        arguments, arguments.more = parser.parse_known_args(argv)
        if arguments.more and not getattr(arguments, "takes_more", False):
            parser.error(f"unrecognized arguments: {' '.join(arguments.more)}")
        return arguments.run(arguments)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # the reader of the output, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE


def _check_command(argv):
    """Refuse a command that does not exist, and guess which was meant."""
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        close = difflib.get_close_matches(argv[0], COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(COMMANDS)}"
        raise UserError(f"there is no command {argv[0]!r}; {hint}")


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose complaints are one sentence."""

    def error(self, message):
        raise UserError(f"{message}; see {self.prog} --help")


def _parser():
    parser = _Parser(prog="serenanet", description="Train and use speech recognisers with state-space parts.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="{" + ",".join(COMMANDS) + "}")
    adders = (
        *(_add_train, _add_validate, _add_transcribe, _add_ablate),
        *(_add_report, _add_compare, _add_lm, _add_demo),
    )
    for name, add in zip(COMMANDS, adders, strict=True):
        add(commands, name)
    return parser


# --- train ------------------------------------------------------------------------------------------------------------


def _add_train(commands, name):
    command = commands.add_parser(name, help="train and evaluate; the same as python RECIPE/train.py …")
    command.add_argument("recipe", metavar="RECIPE", type=Path, help="folder such as recipes/CommonVoice/sw")
    command.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="HPARAMS --key value …", help="what train.py takes"
    )
    command.set_defaults(run=_train)


def _train(arguments):
    script = arguments.recipe / "train.py"
    if not script.is_file():
        raise UserError(f"{arguments.recipe}: has no train.py; give a recipe's folder such as recipes/CommonVoice/sw")
    sys.argv = [str(script), *arguments.arguments]
    runpy.run_path(str(script), run_name="__main__")
    return 0


# --- validate ---------------------------------------------------------------------------------------------------------


def _add_validate(commands, name):
    command = commands.add_parser(
        name,
        help="check and summarise a corpus without training",
        epilog="Further --key value pairs are the recipe's, such as --language sw_ke or --data_root DIR.",
    )
    command.add_argument("data", metavar="DATA", nargs="+", help="a corpus's folder, or manifest files")
    command.add_argument("--recipe", metavar="RECIPE", help="whose layout it has, such as recipes/FLEURS; else guessed")
    command.add_argument("--locale", help="whose text rules are used, such as sw")
    command.add_argument("--decode", action="store_true", help="decode all audio instead of reading its headers")
    command.add_argument("--unlabelled", action="store_true", help="judge as pre-training does, which needs no text")
    command.add_argument("--plot", metavar="FILE", help="draw durations, speech rates and characters: .png, .pdf, .svg")
    command.add_argument("--jobs", type=_count, metavar="N", help="threads (one a core)")
    command.set_defaults(run=_validate, takes_more=True)


def _validate(arguments):
    """Status 1 where a training could not start."""
    from serenanet_modules import validate

    names = arguments.more[::2]
    if len(arguments.more) % 2 or not all(name.startswith("--") for name in names):
        raise UserError(f"{' '.join(arguments.more)}: options of a recipe come as --key value")
    overrides = [(name[2:], value) for name, value in zip(names, arguments.more[1::2], strict=True)]
    overrides += [("locale", arguments.locale)] if arguments.locale else []
    a = arguments
    return 0 if validate.run(a.data, a.recipe, overrides, a.unlabelled, a.decode, a.plot, a.jobs) else 1


# --- transcribe -------------------------------------------------------------------------------------------------------


def _add_transcribe(commands, name):
    command = commands.add_parser(name, help="print the text of audio files")
    command.add_argument("folder", metavar="RESULT_DIR", help="results/<dataset>/<experiment>/<seed> of a finished run")
    command.add_argument("files", metavar="FILE", nargs="+", help="audio of any rate, channel count, format, length")
    command.add_argument(
        "--lm", metavar="PATH|auto", help="beam search with this ARPA model, or with the one of the run (auto)"
    )
    command.add_argument("--device", help="cpu, cuda, cuda:0, …; by default a GPU where there is one")
    command.add_argument(
        "--batch-seconds", type=float, default=120.0, metavar="S", help="padded audio read at a time (120)"
    )
    command.set_defaults(run=_transcribe)


def _transcribe(arguments):
    """Print texts as they come; a file that cannot be read is reported, and the others go on."""
    import torch

    from serenanet_modules.inference.recognizer import Recognizer
    from serenanet_modules.threads import share_cores

    share_cores()
    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    recognizer = Recognizer.from_folder(arguments.folder, device)
    files, status = arguments.files, 0
    texts = recognizer.transcripts(files, arguments.batch_seconds, arguments.lm, progress=sys.stderr.isatty())
    for file, text in zip(files, texts, strict=True):
        if isinstance(text, UserError):
            print(f"error: {text}", file=sys.stderr)
            status = 1
        else:
            print(f"{file}\t{text}" if len(files) > 1 else text, flush=True)
    return status


# --- ablate, report, compare ------------------------------------------------------------------------------------------


def _add_ablate(commands, name):
    command = commands.add_parser(name, help="train every variant of a suite with several seeds, and report")
    command.add_argument("--recipe", required=True, type=Path, help="folder such as recipes/CommonVoice/sw")
    command.add_argument("--suite", required=True, type=Path, help="file such as hparams/ablations/suite.yaml")
    command.add_argument("--seeds", type=_count, default=3, metavar="N", help="runs per variant (3)")
    command.add_argument("--base", type=Path, metavar="FILE", help="hyper-parameters in place of the suite's base")
    command.add_argument("--only", type=_names, metavar="A,B", help="these variants alone")
    command.add_argument("--out", type=Path, metavar="DIR", help="folder of all runs and of the report")
    command.add_argument("--jobs", type=_count, metavar="N", help="runs at a time (1; with --sbatch no limit)")
    command.add_argument("--sbatch", type=Path, metavar="TEMPLATE", help="submit the runs to Slurm with this script")
    command.add_argument(
        "--pretraining-arguments", default="", metavar="'--key value …'", help="of the pre-trainings alone"
    )
    command.add_argument("--dry-run", action="store_true", help="list the runs, and what is done of them")
    command.add_argument("arguments", nargs="*", metavar="-- --key value …", help="what every run's base gets")
    command.set_defaults(run=_ablate)


def _ablate(arguments):
    from serenanet_modules.ablation.command import ablate

    options = dict(vars(arguments))
    for name in ("command", "run"):
        del options[name]
    return ablate(**options)


def _add_report(commands, name):
    command = commands.add_parser(name, help="tables and plots of any results, grouped by experiment over seeds")
    command.add_argument(
        "places", metavar="RESULT_DIR", nargs="+", type=Path, help="result folders, or folders of them"
    )
    command.add_argument("--out", type=Path, default=Path("report"), metavar="DIR", help="where to write (report)")
    command.add_argument("--reference", metavar="NAME", help="experiment to compare with (the first)")
    command.set_defaults(run=_report)


def _report(arguments):
    from serenanet_modules.analysis.report import report

    print(report(arguments.places, arguments.out, arguments.reference))
    return 0


def _add_compare(commands, name):
    command = commands.add_parser(name, help="paired significance of two runs, and where they differ")
    command.add_argument("a", metavar="A", type=Path, help="result folder")
    command.add_argument("b", metavar="B", type=Path, help="result folder")
    command.add_argument("--split", metavar="NAME", help="this set alone, such as test")
    command.add_argument("--decoder", metavar="NAME", help="this decoder alone, such as average/greedy")
    command.add_argument("--measure", metavar="WER|CER|PER", help="this measure alone")
    command.add_argument("--show", type=int, default=10, metavar="N", help="utterances that differ most (10)")
    command.set_defaults(run=_compare)


def _compare(arguments):
    from serenanet_modules.analysis.compare import compare_runs, comparison_text
    from serenanet_modules.analysis.folders import Result

    a, b = Result.read(arguments.a), Result.read(arguments.b)
    lines = compare_runs(a, b, arguments.split, arguments.decoder, arguments.measure)
    print(comparison_text(a, b, lines, arguments.show))
    return 0


def _count(text):
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1")
    return int(text)


def _names(text):
    return [name.strip() for name in text.split(",") if name.strip()]


# --- lm ---------------------------------------------------------------------------------------------------------------


def _add_lm(commands, name):
    command = commands.add_parser(name, help="estimate an n-gram language model from text")
    command.add_argument("texts", metavar="TEXT_FILE", nargs="+", help="UTF-8, one sentence a line")
    command.add_argument("--locale", required=True, help="whose text normaliser is used, such as sw")
    command.add_argument("--out", required=True, metavar="FILE", help="the ARPA file to write")
    command.add_argument("--order", type=int, default=3, help="longest n-gram (3)")
    command.add_argument("--tool", default="auto", metavar="auto|lmplz|irstlm|own", help="what estimates it (auto)")
    command.add_argument("--held-out", metavar="FILE", help="text to report the perplexity of")
    command.set_defaults(run=_lm)


def _lm(arguments):
    from serenanet_modules.data.text import normaliser
    from serenanet_modules.decoding import ngram

    normalise = normaliser(arguments.locale)
    held_out = None if arguments.held_out is None else [*map(normalise, ngram.read_lines([arguments.held_out]))]
    lines = map(normalise, ngram.read_lines(arguments.texts))
    tool = ngram.estimate(lines, arguments.order, arguments.out, arguments.tool)
    print(f"{arguments.out}: order {arguments.order}, made with {tool}")
    if held_out is not None:
        p = ngram.perplexity(arguments.out, held_out)
        print(f"{arguments.held_out}: perplexity {p.value:.2f}, {p.oov} of {p.words} words unknown")
    return 0


# --- demo -------------------------------------------------------------------------------------------------------------


def _add_demo(commands, name):
    command = commands.add_parser(name, help="train, evaluate and transcribe on the embedded corpus")
    command.set_defaults(run=_demo)


def _demo(_):
    from serenanet_modules import demo

    demo.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
