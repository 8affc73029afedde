"""Recognisers of SpeechBrain's recipes as folders of the hub hold them: weights, and statistics of features.

Their hyperparams.yaml is a program, and is not run. What fits here are recipes with a convolutional front end and a
Conformer, such as LibriSpeech's: `lobes.frontends.ConvFrontend` and `lobes.encoders.ConformerEncoder` are made of the
same modules. Heads, over units and in an order that only the program knows, are left out.
"""

import re

import ruamel.yaml
import torch

from serenanet_modules.config.foreign import MALFORMED, MOST_TEXT, inside
from serenanet_modules.errors import UserError
from serenanet_modules.runs.pickled import in_a_line, load_pickled

YAML, NORMALIZER = "hyperparams.yaml", "normalizer.ckpt"
MODELS = ("asr.ckpt", "model.ckpt")
FILES = (*MODELS, NORMALIZER)
LAYER = r"encoder\.(layers\.\d+\.)"
ENCODER = "acoustic.encoder.transformer."
NAMES = (  # a name without the number that it begins with, and ours
    (r"(convblock_\d+\.)", r"acoustic.frontend.convolutions.\1"),
    (r"custom_src_module\.layers\.0\.w\.", r"acoustic.frontend.project.0."),
    (LAYER + r"convolution_module\.", ENCODER + r"encoder.\1convolution_module.module."),
    (r"encoder\.", ENCODER + "encoder."),
    (r"positional_encoding\.inv_freq$", ENCODER + "positional_encoding.inv_freq"),
)
PROJECTION = ENCODER + "custom_src_module.layers.0.w."  # which our encoder has besides the front end's
FEATURES = {
    "n_mels": 40,
    "n_fft": 400,
    "win_length": 25,
    "hop_length": 10,
}  # SpeechBrain's, where the file says no other


def is_one(folder):
    """Whether a folder is such a one, and not of this project."""
    theirs = any((folder / name).is_file() for name in MODELS)
    return theirs and not (folder / "weights.safetensors").is_file()


def tensors(folder):
    """Tensors by our names; what has no place in our models begins with ``speechbrain.``.

    Raises
    ------
    UserError
        Where the files hold more than tensors.
    """
    inside(folder, YAML, *FILES)
    found = _loaded(next(folder / name for name in MODELS if (folder / name).is_file()))
    renamed = {_ours(name): tensor for name, tensor in found.items() if isinstance(tensor, torch.Tensor)}
    width = renamed.get("acoustic.frontend.project.0.bias")
    if width is not None:  # what comes from our front end is what their encoder reads
        renamed |= {f"{PROJECTION}weight": torch.eye(len(width)), f"{PROJECTION}bias": torch.zeros(len(width))}
    return renamed | _statistics(folder / NORMALIZER)


def features(folder):
    """Arguments of an `AbsoluteLogMel` that gives a folder's features."""
    try:
        with open(folder / YAML, encoding="utf-8") as file:
            said = ruamel.yaml.YAML(typ="rt").load(file.read(MOST_TEXT))  # plain nodes, whatever their tags ask for
        found = {name: said.get(name, usual) for name, usual in FEATURES.items()}
    except (OSError, UnicodeDecodeError, RecursionError, *MALFORMED) as error:
        raise UserError(f"{folder / YAML}: cannot be read as yaml ({str(error).partition(chr(10))[0]})") from None
    return {name: value if isinstance(value, int) else FEATURES[name] for name, value in found.items()}


def _ours(name):
    plain = re.sub(r"^(\d+\.)+", "", name)
    for pattern, ours in NAMES:
        renamed, count = re.subn(f"^{pattern}", ours, plain)
        if count:
            return renamed
    return f"speechbrain.{name}"


def _loaded(path):
    """The mapping in a checkpoint."""
    try:
        with open(path, "rb") as file:
            found = load_pickled(file)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as tensors alone ({in_a_line(error)})") from None
    if not isinstance(found, dict):
        raise UserError(f"{path}: holds no tensors by name")
    return found


def _statistics(path):
    """Mean and deviation of features, where the folder has them."""
    if not path.is_file():
        return {}
    found = _loaded(path)
    values = {"acoustic.features.mean": found.get("glob_mean"), "acoustic.features.std": found.get("glob_std")}
    if not all(isinstance(value, torch.Tensor) and value.numel() > 1 for value in values.values()):
        return {}
    return {name: value.flatten() for name, value in values.items()}
