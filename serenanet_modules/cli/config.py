"""``serenanet config``."""

from serenanet_modules.cli.values import add_switch
from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(
        name,
        help="print merged hyper-parameters, and which file says what",
        epilog="Further --key value pairs override the files, as for train.py; keys without a value are allowed here.",
    )
    command.add_argument("files", metavar="FILE", nargs="*", help="a model, then layers: a size, a machine, …")
    command.add_argument("--recipe", metavar="RECIPE", help="add this recipe's keys, such as recipes/CommonVoice/sw")
    add_switch(command, "--table", "print the table of all keys instead: docs/hparams.md")
    command.set_defaults(run=_config, takes_more=True)


def _config(arguments):
    from serenanet_modules.config.keys import page

    if arguments.table:
        print(page(), end="")
        return 0
    from serenanet_modules.config.hparams import is_placeholder
    from serenanet_modules.config.settings import check_parts, check_values, read_layers
    from serenanet_modules.data.recipe import Recipe

    recipe = None if arguments.recipe is None else Recipe(arguments.recipe)
    hparams, _, options = read_layers(recipe, [*arguments.files, *arguments.more])
    if options:
        raise UserError(f"{' '.join(options)}: a run option, which stands in no file")
    numbers = {key: value for key, value in hparams.tree.items() if isinstance(value, (int, float))}
    check_values(numbers, hparams.source)
    if not any(map(is_placeholder, hparams.tree.values())):  # what parts refer to may have no value yet
        check_parts(hparams, hparams.source)
    print(hparams.told())
    return 0
