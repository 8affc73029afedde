"""``serenanet push``."""

from serenanet_modules.cli.opening import add_run
from serenanet_modules.cli.values import add_switch


def add(commands, name):
    command = commands.add_parser(name, help="upload a finished recogniser to the Hugging Face hub")
    add_run(command)
    command.add_argument("name", metavar="OWNER/NAME", help="repository on the hub; created if missing")
    command.add_argument("--license", metavar="ID", help="licence by the hub's name, such as cc-by-4.0")
    add_switch(command, "--private", "create a private repository")
    command.set_defaults(run=_push)


def _push(arguments):
    from serenanet_modules.runs.publishing import publish

    a = arguments
    print(publish(a.folder, a.name, a.license, a.private))
    return 0
