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

CONFIG, WEIGHTS = "config.json", "model*.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
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
        self.path, self.revision = hub.local(source, [*self.NEEDED, *self.BESIDE, WEIGHTS, *more], self.KEY, revision)
        self.source = source if self.revision else os.path.abspath(source)
        missing = [name for name in self.NEEDED if not (self.path / name).is_file()]
        if missing:
            raise UserError(f"{self.KEY}: {source} has no {missing[0]}; give a folder as transformers write it")
        self.files = sorted(self.path.glob(WEIGHTS))
        if not self.files:
            pickled = sorted(file.name for kind in PICKLES for file in self.path.glob(kind))
            why = f"only {pickled[0]}, which may hold anybody's code" if pickled else "none"
            raise UserError(
                f"{self.KEY}: {source} must hold weights as model.safetensors, but has {why}; convert it with "
                "transformers' save_pretrained, or take another"
            )
        self.files += [self.path / name for name in more]
        inside(self.path, *self.NEEDED, *self.BESIDE, *(file.name for file in self.files))

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
