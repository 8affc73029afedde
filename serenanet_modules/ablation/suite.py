"""What a suite file says: a base, variants as files laid over it, and where each starts from."""

import difflib
import json
from dataclasses import dataclass, replace
from pathlib import Path

from serenanet_modules.config.reading import read_yaml
from serenanet_modules.errors import UserError

KEYS = ("base", "pretraining", "pretraining_arguments", "variants")
STARTS = ("shared", "own", "none")
RESERVED = ("pretraining", "report")  # folders beside those of the variants


@dataclass(frozen=True)
class Variant:
    """One row of the table to come."""

    name: str
    files: tuple[Path, ...]  # laid over the base: the first variant's and its own
    pretraining: str  # one of `STARTS`


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
        The first is the full model, with which the others are compared.
    """

    file: Path
    base: tuple[Path, ...]
    pretraining: Path | None
    pretraining_arguments: tuple[str, ...]
    variants: tuple[Variant, ...]

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
        for key in ("base", "variants"):
            if not content.get(key):
                raise UserError(f"{file}: '{key}' has no value")
        for key in ("pretraining_arguments", "variants"):
            if not isinstance(content.get(key) or {}, dict):
                raise UserError(f"{file}: '{key}' must be a mapping")
        folder, pretraining = file.parent, content.get("pretraining")
        return cls(
            file,
            tuple(_existing(folder / str(name), file) for name in _listed(content["base"])),
            None if pretraining is None else _existing(folder / str(pretraining), file),
            tuple(_arguments(content.get("pretraining_arguments") or {})),
            tuple(_variants(file, content["variants"], pretraining)),
        )

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
        yield from (f"--{key}", value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
