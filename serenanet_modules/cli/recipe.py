"""``serenanet recipe``."""

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
    from serenanet_modules.runtime.outputs import Outputs

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
    Outputs("recipe").check_folder(arguments.out)
    _written(HOME / "recipes" / name, arguments.out)
    print(f"{arguments.out}: edit it, then train with serenanet train {arguments.out} hparams/serenanet.yaml …")
    return 0


def _written(source, target):
    """A recipe as a folder, whole or not there: of a language's, reader and tables come from the folder above."""
    from serenanet_modules.runtime.files import replacing

    dataset = (source / "dataset.yaml").read_text(encoding="utf-8")
    with replacing(target) as copy:
        copy.mkdir()
        for folder in ([source.parent] if "prepare: ../prepare.py" in dataset else []) + [source]:
            for file in folder.iterdir():
                if file.is_file():
                    (copy / file.name).write_bytes(file.read_bytes())
        (copy / "dataset.yaml").write_text(dataset.replace("prepare: ../prepare.py", OWN), encoding="utf-8")
