"""The clusters of masked prediction in a result folder: centroids, and the encoder that they are points of."""

import json

from safetensors import SafetensorError, safe_open

from serenanet_modules.config.foreign import Document
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.heads.clusters import Clusters, EncoderLayer, Spectrum

CLUSTERS = "clusters.safetensors"


def encoder_layer(hparams, tensors, layer):
    """An `EncoderLayer` of a pre-trained model, and its number; null is the middle layer."""
    model = hparams.only(("model",)).build(hparams.source.with_name("weights.safetensors"))["model"]
    model.load_state_dict(tensors)
    layer = layer or -(-model.acoustic.encoder.depth // 2)
    try:
        return EncoderLayer(model.acoustic, layer), layer
    except ValueError as error:
        raise UserError(f"cluster_layer: {error}; see {hparams.source}") from None


def describe_clusters(path):
    """What is known of a clusters file: ``targets``, ``iteration``, ``layer``, and the teacher's ``hyperparams``.

    Raises
    ------
    UserError
        Where it cannot be read.
    """
    return _open(path)[0]


def load_clusters(path):
    """The `Clusters` of a file."""
    about, tensors = _open(path)
    representation = Spectrum()
    if about["hyperparams"] is not None:
        model = Document(about["hyperparams"], path).only(("model",)).build(path)["model"]
        representation = EncoderLayer(model.acoustic, about["layer"])
        prefix = "teacher."
        representation.load_state_dict({n.removeprefix(prefix): t for n, t in tensors.items() if n.startswith(prefix)})
    return Clusters(representation, tensors["centroids"])


def _open(path):
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["clusters"])
            return about, {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError, TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path}: cannot be read as clusters ({error}); delete it to fit them again") from None
