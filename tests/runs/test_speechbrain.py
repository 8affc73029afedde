"""SpeechBrain's hub folders as a start: their convolutions and Conformer in ours, and nothing of their files run."""

import pickle
from pathlib import Path

import pytest
import torch
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from torch import nn

from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.origin import open_origin
from tests.support.origins import new_model, start
from tests.support.refusals import refusal

YAML = """\
sample_rate: 16000
n_fft: 512
n_mels: 80
CNN: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
    input_shape: (8, 10, 80)
boom: !apply:os.system [touch {}]
"""
FEATURES = "!new:serenanet_modules.lobes.AbsoluteLogMel {{n_mels: 80, n_fft: 512, win_length: {}, hop_length: 10}}"
SIZES = [("encoder.n_heads", "2"), ("frontend.channels", "[8, 4]"), ("features", FEATURES.format(25))]
UNITS = train_units("char", ["mama anakula"], None)


def theirs():
    """(front end, transformer) at random, as of the Conformer recipes."""
    front = ConvolutionFrontEnd(
        (8, 10, 80),
        num_blocks=2,
        num_layers_per_block=1,
        out_channels=(8, 4),
        kernel_sizes=(3, 3),
        strides=(2, 2),
        residuals=(False, False),
    )
    transformer = TransformerASR(
        input_size=80,
        tgt_vocab=30,
        d_model=32,
        nhead=2,
        num_encoder_layers=1,
        num_decoder_layers=1,
        d_ffn=64,
        activation=nn.GELU,
        encoder_module="conformer",
        attention_type="RelPosMHAXL",
        normalize_before=True,
        causal=False,
    )
    return front.eval(), transformer.eval()


@pytest.fixture
def folder(tmp_path):
    """A folder as the hub holds them, and the modules in it."""
    torch.manual_seed(3)
    front, transformer = theirs()
    for parameter in [*front.parameters(), *transformer.parameters()]:
        nn.init.normal_(parameter, std=0.1)  # so that no norm or bias is as it begins
    heads = [nn.Linear(32, 30), nn.Linear(32, 30)]
    torch.save(nn.ModuleList([front, transformer, *heads]).state_dict(), tmp_path / "asr.ckpt")
    statistics = {"count": 5, "glob_mean": torch.randn(80), "glob_std": torch.rand(80) + 1}
    torch.save({**statistics, "spk_dict_mean": {}}, tmp_path / "normalizer.ckpt")
    (tmp_path / "hyperparams.yaml").write_text(YAML.format(tmp_path / "ran"))
    return tmp_path, front, transformer, statistics


def test_it_hears_what_theirs_hears(folder):
    """The acoustic model is SpeechBrain's to 1e-5, up to the front end's last frames, whose padding theirs mirrors."""
    path, front, transformer, statistics = folder
    hparams, model = new_model(UNITS, "conformer_ctc", *SIZES)
    begun = start(path, hparams, model, UNITS)
    assert not (path / "ran").exists()
    ours = model.acoustic.eval()
    ours.set_statistics(begun.statistics(ours))
    for name, value in (("mean", statistics["glob_mean"]), ("std", statistics["glob_std"])):
        assert torch.equal(getattr(ours.features, name), value)
    x, lengths = torch.randn(1, 61, 80), torch.tensor([61])
    with torch.no_grad():
        projected = transformer.custom_src_module(front(x).flatten(2))
        found = ours.frontend(x, lengths)
        assert torch.allclose(found.x[:, :-2], projected[:, :-2], atol=1e-5)
        encoded, _ = transformer.encoder(projected, pos_embs=transformer.positional_encoding(projected))
        heard = ours.encoder(projected, torch.tensor([projected.shape[1]])).x
        assert torch.allclose(heard, encoded, atol=1e-5) and not torch.allclose(heard, projected, atol=0.1)
    about = begun.about()
    assert about["folder"] == str(path) and about["parts"]["decoder"]["loaded"] == 0
    assert about["parts"]["speechbrain"]["left_out"] > 0 == about["parts"]["encoder"]["new"]


def test_features_of_other_windows(folder):
    """Sizes that no tensor shows: what the sentence asks for is what fits."""
    path, *_ = folder
    (path / "hyperparams.yaml").write_text(YAML.format(path / "ran") + "win_length: 32\n")
    with pytest.raises(UserError, match="the features differ from those of"):
        start(path, *new_model(UNITS, "conformer_ctc", *SIZES), UNITS)
    hparams, model = new_model(UNITS, "conformer_ctc", *SIZES[:2], ("features", FEATURES.format(32)))
    start(path, hparams, model, UNITS)
    assert len(model.acoustic.features.power.window) == 512


def test_without_a_normaliser(folder):
    """Statistics are fitted as from nothing."""
    path, *_ = folder
    (path / "normalizer.ckpt").unlink()
    hparams, model = new_model(UNITS, "conformer_ctc", *SIZES)
    assert start(path, hparams, model, UNITS).statistics(model.acoustic) is None


MISFITS = {
    "another encoder": ("serenanet/demo", [SIZES[2]], "acoustic.frontend.{} is not there in"),
    "another size": ("conformer_ctc", [*SIZES, ("encoder.d_ffn", "32")], "ffn_module1.1.ffn.0.weight is 64×32 in"),
    "other features": ("conformer_ctc", SIZES[:2], f"give --features '{FEATURES.format(25)}'"),
}


@pytest.mark.parametrize("name, options, words", MISFITS.values(), ids=MISFITS)
def test_misfits(folder, name, options, words):
    hparams, model = new_model(UNITS, name, *options)
    with pytest.raises(UserError) as caught:
        start(folder[0], hparams, model, UNITS)
    before, _, after = words.partition("{}")
    assert before in str(caught.value) and after in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["asr.ckpt", "normalizer.ckpt"])
def test_pickled_code_is_refused(folder, name):
    path, *_ = folder
    (path / name).write_bytes(pickle.dumps(Evil(path / "ran")))
    with pytest.raises(UserError, match=f"{name}: cannot be read as tensors alone"):
        open_origin(str(path))
    assert not (path / "ran").exists()


@pytest.mark.parametrize("name", ["asr.ckpt", "normalizer.ckpt"])
@pytest.mark.parametrize("wrong", ["nothing to give", "changed", "cut", "text", "empty"])
def test_broken_checkpoints_are_refused(folder, name, wrong):
    """In one sentence with their names, also where torch would not notice."""
    path, *_ = folder
    content = (path / name).read_bytes()
    contents = {"nothing to give": b"\x80\x02.", "changed": content.replace(b"torch", b"porch"), "cut": content[:-99]}
    (path / name).write_bytes(contents.get(wrong, b"weights" if wrong == "text" else b""))
    assert "cannot be read as tensors alone" in refusal(lambda: open_origin(str(path)), name)


class Evil:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)
