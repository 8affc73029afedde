"""``serenanet languages``."""

from pathlib import Path


def add(commands, name):
    command = commands.add_parser(name, help="error rates of a run on many languages: by language and region, a plot")
    command.add_argument("folder", metavar="RESULT_DIR", type=Path, help="of a training, or of evaluate --out")
    command.add_argument("recipe", metavar="RECIPE", type=Path, help="with a languages.tsv, such as recipes/FLEURS")
    command.add_argument("--out", type=Path, metavar="DIR", help="where to write (RESULT_DIR)")
    command.add_argument(
        "--sort", default="region", metavar="NAME", help="region, name, code, score, WER or CER (region)"
    )
    command.add_argument("--decoder", metavar="NAME", help="of a training (greedy decoding of what it is scored by)")
    command.add_argument("--split", choices=("test", "dev"), default="test", help="which sets (test)")
    command.set_defaults(run=_languages)


def _languages(arguments):
    from serenanet_modules.analysis.languages import SORTS, write
    from serenanet_modules.data.recipe import Recipe
    from serenanet_modules.errors import UserError

    a, recipe = arguments, Recipe(arguments.recipe)
    if recipe.languages is None:
        raise UserError(f"{a.recipe}: has no languages.tsv; give a recipe of many languages such as recipes/FLEURS")
    if a.sort not in SORTS:
        raise UserError(f"--sort: must be one of {', '.join(SORTS)}, not {a.sort}")
    told = write(a.folder, recipe.languages, a.out or a.folder, a.decoder, a.sort, a.split)
    if told is None:
        raise UserError(f"{a.folder}: has no {a.split} set that is named after a language of {recipe.languages}")
    print(told)
    return 0
