"""A result folder says the version of its format; another one is refused in one sentence, by all that open folders."""

import json

import pytest

from serenanet_modules.ablation.plan import Planner
from serenanet_modules.ablation.suite import Suite
from serenanet_modules.analysis.folders import Result
from serenanet_modules.config.foreign import FORMAT, Document
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.runs import language_model, origin
from serenanet_modules.runs.encoder_asr import FolderPretrainer
from serenanet_modules.runs.folder import claim, write_hyperparams
from serenanet_modules.runs.opening import open_run
from tests.support.ablations import DATA, RECIPE, make_suite
from tests.support.presets import preset


def hparams():
    given = [(key, "none") for key in ("dataset", "locale", "data_folder")]
    return Hparams.load(preset("serenanet/demo")).override([*given, ("n_units", "30")])


def recogniser(folder):
    return open_run(folder, "cpu")


def plan(folder):
    """An ablation whose first run has this folder."""
    suite = Suite.read(make_suite(folder.parents[1], full="none", no_pessl="none"))
    runs = Planner(suite, RECIPE, folder.parents[1], DATA).plan(1, only=["no_pessl"]).runs
    assert runs[-1].folder == folder
    return runs[-1].state()


OPENERS = {
    "recogniser": (recogniser, "recogniser"),
    "what to start from": (lambda folder: origin.open_origin(str(folder)), "x"),
    "language model": (language_model.NeuralLMRun, "perplexity"),
    "a run that goes on": (lambda folder: claim(folder, hparams(), "data"), "x"),
    "an ablation": (plan, "x"),
    "a report or comparison": (Result.read, "x"),
    "EncoderASR": (lambda folder: FolderPretrainer(None, None).collect_files(str(folder)), "x"),
}


@pytest.mark.parametrize("version", ["none", "0", "7", "one"])
@pytest.mark.parametrize("opener", OPENERS)
def test_another_version_is_refused(tmp_path, opener, version):
    """The sentence names the file and both versions."""
    opening, measure = OPENERS[opener]
    folder = tmp_path / "no_pessl/1986"
    for name in (*origin.NEEDED, *language_model.NEEDED):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    (folder / "result.json").write_text(json.dumps({measure: {}}), encoding="utf-8")
    text = "" if version == "none" else f"format: {version}\n"
    (folder / "hyperparams.yaml").write_text(hparams().text + text, encoding="utf-8")
    with pytest.raises(UserError) as caught:
        opening(folder)
    said = str(caught.value)
    assert f"{folder / 'hyperparams.yaml'}: the result folder has format {version}, " in said
    assert f"this version of SerenaNet reads format {FORMAT};" in said and "\n" not in said


def test_what_a_run_writes_says_this_one(tmp_path):
    """At its start, again when it goes on; the version is no setting that could differ."""
    (tmp_path / "save").mkdir()
    for _ in range(2):
        claim(tmp_path, hparams(), "data")
        assert Document.of_run(tmp_path).plain()["format"] == FORMAT
    write_hyperparams(tmp_path, hparams())
    assert hparams().differences(tmp_path / "hyperparams.yaml") == []
