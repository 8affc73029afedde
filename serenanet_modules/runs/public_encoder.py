"""A public encoder's folder, of anybody's making: its configuration as plain data, its weights as safetensors.

Nothing in it is run. Of the configuration only known keys of known families are read, pickles and code are refused, and
sizes are compared with those of the weights before anything takes memory.
"""

import contextlib
import hashlib
import json
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from serenanet_modules.config.foreign import bounded, inside
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.lobes.pretrained.families import known
from serenanet_modules.runs import hub

PART, CLASS = "encoder", "serenanet_modules.lobes.pretrained.PublicEncoder"  # of hyper-parameters
BESIDE = "encoder"  # folder in a result folder, where who moved it may put the source
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
    source : str
        A path from the root, or the name.
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
        wanted = [CONFIG, PREPROCESSOR, WEIGHTS, *([] if language is None else [ADAPTER.format(language)])]
        self.path, self.revision = hub.local(source, wanted, "encoder.source", revision)
        self.source = source if self.revision else os.path.abspath(source)
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
        except UserError:
            raise
        except Exception as error:  # of transformers' own checks, and of sizes that nothing can be made of
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


def take_weights(encoder, folder=None):
    """Load a `PublicEncoder` from the source that it names.

    Parameters
    ----------
    encoder : PublicEncoder
    folder : Path, optional
        A result folder, in which the source may lie.

    Raises
    ------
    UserError
        Where that is not there any more, or holds other weights.
    """
    source = _source(vars(encoder), folder)
    if encoder.sha256 is not None and source.sha256 != encoder.sha256:
        raise UserError(
            f"encoder.source: the weights in {source.path} are others than those of this run (their SHA-256 is "
            f"{source.sha256}, not {encoder.sha256}); give the same ones"
        )
    try:
        encoder.load(source.tensors())
    except ValueError as error:
        raise UserError(f"encoder.source: {source.path} cannot be used: {error}") from None


def encoder_of(model):
    """The `PublicEncoder` of a recogniser or a pre-training, None where it has none."""
    encoder = getattr(getattr(model, "acoustic", None), PART, None)
    return encoder if isinstance(encoder, PublicEncoder) else None


def referenced(model):
    """Names of a model's tensors that a result folder lacks, because it says where they are from."""
    encoder = encoder_of(model)
    if encoder is None or encoder.keep == "copy":
        return frozenset()
    return frozenset(f"acoustic.{PART}.{name}" for name in encoder.state_dict())


def weight_files(document, weights):
    """All files of the weights of a result folder's model: its own, and those that it refers to.

    Parameters
    ----------
    document : Document
    weights : Path
        Its own.
    """
    told = document.arguments(PART, CLASS)
    return [weights, *(_source(told, weights.parent).files if told.get("keep") == "reference" else ())]


def _source(told, folder):
    """The `EncoderFolder` of an encoder's ``source``, ``revision`` and ``language``."""
    beside = None if folder is None else Path(folder) / BESIDE
    if beside is not None and beside.is_dir():
        return EncoderFolder(str(beside), None, told["language"])
    try:
        return EncoderFolder(told["source"], told["revision"], told["language"])
    except UserError as error:
        hint = "" if folder is None else f"; a copy of it may lie in {beside}"
        raise UserError(f"{error}{hint}") from None


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
