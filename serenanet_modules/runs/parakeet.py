"""Fast Conformers that others trained with CTC: NeMo's files, and Parakeet's folders as transformers write them."""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from serenanet_modules.config.foreign import inside
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.encoders import FastConformerEncoder
from serenanet_modules.lobes.frontends import DepthwiseStriding
from serenanet_modules.runs.nemo import read_nemo
from serenanet_modules.runs.parakeet_config import told_by_nemo, told_by_transformers
from serenanet_modules.runs.parakeet_names import our_names
from serenanet_modules.runtime.files import read_json

FOLDER_CONFIG, FOLDER_WEIGHTS = "config.json", "model.safetensors"
FILES = (FOLDER_CONFIG, FOLDER_WEIGHTS)
MOST_JSON = 2**20  # bytes
OURS = ("acoustic.frontend.", "acoustic.encoder.")


def is_one(path):
    """Whether a path looks like one: a ``.nemo`` file, or a folder whose config.json names a Parakeet."""
    path = Path(path)
    if path.is_dir():
        if not (path / FOLDER_CONFIG).is_file():
            return False
        with open(path / FOLDER_CONFIG, "rb") as file:
            return b"parakeet" in file.read(MOST_JSON)
    return path.suffix == ".nemo"


class ParakeetSource:
    """A trained Fast Conformer, its weights under the names of a `CTCModel` of the preset fast_conformer.

    Parameters
    ----------
    path : str or Path
        A ``.nemo`` file, or a folder with config.json and model.safetensors.

    Attributes
    ----------
    overrides : dict
        What makes the preset fast_conformer the model that the weights are of: values by key.
    tensors : dict of str to Tensor
        Of the front end (``acoustic.frontend.``), the encoder (``acoustic.encoder.``) and, where there is one, the
        head (``decoder.``), whose last class is blank.

    Raises
    ------
    UserError
        For anything else; one sentence, and nothing is written or run.
    """

    def __init__(self, path):
        self.path = Path(path)
        if self.path.is_dir():
            config, tensors = _read_folder(self.path)
            self._sizes = told_by_transformers(config, self.path / FOLDER_CONFIG)
        elif self.path.is_file():
            config, tensors = read_nemo(self.path)
            self._sizes = told_by_nemo(config, self.path)
        else:
            raise UserError(f"pretrained: there is neither a folder nor a .nemo file {path}")
        try:
            self.tensors = our_names(tensors)
        except ValueError as error:
            raise UserError(f"{self.path}: {error}; it does not hold the weights of a Fast Conformer") from None
        self._check_shapes()
        if not self._sizes["scaled"]:  # ours multiplies what it reads by the root of its width
            for name in ("acoustic.frontend.project.weight", "acoustic.frontend.project.bias"):
                self.tensors[name] = self.tensors[name] / self._sizes["d_model"] ** 0.5

    @property
    def overrides(self):
        """See above."""
        top = {key: self._sizes[key] for key in ("n_mels", "d_model")}
        front = {f"frontend.{key}": self._sizes[key] for key in ("filters", "causal")}
        return top | front | {f"encoder.{key}": value for key, value in self._encoder().items()}

    def _encoder(self):
        own = ("n_heads", "n_layers", "d_ffn", "kernel_size", "norm", "window", "global_tokens", "look_aheads")
        return {key: self._sizes[key] for key in (*own, "left_context") if key in self._sizes}

    def _check_shapes(self):
        """Refuse weights that are not those of the model that the configuration describes."""
        sizes = self._sizes
        try:
            with torch.device("meta"):
                parts = {
                    "frontend": DepthwiseStriding(sizes["n_mels"], sizes["d_model"], sizes["filters"], sizes["causal"]),
                    "encoder": FastConformerEncoder(sizes["d_model"], **self._encoder()),
                }
        except (TypeError, ValueError) as error:
            raise UserError(f"{self.path}: its configuration describes no model ({error})") from None
        wanted = {f"acoustic.{part}.{name}": t for part in parts for name, t in parts[part].state_dict().items()}
        for name in [*wanted, *(name for name in self.tensors if name.startswith(OURS))]:
            found = self.tensors.get(name)
            if name not in wanted or found is None or found.shape != wanted[name].shape:
                has = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
                by = f"it is {tuple(wanted[name].shape)}" if name in wanted else "there is none"
                raise UserError(f"{self.path}: {name.removeprefix('acoustic.')} {has}, but by its configuration {by}")


def _read_folder(path):
    inside(path, FOLDER_CONFIG, FOLDER_WEIGHTS)
    for name in (FOLDER_CONFIG, FOLDER_WEIGHTS):
        if not (path / name).is_file():
            raise UserError(
                f"pretrained: {path} has no {name}; give a folder as transformers' save_pretrained writes it"
            )
    file = path / FOLDER_CONFIG
    try:
        if file.stat().st_size > MOST_JSON:
            raise ValueError("it is far too long")
        config = read_json(file)
        if not isinstance(config, dict):
            raise ValueError("it is no JSON object")
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error})") from None
    try:
        tensors = load_file(path / FOLDER_WEIGHTS)
    except (SafetensorError, OSError) as error:
        raise UserError(f"{path / FOLDER_WEIGHTS}: cannot be read as weights ({error})") from None
    encoder = config.get("model_type") == "parakeet_encoder"
    return config, {f"encoder.{name}" if encoder else name: tensor for name, tensor in tensors.items()}
