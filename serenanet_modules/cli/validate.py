"""``serenanet validate``."""

from pathlib import Path

from serenanet_modules.cli.values import add_force, add_switch, count, pairs, place, written


def add(commands, name):
    command = commands.add_parser(
        name,
        help="check and summarise a corpus without training",
        epilog="Further --key value pairs are the recipe's: --tier NAME, --audio-folder DIR, --clean FILE, "
        "--letter_to_sound FILE, --language sw_ke.",
    )
    command.add_argument("data", type=place, metavar="DATA", nargs="+", help="a corpus's folder, or manifest files")
    command.add_argument(
        "--recipe", metavar="RECIPE", help="the recipe that reads it, such as recipes/FLEURS (guessed)"
    )
    command.add_argument("--locale", help="language whose text rules are used, such as sw")
    add_switch(command, "--decode", "decode all audio, not only its headers")
    add_switch(command, "--unlabelled", "check for pre-training, which needs no text")
    command.add_argument(
        "--plot", type=written, metavar="FILE", help="draw durations, speech rates and characters: .png, .pdf, .svg"
    )
    add_force(command)
    command.add_argument("--jobs", type=count, metavar="N", help="threads (one a core)")
    command.set_defaults(run=_validate, takes_more=True)


def _validate(arguments):
    """Status 1 where a training could not start."""
    from serenanet_modules.analysis import validate
    from serenanet_modules.runtime.outputs import Outputs

    overrides = pairs(arguments.more) + ([("locale", arguments.locale)] if arguments.locale else [])
    a, data = arguments, list(map(str, arguments.data))
    outputs = Outputs("validate", [path for path in data if not Path(path).is_dir()], a.force)
    if a.plot:
        outputs.check(a.plot)
    usable = validate.run(data, a.recipe, overrides, a.unlabelled, a.decode, a.plot, a.jobs)
    if a.plot:
        outputs.made(a.plot)
    return 0 if usable else 1
