"""A public encoder's folder, of anybody's making: its configuration as plain data, its weights as safetensors.

Nothing in it is run. Of the configuration only known keys of known families are read, pickles and code are refused, and
sizes are compared with those of the weights before anything takes memory.
"""

import contextlib
import hashlib
import json
import re

import torch
from safetensors import SafetensorError, safe_open

from serenanet_modules.config.foreign import bounded, inside
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.lobes.pretrained.families import known
from serenanet_modules.runs import hub

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
WEIGHTS, ADAPTER = "model*.safetensors", "adapter.{}.safetensors"
PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.h5", "*.msgpack")
MOST_JSON = 2**20  # bytes


class EncoderFolder:
    """A folder as transformers write it, on this machine or of the Hugging Face hub.

    Parameters
    ----------
    source : str
        A path, or a name on the hub.
    revision : str, optional
        Of a name on the hub; None takes the newest.
    language : str, optional
        Of MMS: whose adapter is wanted too.

    Attributes
    ----------
    path : Path
    revision : str or None
        The commit, of a name on the hub.
    files : list of Path
        Of the weights; those of an adapter come last.

    Raises
    ------
    UserError
        For what is not there, or is no such folder.
    """

    def __init__(self, source, revision=None, language=None):
        self.source = source
        wanted = [CONFIG, PREPROCESSOR, WEIGHTS, *([] if language is None else [ADAPTER.format(language)])]
        self.path, self.revision = hub.local(source, wanted, "encoder.source", revision)
        missing = [name for name in (CONFIG,) if not (self.path / name).is_file()]
        if missing:
            raise UserError(f"encoder.source: {source} has no {missing[0]}; give a folder as transformers write it")
        self.files = sorted(self.path.glob(WEIGHTS))
        if not self.files:
            pickled = sorted(file.name for kind in PICKLES for file in self.path.glob(kind))
            why = f"only {pickled[0]}, which may hold anybody's code" if pickled else "none"
            raise UserError(
                f"encoder.source: {source} must hold weights as model.safetensors, but has {why}; convert it with "
                "transformers' save_pretrained, or take another"
            )
        if language is not None:
            self.files.append(self.path / ADAPTER.format(language))
            if not self.files[-1].is_file():
                raise UserError(f"encoder.language: {source} has no {self.files[-1].name}")
        inside(self.path, CONFIG, PREPROCESSOR, *(file.name for file in self.files))

    def arguments(self):
        """``config`` of `PublicEncoder`, plain values.

        Raises
        ------
        UserError
            For a configuration of no known family, and one that the weights do not fit.
        """
        config, told = _json(self.path / CONFIG), _json(self.path / PREPROCESSOR)
        try:
            _, values = known({**config, "do_normalize": told.get("do_normalize", True)})
            if told.get("sampling_rate", 16000) != 16000:
                raise ValueError(f"the preprocessor wants {told['sampling_rate']!r} Hz, not 16000")
            self._check_sizes(values)
        except (TypeError, ValueError) as error:
            reason = re.sub(r"\s+", " ", str(error)).strip()
            raise UserError(f"encoder.source: {self.source} cannot be used: {reason}") from None
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def _check_sizes(self, config):
        """Build it without memory, and compare it with what the files say of themselves."""
        with bounded(*self.files), torch.device("meta"):
            encoder = PublicEncoder(self.source, config)
        encoder.check(self._shapes())

    def _shapes(self):
        shapes = {}
        for file in self.files:
            with _opened(file) as tensors:
                shapes |= {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
        return shapes

    def tensors(self):
        """Weights by transformers' names; of what an adapter has, its."""
        found = {}
        for file in self.files:
            with _opened(file) as tensors:
                found |= {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
        return found

    @property
    def sha256(self):
        """Of the weights' files, one after the other."""
        digest = hashlib.sha256()
        for file in self.files:
            with open(file, "rb") as stream:
                while block := stream.read(2**24):
                    digest.update(block)
        return digest.hexdigest()


def take_weights(encoder):
    """Load a `PublicEncoder` from the source that it names.

    Raises
    ------
    UserError
        Where that is not there any more, or holds other weights.
    """
    folder = EncoderFolder(encoder.source, encoder.revision, encoder.language)
    if encoder.sha256 is not None and folder.sha256 != encoder.sha256:
        raise UserError(
            f"encoder.source: the weights in {encoder.source} are others than those of this run (their SHA-256 is "
            f"{folder.sha256}, not {encoder.sha256}); give the same ones"
        )
    try:
        encoder.load(folder.tensors())
    except ValueError as error:
        raise UserError(f"encoder.source: {encoder.source} cannot be used: {error}") from None


def _json(path):
    """A small file's mapping; {} where there is none."""
    if not path.is_file():
        return {}
    try:
        if path.stat().st_size > MOST_JSON:
            raise ValueError("it is far too long")
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no mapping")
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
