"""Finished models to start from, of random weights, and models that start from them."""

import json

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.start import Start
from tests.support.folders import make_random_result
from tests.support.presets import preset

SMALL = [("encoder.n_layers", "1"), ("d_model", "32"), ("encoder.d_ffn", "64")]
RUN = {"experiment": "x", "commit": "y", "epochs": 1, "data": {"locales": ["sw"], "splits": {"train": {"hours": 1.5}}}}


def make_origin(folder, name="serenanet/demo", *overrides, **options):
    """A result folder as of `make_random_result`, with a result.json."""
    make_random_result(folder, preset(name), *SMALL, *overrides, **options)
    (folder / "result.json").write_text(json.dumps(RUN), encoding="utf-8")
    return folder


def new_model(units, name="serenanet/demo", *overrides):
    """(hyper-parameters, model) of a run with these units, or None."""
    hparams = Hparams.load(preset(name))
    hparams.override([("data_folder", "none"), ("dataset", "Random/sw"), ("locale", "sw"), *SMALL, *overrides])
    hparams.set("n_units", 7 if units is None else units.size)
    return hparams, hparams.build()["model"]


def start(folder, hparams, model, units=None):
    """The `Start` of a run, with its statistics and weights taken."""
    begun = Start(open_origin(str(folder)), hparams, model, 1, units, getattr(model, "unit_parts", ()))
    if statistics := begun.statistics(model.acoustic):
        model.acoustic.set_statistics(statistics)
    begun.transfer.load_into(model)
    return begun
