"""``serenanet config`` says which layer says what, and what it prints is the document itself."""

import re

import pytest

from serenanet_modules import cli
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.keys import page
from tests.support.presets import preset
from tests.support.tiny import ROOT

SMALL = [*map(str, preset("serenanet/small")), str(ROOT / "hparams/machine/cpu.yaml")]
RECIPE = str(ROOT / "recipes/CommonVoice/sw")


@pytest.fixture(name="config")
def _config(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)

    def config(*words):
        status = cli.main(["config", *words])
        out, err = capsys.readouterr()
        return status, out if status == 0 else err

    return config


def test_every_line_names_its_layer(config):
    """A value has the last layer that gives it; a part has who chose its class."""
    _, out = config(*SMALL, "--recipe", RECIPE, "--encoder.n-layers", "2", "--length-normalisation")
    lines = {line.partition(":")[0]: line.rpartition(" # ")[2] for line in out.splitlines()}
    assert all(" # " in line for line in out.splitlines())
    assert lines["seed"] == "hparams/serenanet.yaml" and lines["lr"] == "hparams/sizes/serenanet/small.yaml"
    assert lines["max_batch_seconds"] == "hparams/machine/cpu.yaml"
    assert lines["dataset"] == "recipes/CommonVoice/sw/dataset.yaml"
    assert lines["length_normalisation"] == "the command line"
    encoder = re.search(r"^encoder: (.*)\n((?: +.*\n)+)", out, re.M)
    assert encoder[1].endswith("RotaryTransformerEncoder # hparams/serenanet.yaml")
    assert "    n_layers: 2 # the command line" in encoder[2]
    assert "    n_heads: 4 # hparams/sizes/serenanet/small.yaml" in encoder[2]
    assert "data_folder: !PLACEHOLDER # hparams/serenanet.yaml" in out


@pytest.mark.parametrize("name", ["serenanet/demo", "hmamba_early/small", "conmamba_s2s", "pessl", "transformer_lm"])
def test_what_it_prints_is_the_document(config, tmp_path, name):
    """Under the same values it comes to the same hyper-parameters."""
    file = tmp_path / "printed.yaml"
    file.write_text(config(*map(str, preset(name)))[1], encoding="utf-8")
    given = [(key, "x") for key in ("dataset", "locale", "data_folder", "acoustic")]
    printed, shipped = (Hparams.load(files) for files in (file, preset(name)))
    for hparams in (printed, shipped):
        hparams.override([pair for pair in given if pair[0] in hparams])
    file.write_text(shipped.text, encoding="utf-8")
    assert list(printed.tree) == list(shipped.tree) and printed.differences(file) == []
    printed.set("lr", 7.0)
    assert "lr" in printed.differences(file)


def test_a_part_that_is_swapped_is_of_who_swaps_it(config):
    _, out = config(*SMALL, "--frontend", "!include:frontends/conv2d.yaml")
    assert re.search(r"^frontend: .*ConvFrontend # the command line\n    input_size: .* # the command line$", out, re.M)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give a hyper-parameter file first"),
        (["hparams/machine/cpu.yaml"], "cpu.yaml: is a layer over a model; give the model"),
        ([*SMALL, "--lrr", "1"], "the command line: unknown key 'lrr'; did you mean 'lr'?"),
        ([*SMALL, "--device", "cpu"], "--device cpu: a run option, which stands in no file"),
    ],
)
def test_refused(config, words, said):
    status, err = config(*words)
    assert status == 2 and said in err and err.count("\n") == 1


def test_the_table(config):
    assert config("--table") == (0, page())
