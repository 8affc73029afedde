"""``serenanet compare``."""

from serenanet_modules.cli.values import place, whole


def add(commands, name):
    command = commands.add_parser(name, help="paired significance of two runs, and where they differ")
    command.add_argument("a", metavar="A", type=place, help="result folder")
    command.add_argument("b", metavar="B", type=place, help="result folder")
    command.add_argument("--split", metavar="NAME", help="this set alone, such as test")
    command.add_argument("--decoder", metavar="NAME", help="this decoder alone, such as average/greedy")
    command.add_argument("--measure", metavar="WER|CER|PER", help="this measure alone")
    command.add_argument("--show", type=whole, default=10, metavar="N", help="utterances that differ most (10)")
    command.set_defaults(run=_compare)


def _compare(arguments):
    from serenanet_modules.analysis.compare import compare_runs, comparison_text
    from serenanet_modules.analysis.folders import Result

    a, b = Result.read(arguments.a), Result.read(arguments.b)
    lines = compare_runs(a, b, arguments.split, arguments.decoder, arguments.measure)
    print(comparison_text(a, b, lines, arguments.show))
    return 0
