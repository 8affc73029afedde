"""How many parameters the parts of a preset have."""

import torch

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams


def parameters(files, **changes):
    """Numbers of parameters of front end, encoder and model of hyper-parameter files, without memory for them."""
    hparams = Hparams.load(files, dataset={k: ("the test", "none") for k in ("dataset", "locale", "data_folder")})
    hparams.override([("features", "null"), *changes.items()])  # whose filters are made of numbers
    with torch.device("meta"):
        built = Document(hparams.text, files[-1]).only(["frontend", "encoder", "model"]).build()
    return {name: sum(p.numel() for p in built[name].parameters()) for name in ("frontend", "encoder", "model")}
