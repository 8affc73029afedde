"""``serenanet report``."""

from pathlib import Path

from serenanet_modules.cli.values import add_out, add_price, place


def add(commands, name):
    command = commands.add_parser(name, help="tables and plots of any results, grouped by experiment over seeds")
    command.add_argument(
        "places", metavar="RESULT_DIR", nargs="+", type=place, help="result folders, or folders of them"
    )
    add_out(command, "DIR", "where to write (report)", default=Path("report"))
    command.add_argument("--reference", metavar="NAME", help="experiment to compare with (the first)")
    add_price(command)
    command.set_defaults(run=_report)


def _report(arguments):
    from serenanet_modules.analysis.report import report
    from serenanet_modules.runtime.outputs import Outputs

    outputs = Outputs("report", arguments.places, arguments.force)
    outputs.check_folder(arguments.out)
    told = report(arguments.places, arguments.out, arguments.reference, arguments.price)
    outputs.begin(arguments.out)
    print(told)
    return 0
