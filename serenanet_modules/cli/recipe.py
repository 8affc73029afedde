"""``serenanet recipe``."""

import shutil
import tempfile
from pathlib import Path

from serenanet_modules.cli.values import written
from serenanet_modules.errors import UserError

OWN = "prepare: prepare.py"  # in a dataset.yaml: its reader stands beside it


def add(commands, name):
    command = commands.add_parser(name, help="copy a recipe that comes with the package, to edit it; or name them all")
    command.add_argument("recipe", nargs="?", metavar="NAME", help="such as CommonVoice/sw (all their names)")
    command.add_argument("--out", type=written, metavar="DIR", help="the folder to make")
    command.set_defaults(run=_copy)


def _copy(arguments):
    from serenanet_modules.config.carried import HOME, recipes

    known, name = recipes(), arguments.recipe
    if name is None:
        print(*known, sep="\n")
        return 0
    name = name.removeprefix("recipes/").rstrip("/")
    if name not in known:
        raise UserError(f"there is no recipe {name}; there are {', '.join(known)}")
    if arguments.out is None:
        raise UserError(f"give with --out the folder that is to hold a copy of {name}")
    if arguments.out.exists():
        raise UserError(f"{arguments.out}: exists already; give another name")
    _written(HOME / "recipes" / name, arguments.out)
    print(f"{arguments.out}: edit it, then train with serenanet train {arguments.out} hparams/serenanet.yaml …")
    return 0


def _written(source, target):
    """A recipe as a folder, whole or not there: of a language's, reader and tables come from the folder above."""
    dataset = (source / "dataset.yaml").read_text(encoding="utf-8")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch:
        copy = Path(scratch) / "recipe"
        copy.mkdir()
        for folder in ([source.parent] if "prepare: ../prepare.py" in dataset else []) + [source]:
            for file in folder.iterdir():
                if file.is_file():
                    shutil.copyfile(file, copy / file.name)
        (copy / "dataset.yaml").write_text(dataset.replace("prepare: ../prepare.py", OWN), encoding="utf-8")
        copy.rename(target)
