"""Public parts of a run that starts from a finished model: copied or referred to there, copied or referred to here."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.public_encoder import EncoderFolder
from serenanet_modules.runs.public_parts import take_weights
from serenanet_modules.runs.start import Start
from serenanet_modules.training.public_source import begin_from_source
from tests.support.encoders import save_encoder
from tests.support.folders import make_random_result
from tests.support.origins import RUN
from tests.support.presets import preset

HEAD = (("head.n_layers", "1"), ("head.d_ffn", "32"), ("d_model", "32"))
OVERRIDES = (("data_folder", "none"), ("dataset", "Random/sw"), ("locale", "sw"), *HEAD)
ENCODER = "model.acoustic.encoder."


@pytest.fixture(name="encoder")
def _encoder(tmp_path):
    return save_encoder(tmp_path / "encoder", "wav2vec2")


@pytest.fixture(name="finished")
def _finished(encoder, tmp_path):
    """A function of how the encoder is kept: the folder of a run over it that has changed no number of it."""

    def made(keep):
        source = EncoderFolder(str(encoder))
        folder = make_random_result(tmp_path / keep, preset("pretrained_ctc"), *HEAD)
        (folder / "result.json").write_text(json.dumps(RUN), encoding="utf-8")
        told = (folder / "hyperparams.yaml").read_text(encoding="utf-8")
        told = told.replace("source: wav2vec2", f"source: {encoder}").replace("sha256:", f"sha256: {source.sha256}")
        (folder / "hyperparams.yaml").write_text(told.replace("keep: copy", f"keep: {keep}"), encoding="utf-8")
        tensors = load_file(folder / "weights.safetensors")
        tensors = {name: t for name, t in tensors.items() if not name.startswith(ENCODER)}
        if keep == "copy":
            part = new_model(encoder, "copy")[1].acoustic.encoder
            take_weights(part)
            tensors |= {f"{ENCODER}{name}": t for name, t in part.state_dict().items()}
        save_file(tensors, folder / "weights.safetensors")
        return folder

    return made


def new_model(encoder, keep):
    """(hyper-parameters, model) of a run over an encoder."""
    source = EncoderFolder(str(encoder))
    hparams = Hparams.load(preset("pretrained_ctc"))
    hparams.override([*OVERRIDES, ("keep_encoder", keep)])
    hparams.fill("encoder", {"source": str(encoder), "config": source.arguments(), "sha256": source.sha256})
    hparams.set("n_units", 7)
    return hparams, hparams.build()["model"]


def begin(folder, encoder, keep):
    """A model that has begun from a result folder, its encoder frozen."""
    hparams, model = new_model(encoder, keep)
    model.acoustic.encoder.requires_grad_(False)
    start = Start(open_origin(str(folder)), hparams, model)
    plain = {**hparams.plain(), "pretrained": str(folder)}
    begin_from_source(model, plain, "speech.yaml", start.given())
    start.transfer.load_into(model)
    return model


@pytest.mark.parametrize("there", ["copy", "reference"])
@pytest.mark.parametrize("here", ["copy", "reference"])
def test_the_encoder_is_that_of_the_source(finished, encoder, there, here):
    """However it is kept there and here; the head is the finished model's."""
    folder = finished(there)
    state = begin(folder, encoder, here).state_dict()
    tensors = load_file(encoder / "model.safetensors")
    name = "feature_projection.projection.weight"
    assert torch.equal(state["acoustic.encoder.network.projection.projection.weight"], tensors[name])
    held = load_file(folder / "weights.safetensors")
    assert all(torch.equal(state[name.removeprefix("model.")], held[name]) for name in held if ".head." in name)


def test_a_changed_encoder_is_copied_or_refused(finished, encoder):
    """A result folder that refers to the source would hold another model than the one that was trained."""
    folder = finished("copy")
    file = folder / "weights.safetensors"
    tensors, name = load_file(file), f"{ENCODER}network.projection.projection.bias"
    tensors[name] += 1e-3
    save_file(tensors, file)
    with pytest.raises(UserError) as caught:
        begin(folder, encoder, "reference")
    sentence = str(caught.value)
    assert sentence == (
        f"speech.yaml: the public encoder in {folder} has other weights than {encoder}, to which the result folder "
        "would refer; set 'keep_encoder' to copy"
    )
    assert torch.equal(begin(folder, encoder, "copy").state_dict()[name.removeprefix("model.")], tensors[name])


@pytest.mark.parametrize("here", ["copy", "reference"])
def test_a_head_over_another_encoder(finished, encoder, tmp_path, here):
    """What a finished run refers to is what its head has learned to read."""
    folder = finished("reference")
    other = save_encoder(tmp_path / "other", "wav2vec2")
    tensors = load_file(other / "model.safetensors")
    tensors["feature_projection.projection.bias"] += 1e-3
    save_file(tensors, other / "model.safetensors")
    with pytest.raises(UserError, match="was trained over the weights of .* give the same ones with --encoder.source"):
        begin(folder, other, here)
