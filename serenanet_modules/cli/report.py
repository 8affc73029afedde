"""``serenanet report``."""

from pathlib import Path

from serenanet_modules.cli.values import add_out, add_price, place, say_written, written


def add(commands, name):
    command = commands.add_parser(name, help="tables and plots of any results, grouped by experiment over seeds")
    command.add_argument(
        "places", metavar="RESULT_DIR", nargs="+", type=place, help="result folders, or folders of them"
    )
    add_out(command, "DIR", "where to write (report)", default=Path("report"))
    command.add_argument("--reference", metavar="NAME", help="experiment to compare with (the first)")
    add_price(command)
    told = "where to copy the results without their texts, for reports elsewhere"
    command.add_argument("--copies", metavar="DIR", type=written, help=told)
    command.set_defaults(run=_report)


def _report(arguments):
    from serenanet_modules.analysis.report import report
    from serenanet_modules.runtime.outputs import Outputs

    outputs = Outputs("report", arguments.places, arguments.force)
    folders = [folder for folder in (arguments.out, arguments.copies) if folder is not None]
    for folder in folders:
        outputs.check_folder(folder)
    told = report(arguments.places, arguments.out, arguments.reference, arguments.price, arguments.copies)
    for folder in folders:
        outputs.begin(folder)
    print(told)
    if arguments.copies:
        say_written(arguments.copies, "the results without their texts")
    return 0
