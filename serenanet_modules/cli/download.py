"""``serenanet download``."""

from functools import partial

from serenanet_modules.cli.values import names, written
from serenanet_modules.errors import UserError


def add(commands, name):
    command = commands.add_parser(name, help="fetch a corpus from where it is published, as its recipe reads it")
    command.add_argument("corpus", metavar="NAME", help="librispeech, fleurs, or the folder of a recipe of yours")
    command.add_argument("--out", type=written, metavar="DIR", required=True, help="the folder to fetch it into")
    command.add_argument(
        "--parts",
        type=names,
        metavar="NAME,…",
        help="of LibriSpeech: subsets (train-clean-100, dev and test); of FLEURS: languages, or all",
    )
    command.add_argument("--mirror", metavar="URL", help="another server, which has the same files")
    command.set_defaults(run=_download)


def _download(arguments):
    from serenanet_modules.config.carried import recipes
    from serenanet_modules.data.downloads import fetch
    from serenanet_modules.data.recipe import Recipe
    from serenanet_modules.runtime import bars

    a = arguments
    if a.out.exists() and not a.out.is_dir():
        raise UserError(f"{a.out}: is no folder; give another --out")
    if a.mirror is not None and not a.mirror.startswith(("http://", "https://")):
        raise UserError(f"--mirror {a.mirror}: give a URL that begins with https://")
    carried = {name.lower(): name for name in recipes()}
    recipe = Recipe(carried.get(a.corpus.lower(), a.corpus))
    bar = partial(bars.Bar, unit="B", unit_scale=True) if bars.shown() else None
    fetch(recipe.downloads(a.parts, a.mirror), a.out, print, bar and (lambda title: bar(desc=title)))
    print(f"{a.out}: give it as --data_folder to {recipe.file.parent}")
    return 0
