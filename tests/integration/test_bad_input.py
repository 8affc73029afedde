"""Bad input ends in one sentence that names file and key, at once and without a traceback."""

import time

import pytest
import torch

from tests.support.hooks import slow
from tests.support.presets import preset
from tests.support.tiny import PAIRS, ROOT, make_corpus

NOT_HERE = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")

CASES = {
    "unknown key": (["--learning_rate", "1"], ["learning_rate", "the command line"]),
    "unknown nested key": (["--encoder.n_layer", "1"], ["'encoder.n_layer'", "did you mean 'n_layers'"]),
    "unknown run option": (["--devices=cpu"], ["devices"]),
    "wrong type": (["--number_of_epochs", "many"], ["'number_of_epochs' must be a whole number, not 'many'"]),
    "wrong nested type": (["--encoder.n_heads", "2.5"], ["'encoder.n_heads' must be a whole number"]),
    "wrong type of a key without a value": (["--lm_weight", "heavy"], ["lm_weight", "heavy"]),
    "no value": (["--seed", "--lr", "0.1"], ["--seed", "one value"]),
    "size that cannot be": (["--d_model", "33"], ["sizes/serenanet/small.yaml", "d_model 33"]),
    "empty mel filters": (["--n_mels", "200"], ["sizes/serenanet/small.yaml", "n_mels 200", "empty mel filters"]),
    "unknown precision": (["--precision", "fp7"], ["'precision' must be one of"]),
    "unknown scoring": (["--scoring", "both"], ["'scoring' must be one of decoder, car, average"]),
    "unknown units": (["--units", "syllable"], ["units", "syllable"]),
    "no step": (["--grad_accumulation_factor", "0"], ["grad_accumulation_factor"]),
    "no threads": (["--preparation.jobs", "-1"], ["'preparation.jobs' must be a whole number from 1 or null"]),
    "gradient turned round": (["--max_grad_norm", "-1"], ["'max_grad_norm' must be more than 0"]),
    "negative rate": (["--lr", "-0.1"], ["'lr' must be at least 0"]),
    "unsupported run option": (["--debug"], ["'--debug' of SpeechBrain is not supported"]),
    "wrong type in preparation": (["--preparation.frame_rate", "fast"], ["'preparation.frame_rate' must be a number"]),
    "phonemes of an unknown language": (["--units", "phoneme", "--locale", "xx"], ["xx"]),
    "missing data folder": (["--data_folder", "/no/such/folder"], ["data_folder: there is no file or folder /no/such"]),
    "no release": (["--data_folder", str(ROOT / "hparams")], ["there is no train.tsv"]),
    "missing language model": (["--lm", "missing.arpa"], ["lm: there is no file missing.arpa"]),
    "vocabulary too large": (
        ["--units", "bpe", "--vocab_size", "5000"],
        ["sizes/serenanet/small.yaml", "vocab_size is 5000", "at most"],
    ),
    "other number of units": (["--n_units", "7"], ["'n_units' is 7", "char units"]),
    "fp16 without a GPU": (["--precision", "fp16"], ["'precision' fp16 needs a GPU", "use bf16 or fp32"]),
    "RepDL": (["--reproducible", "repdl"], ["repdl: RepDL lacks ", "LayerNorm (", "it lacks the CTC loss and AdamW"]),
    "fp8 without a GPU": (["--eval_precision", "fp8"], ["'eval_precision' fp8 needs a GPU", "or --emulate_precision"]),
    "CUDA without a GPU": (["--device=cuda"], ["no usable GPU"]),
}


@pytest.mark.parametrize(
    "arguments, words",
    [pytest.param(*case, id=name, marks=[NOT_HERE] if "GPU" in name else []) for name, case in CASES.items()],
)
def test_one_sentence(train, tmp_path, arguments, words):
    """Each is found before preparation: nothing is decoded and no result is begun."""
    prepared = tmp_path / "prepared"
    ends_badly(train("--prepared_folder", prepared, *arguments), *words)
    assert not prepared.exists()


def ends_badly(run, *words):
    """The run ends with status 2 within 15 seconds, and its last line is a sentence with these words."""
    assert run.wait(15) == 2, run.output
    assert "Traceback" not in run.output
    sentence = run.output.splitlines()[-1]
    assert sentence.startswith("error: ")
    for word in words:
        assert word in sentence


@pytest.mark.parametrize(("backend", "told"), [("bogus", "choose one of fused"), ("fused", "need a GPU")])
def test_backends_that_cannot_run(train, tmp_path, backend, told):
    """The environment's choice of a backend is looked at before preparation too."""
    environment = {"SERENANET_OPS_BACKEND": backend}
    run = train("--prepared_folder", tmp_path / "prepared", "--device=cpu", environment=environment)
    ends_badly(run, "SERENANET_OPS_BACKEND", backend, told)
    assert not (tmp_path / "prepared").exists()


def test_missing_hparams_file(train):
    """A file that is not there."""
    ends_badly(train(hparams=preset("serena")), "hparams/serena.yaml", "no such hyper-parameter file")


def test_no_dev_list(train, tmp_path):
    """A release whose dev.tsv holds only the header cannot choose a checkpoint."""
    release = make_corpus(tmp_path / "release")
    header = (release / "dev.tsv").read_text(encoding="utf-8").splitlines()[0]
    (release / "dev.tsv").write_text(header + "\n", encoding="utf-8")
    ends_badly(train(corpus=release), "the list of dev is empty")


def test_other_settings(train, reference):
    """A result folder keeps its settings: others are refused by name, and what is there still stands."""
    before = (reference.folder / "hyperparams.yaml").read_bytes()
    folder = reference.folder
    ends_badly(train(*PAIRS, "--weight_decay", "0.5", folder=folder), str(folder), "(weight_decay, opt_class)")
    ends_badly(train(*PAIRS, "--d_model", "16", folder=folder), "d_model")
    assert (reference.folder / "hyperparams.yaml").read_bytes() == before


def test_used_result_folder(train):
    """A second run in the result folder of one that lives is refused; one that died leaves no lock."""
    first = train(*PAIRS, hooks=[slow])
    first.until((first.folder / "training").exists)
    ends_badly(train(*PAIRS), str(first.folder), "another run is using this result folder")
    first.kill()
    started = time.monotonic()
    second = train(*PAIRS, hooks=[slow])
    second.until(lambda: "train" in second.output or second.process.exitcode is not None)
    assert "another run" not in second.output and time.monotonic() - started < 15
    second.kill()
