"""``serenanet train``."""

import argparse
import runpy
import sys

from serenanet_modules.cli.values import carried
from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="train and evaluate; the same as python RECIPE/train.py …")
    command.add_argument(
        "recipe",
        metavar="RECIPE",
        type=carried,
        help="a folder, or the name of one that comes with the package: CommonVoice/sw",
    )
    command.add_argument(
        "arguments", nargs=argparse.REMAINDER, metavar="HPARAMS --key value …", help="what train.py takes"
    )
    command.set_defaults(run=_train)


def _train(arguments):
    script = arguments.recipe / "train.py"
    if not script.is_file():
        raise UserError(
            f"{arguments.recipe}: has no train.py; give a recipe's folder such as recipes/CommonVoice/sw, or a name of "
            "`serenanet recipe`"
        )
    sys.argv = [str(script), *arguments.arguments]
    runpy.run_path(str(script), run_name="__main__")
    return 0
