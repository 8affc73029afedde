"""Recognisers and pre-trainings that start from other ones: of other units, heads, tasks and languages."""

import pytest
import torch

from serenanet_modules.data.units import load_units
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.presets import preset
from tests.support.tiny import (
    HYBRID,
    HYBRID_MODEL,
    PESSL,
    SAMPLE,
    SHORT_PESSL,
    SIZES,
    Run,
    command,
    make_corpus,
    read_tsv,
    weights,
)

STILL = ("--number_of_epochs", 1, "--lr", 0, "--beam_size", 0, "--lm", "null")  # what was taken stays as it was
OTHER = str.maketrans("aeiou", "ɔɛiou")  # letters of another language
CTC = {
    "hparams": preset("conmamba_ctc"),
    "model": [a for a, before in zip(HYBRID_MODEL, ["", *HYBRID_MODEL], strict=False) if "attention" not in a + before],
}


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """A corpus of another language, some of whose letters are new."""
    rows = [row for split, size in SIZES.items() for row in read_tsv(SAMPLE / f"{split}.tsv")[:size]]
    texts = [row["sentence"].translate(OTHER) for row in rows]
    return make_corpus(tmp_path_factory.mktemp("other") / "mdw", texts, locale="mdw")


def units_of(run):
    return load_units(run.folder / "save/units")


def acoustic(tensors, but=()):
    return {name: t for name, t in tensors.items() if name.startswith("model.acoustic.") and not name.startswith(but)}


def equal(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], tensor) for name, tensor in other.items())


def test_another_language(train, reference, other):
    """A recogniser goes on in another language: statistics and frozen parts are the source's, and it is told so."""
    options = ("--locale", "mdw", "--freeze", "front_end", "--loaded_rate_factor", 0.5)
    run = train(
        *("--number_of_epochs", 1, "--beam_size", 0, *options, "--pretrained", reference.folder), corpus=other
    ).done()
    before, after = weights(reference.folder), weights(run.folder)
    kept = {name for name in acoustic(before) if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name.startswith(("model.acoustic.features", "model.acoustic.frontend"))}
    units, theirs = units_of(run), units_of(reference)
    shared = set(units.pieces) & set(theirs.pieces)
    assert {"ɔ", "ɛ"} <= set(units.pieces) - shared and "<blank>" in shared
    about = run.result["pretrained"]
    assert about["symbols"] == {"kept": len(shared), "of": units.size}
    assert about["units"] == {"kind": "char", "size": theirs.size} and about["locales"] == ["sw"]
    for key in ("experiment", "commit", "epochs"):
        assert about[key] == reference.result[key]
    assert about["folder"] == str(reference.folder) and about["gave"] == "weights" and "tensors" not in about
    assert about["parts"]["encoder"]["loaded"] == run.result["parameters"]["encoder"]
    assert f"parameters from {reference.folder}" in run.output
    assert f"units: {len(shared)} of {units.size} are in the model that it starts from too" in run.output
    card = (run.folder / "README.md").read_text(encoding="utf-8")
    assert f"| started from | {about['experiment']}, commit {about['commit']}, " in card
    assert f"of sw, {theirs.size} units of kind char, {len(shared)} of {units.size} symbols kept |" in card


def test_other_units(train, reference):
    """Rows of symbols that both have are the source's, through a training whose rate is 0."""
    run = train(*STILL, "--units", "bpe", "--vocab_size", 40, "--pretrained", reference.folder).done()
    before, after = weights(reference.folder), weights(run.folder)
    assert equal(acoustic(before), acoustic(after))
    units, theirs = units_of(run).pieces, units_of(reference).pieces
    shared = [(i, theirs.index(piece)) for i, piece in enumerate(units) if piece in theirs]
    assert shared[0] == (0, 0) and len(shared) < len(units)
    for name in ("decoder.weight", "decoder.bias", "car.out.weight", "car.out.bias"):
        assert all(torch.equal(after[f"model.{name}"][i], before[f"model.{name}"][j]) for i, j in shared)
        assert len(after[f"model.{name}"]) == len(units)


def test_heads_come_and_go(train, corpus, tmp_path):
    """Hybrid to CTC to hybrid again: the attention decoder is left out, and then made new."""
    hybrid = Run(command(corpus, tmp_path / "hybrid", *STILL, **HYBRID), tmp_path / "hybrid").done()
    chars = ("--units", "char", "--pretrained")
    ctc = train(*STILL, *chars, hybrid.folder, folder=tmp_path / "ctc", **CTC).done()
    again = train(*STILL, *chars, ctc.folder, folder=tmp_path / "again", **HYBRID).done()
    first, second, third = (weights(run.folder) for run in (hybrid, ctc, again))
    assert equal(acoustic(first), acoustic(second)) and equal(acoustic(first), acoustic(third))
    assert ctc.result["pretrained"]["parts"]["attention"]["left_out"] > 0
    assert torch.equal(third["model.decoder.weight"], second["model.decoder.weight"])  # the same characters
    parts = again.result["pretrained"]["parts"]
    assert parts["attention"]["new"] == again.result["parameters"]["attention"] and not parts["attention"]["loaded"]
    assert Recognizer.from_folder(again.folder).units.pieces == units_of(ctc).pieces


def test_a_pretraining_from_a_recogniser_and_on(train, reference, other, tmp_path):
    """Masked prediction on the speech of another language by a recogniser's encoder, then a recogniser of that."""
    given = (*SHORT_PESSL, "--number_of_epochs", 1, "--lr", 0, "--pretrained", reference.folder)
    pessl = train(*given, corpus=other, folder=tmp_path / "pessl", **PESSL).done()
    first, second = weights(reference.folder), weights(pessl.folder)
    masked = "model.acoustic.pessl."
    assert equal(acoustic(first), acoustic(second, but=masked)) and any(name.startswith(masked) for name in second)
    about = pessl.result["pretrained"]
    assert about["parts"]["pessl"]["new"] > 0 and about["parts"]["decoder"]["left_out"] > 0 and "symbols" not in about
    assert (pessl.folder / "save/clusters.safetensors").is_file()
    run = train(*STILL, "--locale", "mdw", "--pretrained", pessl.folder, corpus=other).done()
    assert equal(acoustic(first), acoustic(weights(run.folder)))
    assert run.result["pretrained"]["experiment"] == "pessl_small" and run.result["pretrained"]["iteration"] == 1


def test_what_cannot_be_had(train, tmp_path):
    """A name on the hub that is not in the cache, without a network, before anything is prepared."""
    prepared = tmp_path / "prepared"
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(tmp_path)}
    run = train("--prepared_folder", prepared, "--pretrained", "nobody/nothing", environment=offline)
    assert run.wait(30) == 2, run.output
    last = run.output.splitlines()[-1]
    assert "pretrained: nobody/nothing is no folder here, and HF_HUB_OFFLINE switches the Hugging Face hub off" in last
    assert "Traceback" not in run.output and not prepared.exists()
