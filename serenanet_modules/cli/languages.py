"""``serenanet languages``."""

from serenanet_modules.cli.values import add_out, place, say_written

ENDINGS = ("md", "csv", "png")  # of the pages that it writes


def add(commands, name):
    command = commands.add_parser(name, help="error rates of a run on many languages: by language and region, a plot")
    command.add_argument(
        "folder", metavar="RESULT_DIR", type=place, help="result folder of a training, or folder of evaluate --out"
    )
    command.add_argument(
        "recipe", metavar="RECIPE", type=place, help="recipe with a languages.tsv, such as recipes/FLEURS"
    )
    add_out(command, "DIR", "where to write (RESULT_DIR)")
    command.add_argument(
        "--sort", default="region", metavar="NAME", help="region, name, code, score, WER or CER (region)"
    )
    command.add_argument("--decoder", metavar="NAME", help="decoder of a result folder (greedy, of its scoring output)")
    command.add_argument("--split", choices=("test", "dev"), default="test", help="which sets (test)")
    command.set_defaults(run=_languages)


def _languages(arguments):
    from serenanet_modules.analysis.languages import SORTS, write
    from serenanet_modules.data.recipe import Recipe
    from serenanet_modules.errors import UserError
    from serenanet_modules.runtime.outputs import Outputs

    a, recipe = arguments, Recipe(arguments.recipe)
    if recipe.languages is None:
        raise UserError(f"{a.recipe}: has no languages.tsv; give a recipe of many languages such as recipes/FLEURS")
    if a.sort not in SORTS:
        raise UserError(f"--sort: must be one of {', '.join(SORTS)}, not {a.sort}")
    outputs, names, files = Outputs("languages", [a.recipe], a.force), [f"languages.{e}" for e in ENDINGS], []
    if a.out:  # the run's own folder has these pages for this command
        files = [a.out / name for name in names]
        outputs.check(*files)
    told = write(a.folder, recipe.languages, a.out or a.folder, a.decoder, a.sort, a.split)
    if told is None:
        raise UserError(f"{a.folder}: has no {a.split} set that is named after a language of {recipe.languages}")
    outputs.made(*files)
    print(told)
    say_written(a.out or a.folder, ", ".join(names))
    return 0
