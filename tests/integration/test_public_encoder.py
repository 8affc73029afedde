"""A public encoder with CTC through all of a recogniser's life: trained, killed, resumed, used, exported."""

import json

import pytest
import torch
from safetensors.torch import load_file
from speechbrain.inference.ASR import EncoderASR

from serenanet_modules.data.audio import load
from serenanet_modules.errors import UserError
from serenanet_modules.export.command import export
from serenanet_modules.inference.align import align_text
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from serenanet_modules.runs.public_encoder import EncoderFolder
from tests.support import hooks
from tests.support.encoders import save_encoder
from tests.support.folders import babble
from tests.support.presets import preset
from tests.support.tiny import Run, checkpoints, command, decoded, heard, same, weights

HEAD = ("--d_model", 32, "--head.n_layers", 1, "--head.n_heads", 2, "--head.d_ffn", 32)
ENCODER = "model.acoustic.encoder.network."


@pytest.fixture(scope="module", name="encoder")
def _encoder(tmp_path_factory):
    return save_encoder(tmp_path_factory.mktemp("encoders") / "wavlm", "wavlm")


@pytest.fixture(name="begin")
def _begin(train, encoder):
    """Start a run on an encoder."""

    def begin(*more, source=encoder, **options):
        model = ["--encoder.source", source, *HEAD]
        return train(*more, hparams=preset("pretrained_ctc"), model=[str(part) for part in model], **options)

    return begin


@pytest.fixture(scope="module", name="run")
def _run(corpus, encoder, tmp_path_factory):
    """A whole job of two epochs, which learns so little that it says something."""
    folder = tmp_path_factory.mktemp("public") / "run"
    more = ("--number_of_epochs", 2, "--lr", 1e-5, "--beam_size", 0, "--encoder_cache", "null")
    model = [str(part) for part in ("--encoder.source", encoder, *HEAD)]
    return Run(command(corpus, folder, *more, hparams=preset("pretrained_ctc"), model=model), folder, [babble]).done()


def test_the_folder_holds_the_encoder(run, encoder):
    """Bit for bit as it was, and what it is, and where from; checkpoints lack it."""
    held, source = weights(run.folder), EncoderFolder(str(encoder))
    tensors = source.tensors()
    assert torch.equal(held[f"{ENCODER}body.layer_norm.weight"], tensors["encoder.layer_norm.weight"])
    unused = {"masked_spec_embed"}  # of masks that are off
    assert sum(name.startswith(ENCODER) for name in held) == len(tensors.keys() - unused)
    text = (run.folder / "hyperparams.yaml").read_text(encoding="utf-8")
    assert f"sha256: {source.sha256}" in text and "model_type: wavlm" in text
    for checkpoint in checkpoints(run.folder):
        kept = torch.load(checkpoint / "model.ckpt", weights_only=True)
        assert kept and not any(name.startswith("acoustic.encoder.") for name in kept)
    assert set(run.result["history"][0]["train"]) == {"loss", "ctc"}
    assert not (run.folder / "save/statistics.pt").exists()


def test_it_is_used(run, corpus, encoder, tmp_path):
    """Text and times as the evaluation's; alignment; SpeechBrain; no stream; a card; and the source is not needed."""
    hidden = encoder.rename(encoder.with_name("moved"))
    try:
        recognizer = Recognizer.from_folder(run.folder)
        rows = decoded(run.folder, "test")
        clips = heard(corpus, run.folder, rows)
        found = recognizer.transcribe(clips)
        assert [transcript.text for transcript in found] == [row["decoder/greedy"] for row in rows]
        tokens = [token for transcript in found for token in transcript.tokens]
        assert tokens and all(abs(token.start / 0.04 - round(token.start / 0.04)) < 1e-4 for token in tokens)
        aligned = align_text(recognizer, clips[0], "mama")
        assert aligned.text == "mama" and 0 <= aligned.tokens[0].start < aligned.tokens[-1].end
        asr = EncoderASR.from_hparams(source=str(run.folder))
        assert asr.transcribe_file(str(clips[0])) == found[0].text != ""
        with pytest.raises(UserError, match="cannot stream: EncodedModel reads whole utterances only"):
            Streamer(recognizer).feed(load(clips[0]))
    finally:
        hidden.rename(encoder)
    card, sha256 = (run.folder / "README.md").read_text(encoding="utf-8"), EncoderFolder(str(encoder)).sha256
    assert "Error rates" in card and f"| public encoder | wavlm, SHA-256 {sha256} |" in card
    assert run.result["public"] == [{"part": "public encoder", "source": "wavlm", "sha256": sha256}]


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "torchscript"])
def test_it_exports(run, tmp_path, to):
    lines = []
    export(run.folder, to, out=tmp_path, say=lines.append)
    assert "largest difference from the model in 7 batches" in lines[0]
    assert json.loads((tmp_path / "model.json").read_text())["frame_seconds"] == 0.04


def test_killed_and_resumed(begin, encoder, tmp_path):
    """It ends as the run that nothing disturbed, also without the source meanwhile; the encoder keeps its bits."""
    whole = begin("--number_of_epochs", 2, folder=tmp_path / "whole").done()
    run = begin("--number_of_epochs", 2, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow])
    run.until(lambda: checkpoints(run.folder))
    run.kill()
    moved = encoder.rename(encoder.with_name("moved"))
    try:
        run = begin("--number_of_epochs", 2).done()
    finally:
        moved.rename(encoder)
    assert same(run, whole)
    kept = load_file(run.folder / "save/frozen.safetensors")
    assert all(torch.equal(tensor, weights(run.folder)[f"model.{name}"]) for name, tensor in kept.items())
    assert all(name.startswith("acoustic.encoder.") for name in kept) and kept


def test_all_of_it_learns(begin, encoder):
    """Without `freeze` all but the convolutions change; the folder still stands alone."""
    more = ("--number_of_epochs", 1, "--freeze", "null", "--encoder.layers", "all")
    more += ("--rate_factors", "{acoustic.encoder: 0.1}")
    run = begin(*more).done()
    tensors, held = EncoderFolder(str(encoder)).tensors(), weights(run.folder)
    assert not torch.equal(
        held[f"{ENCODER}body.layers.0.final_layer_norm.bias"], tensors["encoder.layers.0.final_layer_norm.bias"]
    )
    front = "conv_layers.0.conv.weight"
    assert torch.equal(held[f"{ENCODER}front.{front}"], tensors[f"feature_extractor.{front}"])
    assert held["model.acoustic.mix.weights"].any()
    assert Recognizer.from_folder(run.folder)


def test_a_reference(begin, encoder, corpus, run):
    """The folder names the encoder and is small; opened, it hears what a folder with a copy hears."""
    more = ("--number_of_epochs", 2, "--lr", 1e-5, "--beam_size", 0, "--encoder_cache", "null")
    more += ("--keep_encoder", "reference")
    small = begin(*more, hooks=[babble]).done()
    assert not any(name.startswith(ENCODER) for name in weights(small.folder))
    clips = sorted((corpus / "clips").iterdir())[:2]
    said = [[t.text for t in Recognizer.from_folder(folder).transcribe(clips)] for folder in (small.folder, run.folder)]
    assert said[0] == said[1] and all(said[0])


@pytest.mark.parametrize(
    ("source", "more", "words"),
    [
        ("null", (), "give the public encoder with --encoder.source"),
        ("/nowhere/at/all", (), "there is no folder /nowhere/at/all"),
        (None, ("--encoder.layers", "[9]"), "from 1 to 2"),
        (
            None,
            ("--keep_encoder", "reference", "--freeze", "null"),
            "'keep_encoder' is reference, which needs frozen weights; set it to copy",
        ),
        (
            None,
            ("--pessl", "!include:pretraining/pessl.yaml"),
            "'pessl' masks features, of which EncodedModel has none",
        ),
    ],
)
def test_what_cannot_be(begin, encoder, source, more, words):
    """One sentence, before any audio is read."""
    run = begin(*more, source=source or encoder)
    assert run.wait() == 2 and words in run.output.splitlines()[-1]
    assert "Traceback" not in run.output and not (run.folder / "hyperparams.yaml").exists()
