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
from serenanet_modules.runs.parakeet_names import our_names
from serenanet_modules.runtime.files import read_json

FOLDER_CONFIG, FOLDER_WEIGHTS = "config.json", "model.safetensors"
FILES = (FOLDER_CONFIG, FOLDER_WEIGHTS)
MOST_JSON = 2**20  # bytes
SIZES = {"d_model": 2**14, "n_heads": 2**8, "n_layers": 2**10, "d_ffn": 2**16, "kernel_size": 2**10, "n_mels": 2**10}
SIZES |= {"filters": 2**14}  # and the largest that any may have


def is_one(path):
    """Whether a path looks like one: a ``.nemo`` file, or a folder whose config.json names a Parakeet."""
    path = Path(path)
    if path.is_dir():
        config = path / FOLDER_CONFIG
        return config.is_file() and b"parakeet" in config.read_bytes()[:MOST_JSON]
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
            told, scaled = _told_by_transformers(config), config.get("encoder_config", config).get("scale_input", True)
        elif self.path.is_file():
            config, tensors = read_nemo(self.path)
            told, scaled = _told_by_nemo(config), _mapping(config, "encoder").get("xscaling", True)
        else:
            raise UserError(f"pretrained: there is neither a folder nor a .nemo file {path}")
        self._sizes = self._checked(told)
        self.tensors = our_names(tensors)
        self._check_shapes()
        if not scaled:  # ours multiplies what it reads by the root of its width
            for kind in ("weight", "bias"):
                self.tensors[f"acoustic.frontend.project.{kind}"] /= self._sizes["d_model"] ** 0.5

    @property
    def overrides(self):
        """See above."""
        top = {key: self._sizes[key] for key in ("n_mels", "d_model")}
        front = {f"frontend.{key}": self._sizes[key] for key in ("filters", "causal")}
        return top | front | {f"encoder.{key}": value for key, value in self._encoder().items()}

    def _encoder(self):
        own = ("n_heads", "n_layers", "d_ffn", "kernel_size", "norm", "window", "global_tokens", "look_aheads")
        return {key: self._sizes[key] for key in (*own, "left_context") if key in self._sizes}

    def _checked(self, told):
        for key, most in SIZES.items():
            value = told[key]
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise UserError(f"{self.path}: its {key} is {value!r}, which is no size of such a model")
        return told

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
        for part, module in parts.items():
            for name, wanted in module.state_dict().items():
                found = self.tensors.get(f"acoustic.{part}.{name}")
                if found is None or found.shape != wanted.shape:
                    has = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
                    raise UserError(
                        f"{self.path}: {part}.{name} {has}, but by its configuration it is {tuple(wanted.shape)}"
                    )


def _told_by_transformers(config):
    """What config.json says, under our keys."""
    if config.get("model_type") not in ("parakeet_ctc", "parakeet_encoder"):
        raise UserError(f"{FOLDER_CONFIG}: model_type is {config.get('model_type')!r}; give a Parakeet with CTC")
    encoder = _mapping(config, "encoder_config") if config["model_type"] == "parakeet_ctc" else config
    _expect(encoder, {"subsampling_factor": 8, "subsampling_conv_kernel_size": 3, "subsampling_conv_stride": 2})
    _expect(encoder, {"hidden_act": "silu"})
    names = {"d_model": "hidden_size", "n_heads": "num_attention_heads", "n_layers": "num_hidden_layers"}
    names |= {"d_ffn": "intermediate_size", "kernel_size": "conv_kernel_size", "n_mels": "num_mel_bins"}
    names |= {"filters": "subsampling_conv_channels"}
    defaults = {"kernel_size": 9, "n_mels": 80, "filters": 256}
    told = {ours: encoder.get(theirs, defaults.get(ours)) for ours, theirs in names.items()}
    return told | {"causal": False, "norm": "batch"}


def _told_by_nemo(config):
    """What model_config.yaml says, under our keys."""
    encoder = _mapping(config, "encoder")
    _expect(encoder, {"subsampling": "dw_striding", "subsampling_factor": 8, "untie_biases": True})
    local = encoder.get("self_attention_model") == "rel_pos_local_attn"
    _expect(encoder, {"self_attention_model": "rel_pos_local_attn" if local else "rel_pos"})
    width = encoder.get("d_model")
    told = {key: encoder.get(key) for key in ("d_model", "n_heads", "n_layers")}
    told["d_ffn"] = width * encoder.get("ff_expansion_factor", 4) if isinstance(width, int) else None
    told["kernel_size"], told["n_mels"] = encoder.get("conv_kernel_size", 9), encoder.get("feat_in", 80)
    told["filters"] = encoder.get("subsampling_conv_channels", 256)
    told["causal"] = encoder.get("causal_downsampling", False)
    told["norm"] = "layer" if encoder.get("conv_norm_type", "batch_norm") == "layer_norm" else "batch"
    context = encoder.get("att_context_size") or [-1, -1]
    if encoder.get("att_context_style", "regular") == "chunked_limited":
        _expect(encoder, {"causal_downsampling": True, "conv_context_size": "causal"})
        pairs = context if isinstance(context[0], list) else [context]
        told |= {"look_aheads": [right for _, right in pairs], "left_context": pairs[0][0]}
    elif local:
        told |= {"window": context[0], "global_tokens": encoder.get("global_tokens", 0)}
    elif context != [-1, -1]:
        raise UserError(f"pretrained: its att_context_size is {context}, which is none that can be had here")
    return told


def _expect(found, wanted):
    for key, value in wanted.items():
        if found.get(key, value) != value:
            raise UserError(f"pretrained: its {key} is {found[key]!r}; only models with {value!r} can be opened")


def _mapping(config, key):
    if not isinstance(config.get(key), dict):
        raise UserError(f"pretrained: its configuration has no '{key}', so it is no Fast Conformer")
    return config[key]


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
            raise ValueError("it is no mapping")
        tensors = load_file(path / FOLDER_WEIGHTS)
    except (ValueError, RecursionError, OSError) as error:
        raise UserError(f"{file}: cannot be read as JSON ({error})") from None
    except SafetensorError as error:
        raise UserError(f"{path / FOLDER_WEIGHTS}: cannot be read as weights ({error})") from None
    encoder = config.get("model_type") == "parakeet_encoder"
    return config, {f"encoder.{name}" if encoder else name: tensor for name, tensor in tensors.items()}
