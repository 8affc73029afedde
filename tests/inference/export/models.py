"""Result folders of small models that never trained: random weights, and an aversion to blank."""

import torch
from safetensors.torch import save_file
from torch import nn

from serenanet_modules.data.units import train_units
from serenanet_modules.hparams import Hparams
from tests.integration.tiny import ROOT

TEXTS = ["kisu hiki alikitengeneza mwaka jana", "ng'ombe wanakula majani", "habari za asubuhi"]
BLANK_PENALTY = 2.0  # nats


def make_result(folder, hparams, *overrides, units="char", vocab_size=None):
    """Write what a training would have left, with weights of a fixed seed.

    Parameters
    ----------
    folder : Path
    hparams : str
        A file of hparams/.
    *overrides : (str, str)
        Key and yaml text.
    units : str
    vocab_size : int, optional

    Returns
    -------
    Path
        The folder.
    """
    outputs = train_units(units, TEXTS, vocab_size, folder / "save/units")
    given = {"dataset": "none", "locale": "sw", "data_folder": "none", "prepared_folder": "none"}
    asked = Hparams.load(ROOT / "hparams" / hparams, dataset={k: ("the test", v) for k, v in given.items()})
    asked.override([("output_folder", str(folder)), ("n_mels", "40"), ("features.n_fft", "512"), *overrides])
    asked.set("n_units", outputs.size)
    (folder / "hyperparams.yaml").write_text(asked.text, encoding="utf-8")
    torch.manual_seed(0)
    built = asked.build()
    modules = nn.ModuleDict({name: built[name] for name in ("features", "model")})
    with torch.no_grad():
        modules["features"].mean.fill_(-20.0)
        modules["features"].std.fill_(12.0)
        modules["model"].decoder.weight.mul_(4)  # labels that differ from frame to frame
        modules["model"].decoder.bias[0] -= BLANK_PENALTY
    save_file(modules.state_dict(), folder / "weights.safetensors")
    return folder
