"""Hyper-parameter files merged, built and refused, as a recipe has them."""

import pytest

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError

DATASET = {"dataset": ("dataset.yaml", "CommonVoice/sw"), "locale": ("dataset.yaml", "sw")}


def load(file, *overrides, dataset=None):
    return Hparams.load(file, dataset).override(overrides)


def built(file, *overrides, dataset=None):
    return load(file, *overrides, dataset=dataset).build()


def error(file, *overrides, dataset=None):
    """The sentence a user sees."""
    with pytest.raises(UserError) as caught:
        built(file, *overrides, dataset=dataset)
    assert "\n" not in str(caught.value)
    return str(caught.value)
