"""``serenanet report``."""

from pathlib import Path


def add(commands, name):
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
