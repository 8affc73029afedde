"""A folder of a public model, of anybody's making: its configuration as plain data, its weights as safetensors.

Nothing in it is run. Of the configuration only known keys of known families are read, pickles and code are refused, and
sizes are compared with those of the weights before anything takes memory.
"""

import contextlib
import os
import re

import torch
from safetensors import SafetensorError, safe_open

from serenanet_modules.config.foreign import bounded, inside
from serenanet_modules.errors import UserError
from serenanet_modules.runs import hub
from serenanet_modules.runtime.files import read_json, sha256

CONFIG = "config.json"
WEIGHTS, INDEX, SHARDS = "model.safetensors", "model.safetensors.index.json", "model*.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
PART_NAME = re.compile(r"[\w-][\w.-]*\.safetensors")  # of a file in the folder itself
MOST_JSON = 2**20  # bytes


class PublicFolder:
    """A folder as transformers write it, on this machine or of the Hugging Face hub.

    Parameters
    ----------
    source : str
        A path, or a name on the hub.
    revision : str, optional
        Of a name on the hub; None takes the newest.
    more : tuple of str
        Further files of weights that are wanted.

    Attributes
    ----------
    source : str
        A path from the root, or the name.
    path : Path
    revision : str or None
        The commit, of a name on the hub.
    files : list of Path
        Of the weights; further ones come last.
    KEY : str
        What names it, which errors begin with.
    BESIDE : tuple of str
        Files that are read beside configuration and weights, where they are there.
    NEEDED : tuple of str
        Those that must be.

    Raises
    ------
    UserError
        For what is not there, or is no such folder.
    """

    KEY, BESIDE, NEEDED = "", (), (CONFIG,)

    def __init__(self, source, revision=None, more=()):
        wanted = [*self.NEEDED, *self.BESIDE, WEIGHTS, INDEX, *more]
        self.path, self.revision = hub.local(source, wanted, self.KEY, revision)
        self.source = source if self.revision else os.path.abspath(source)
        missing = [name for name in self.NEEDED if not (self.path / name).is_file()]
        if missing:
            raise UserError(f"{self.KEY}: {source} has no {missing[0]}; give a folder as transformers write it")
        self.files = [self.path / name for name in (*self._weights(), *more)]
        inside(self.path, *self.NEEDED, *self.BESIDE, *(file.name for file in self.files))

    def _weights(self):
        """Names of the weights' files: the one, else those of the index, else whatever is named as parts are.

        Of the hub, parts are fetched only now, for they may be there beside the one, in another precision.
        """
        if (self.path / WEIGHTS).is_file():
            return [WEIGHTS]
        listed = self._listed()
        name, commit = hub.known_as(self.path)
        if name is not None and not (listed and all((self.path / part).is_file() for part in listed)):
            hub.local(name, listed or [SHARDS], self.KEY, commit)
        found = listed or sorted(file.name for file in self.path.glob(SHARDS))
        if not found:
            raise UserError(f"{self.KEY}: {self.source} {self._why_none(commit)}")
        if missing := [part for part in found if not (self.path / part).is_file()]:
            raise UserError(f"{self.KEY}: {self.source} lacks {missing[0]}, which its {INDEX} lists; copy it again")
        return found

    def _listed(self):
        """Names of the parts that the index lists, [] where there is none."""
        inside(self.path, INDEX)
        listed = self.json(INDEX).get("weight_map", {})
        names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
        if wrong := [name for name in names if not PART_NAME.fullmatch(name)]:
            raise UserError(f"{self.path / INDEX}: {wrong[0]!r} is no name of a file of weights")
        return names

    def _why_none(self, commit):
        pickled = sorted(file.name for kind in PICKLES for file in self.path.glob(kind))
        why = f"only {pickled[0]}, which may hold anybody's code" if pickled else "none"
        part = self.KEY.removesuffix(".source")
        how = f"--{part}.revision" if part != self.KEY else f"{self.source}@REVISION"
        other = "" if commit is None else f", give a revision that has them with {how}"
        return (
            f"must hold weights as {WEIGHTS}, but has {why}; convert it with transformers' save_pretrained{other}, or "
            "take another"
        )

    def arguments(self):
        """``config`` of the part, plain values.

        Raises
        ------
        UserError
            For a configuration of no known family, and one that the weights do not fit.
        """
        try:
            values = self._known()
            with bounded(*self.files), torch.device("meta"):
                part = self._part(values)
            part.check(self._shapes())
        except UserError:
            raise
        except Exception as error:  # of transformers' own checks, and of sizes that nothing can be made of
            reason = re.sub(r"\s+", " ", str(error)).strip()
            raise UserError(f"{self.KEY}: {self.source} cannot be used: {reason}") from None
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def _known(self):
        """Plain values of the configuration, those that count; a ValueError for what cannot be."""
        raise NotImplementedError

    def _part(self, values):
        """The part that they make."""
        raise NotImplementedError

    def _shapes(self):
        shapes = {}
        for file in self.files:
            with _opened(file) as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        return shapes

    def tensors(self):
        """Weights by transformers' names; of what a further file has, its."""
        found = {}
        for file in self.files:
            with _opened(file) as tensors:
                found |= {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        return found

    @property
    def sha256(self):
        """Of the weights' files, one after the other."""
        return sha256(*self.files)

    def json(self, name):
        """A small file's mapping; {} where there is none."""
        path = self.path / name
        if not path.is_file():
            return {}
        try:
            if path.stat().st_size > MOST_JSON:
                raise ValueError("it is far too long")
            found = read_json(path)
            if not isinstance(found, dict):
                raise ValueError("it is no JSON object")
            return found
        except (ValueError, RecursionError, OSError) as error:
            raise UserError(f"{path}: cannot be read as JSON ({error})") from None


@contextlib.contextmanager
def _opened(file):
    try:
        with safe_open(file, "pt") as tensors:
            yield tensors
    except (SafetensorError, OSError) as error:
        raise UserError(f"{file}: cannot be read as weights ({error})") from None
