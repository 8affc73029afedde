"""Recipes and hyper-parameter files that come with the package: in a wheel inside it, in a checkout beside it."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
INSIDE = PACKAGE / "carried"
HOME = INSIDE if INSIDE.is_dir() else PACKAGE.parent
KINDS = ("recipes", "hparams")


def there(path):
    """A path as it was given or, where there is nothing, what comes with the package under that name.

    Parameters
    ----------
    path : str or Path
        Such as ``hparams/serenanet.yaml``, ``recipes/CommonVoice/sw`` or ``CommonVoice/sw``.

    Returns
    -------
    Path

    Examples
    --------
    >>> there("CommonVoice/sw").name, there("no/such.yaml").as_posix()
    ('sw', 'no/such.yaml')
    """
    path = Path(path)
    try:
        if path.exists() or path.is_absolute() or ".." in path.parts:
            return path
    except (OSError, ValueError):  # a name that no file can have
        return path
    homes = ([HOME] if path.parts[:1] and path.parts[0] in KINDS else []) + [HOME / "recipes"]
    return next((home / path for home in homes if path.parts and (home / path).exists()), path)


def recipes():
    """Names of all recipes that come with the package, sorted."""
    home = HOME / "recipes"
    return sorted(file.parent.relative_to(home).as_posix() for file in home.rglob("train.py"))
