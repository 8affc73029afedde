"""What a suite file says: a base, variants as files or values laid over it, and where each starts from."""

import difflib
from dataclasses import dataclass, replace
from pathlib import Path

from serenanet_modules.ablation.values import as_text, combinations, yaml_texts
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.errors import UserError

KEYS = ("base", "pretraining", "pretraining_arguments", "variants", "values")
STARTS = ("shared", "own", "none")
RESERVED = ("pretraining", "report")  # folders beside those of the variants


@dataclass(frozen=True)
class Variant:
    """One row of the table to come."""

    name: str
    files: tuple[Path, ...]  # laid over the base: the first variant's and its own
    pretraining: str  # one of `STARTS`
    values: tuple[tuple[str, str], ...] = ()  # keys and yaml texts over these, of a search

    @property
    def arguments(self):
        """Its values as words of a command line."""
        return tuple(word for key, text in self.values for word in (f"--{key}", text))


@dataclass(frozen=True)
class Suite:
    """A suite file as read.

    Attributes
    ----------
    file : Path
    base : tuple of Path
        Hyper-parameter files under every variant, a later one over an earlier one.
    pretraining : Path or None
        Hyper-parameter file laid over a variant to pre-train it.
    pretraining_arguments : tuple of str
        ``--key value`` of the pre-training alone.
    variants : tuple of Variant
        The first is the full model, with which the others are compared. Of a search: a variant for each combination of
        values, all equals.
    full : Variant
        The full model, over which a search lays its values.
    search : bool
        Whether dev is to choose among the variants.
    """

    file: Path
    base: tuple[Path, ...]
    pretraining: Path | None
    pretraining_arguments: tuple[str, ...]
    variants: tuple[Variant, ...]
    full: Variant
    search: bool = False

    @classmethod
    def read(cls, file):
        """Read and check a suite file; its paths are relative to it.

        Raises
        ------
        UserError
            For a missing file, an unknown key, a variant without a file, or one that cannot be pre-trained.
        """
        file = Path(file)
        content = read_yaml(file)
        for key in content.keys() - set(KEYS):
            raise UserError(f"{file}: unknown key '{key}'; a suite has {', '.join(KEYS)}")
        values = content.get("values")
        for key in ("base",) if values else ("base", "variants"):
            if not content.get(key):
                raise UserError(f"{file}: '{key}' has no value")
        for key in ("pretraining_arguments", "variants"):
            if not isinstance(content.get(key) or {}, dict):
                raise UserError(f"{file}: '{key}' must be a mapping")
        folder, pretraining = file.parent, content.get("pretraining")
        variants = tuple(_variants(file, content.get("variants") or {}, pretraining))
        suite = cls(
            file,
            tuple(_existing(folder / str(name), file) for name in _listed(content["base"])),
            None if pretraining is None else _existing(folder / str(pretraining), file),
            tuple(_arguments(content.get("pretraining_arguments") or {})),
            variants,
            variants[0] if variants else Variant("base", (), "none"),
        )
        return suite.searching(yaml_texts(values, file), file) if values else suite

    def searching(self, values, where):
        """The search over every combination of values, each laid over the full model.

        Parameters
        ----------
        values : dict of str to list of str
            Yaml texts by key.
        where : str or Path
            That errors name.
        """
        variants = tuple(
            Variant(name, self.full.files, self.full.pretraining, chosen)
            for name, chosen in combinations(values, where)
        )
        return replace(self, variants=variants, search=True)

    def only(self, names):
        """Names of the variants asked for; all where ``names`` is None.

        Raises
        ------
        UserError
            For a name that the suite does not have.
        """
        mine = [variant.name for variant in self.variants]
        for name in names or ():
            if name not in mine:
                close = difflib.get_close_matches(name, mine, n=1)
                hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(mine)}"
                raise UserError(f"{self.file}: there is no variant '{name}'; {hint}")
        return set(names or mine)

    def with_options(self, base=(), pretraining_arguments=()):
        """The suite on another base, with further arguments of the pre-training."""
        return replace(
            self,
            base=tuple(map(Path, base)) if base else self.base,
            pretraining_arguments=(*self.pretraining_arguments, *pretraining_arguments),
        )


def _listed(value):
    return value if isinstance(value, list) else [value]


def _existing(path, suite):
    if not path.is_file():
        raise UserError(f"{suite}: names {path}, which does not exist")
    return path


def _variants(suite, starts, pretraining):
    first = []
    for name, start in starts.items():
        if start not in STARTS:
            raise UserError(f"{suite}: '{name}' must be one of {', '.join(STARTS)}, not {start!r}")
        if name in RESERVED:
            raise UserError(f"{suite}: a variant cannot be called '{name}'; that folder is for something else")
        files = [*first, _existing(suite.parent / f"{name}.yaml", suite)]
        first = first or files
        yield Variant(str(name), tuple(files), "none" if pretraining is None else start)


def _arguments(mapping):
    """{key: value} -> ``--key``, yaml text of the value, …"""
    for key, value in mapping.items():
        yield from (f"--{key}", as_text(value))
