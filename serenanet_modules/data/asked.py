"""The utterances that a finished run is to be measured on: of a manifest, or of a recipe's corpus."""

from dataclasses import replace

from serenanet_modules.config.carried import there
from serenanet_modules.data import custom
from serenanet_modules.data.manifest import SPLITS, role
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.errors import UserError

WITHOUT_RECIPE = ("tier", "audio_folder", "clean", "letter_to_sound")  # options that need no recipe
EVERYTHING = {"test": 1}  # of a manifest that knows no splits


def candidates(data, locale, data_folder=None, split=None, options=(), needs_text=True):
    """The utterances that are meant.

    Parameters
    ----------
    data : str or Path
        A manifest or annotations, or a folder of them (see `data.custom`), or a recipe's folder.
    locale : str
        Of what does not say its own.
    data_folder : str or list of str, optional
        The recipe's; for a manifest where its relative paths start, if not in its own folder.
    split : str, optional
        A set or a role; by default test, or all of a manifest that is of a single other split.
    options : sequence of (str, str)
        The recipe's own, as yaml.
    needs_text : bool

    Returns
    -------
    list of Candidate
        All of them of test sets, a set of another role under ``test-<its name>``.

    Raises
    ------
    UserError
        Where there are none.
    """
    found = corpus(data, locale, data_folder, options, needs_text, roles=(role(split or "test"),))
    names = sorted({c.split for c in found})
    asked = split or (names[0] if len(names) == 1 else "test")
    chosen = [c for c in found if asked in (c.split, role(c.split))]
    if not chosen:
        raise UserError(f"{data}: holds no {asked} utterances; --split may be {', '.join(names or SPLITS)}")
    return [c if role(c.split) == "test" else replace(c, split=f"test-{c.split}") for c in chosen]


def corpus(data, locale, data_folder=None, options=(), needs_text=True, roles=None):
    """All utterances of a manifest, a folder of them, or a recipe; parameters and errors as of `candidates`.

    Those of a manifest that knows no splits are of test. ``roles`` are as of `Recipe.candidates`.
    """
    path = there(data)
    if (path / "dataset.yaml").is_file():
        if not data_folder:
            raise UserError(f"{path}: is a recipe; say with --data_folder where its corpus is")
        recipe = Recipe(path)
        return recipe.candidates(recipe.values(data_folder, locale, options), needs_text, roles)
    if unknown := [name for name, _ in options if name not in WITHOUT_RECIPE]:
        raise UserError(f"--{unknown[0]}: only a recipe has options, and {path} is none")
    root = data_folder[0] if isinstance(data_folder, list) else data_folder
    return custom.candidates(path, locale, data_root=root, shares=EVERYTHING, needs_text=needs_text, **dict(options))
