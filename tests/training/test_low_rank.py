"""Low-rank adapters: at first nothing changes, then only they learn, and in the end they are in the weights."""

import sys

import pytest
import torch
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.lobes import CTCModel
from serenanet_modules.lobes.encoders import ConMambaEncoder, RotaryTransformerEncoder
from serenanet_modules.lobes.pretrained import EncodedModel, PublicEncoder
from serenanet_modules.training.groups import Frozen, Weights, groups
from serenanet_modules.training.low_rank import LowRank, check_low_rank
from tests.support.encoders import TINY

TARGETS = {  # by the beginning of the names in `TINY`
    "wav2vec2-bert": ["linear_q", "linear_v"],
    "wavlm": ["intermediate_dense", "output_dense"],
    "whisper": ["q_proj", "v_proj", "fc1"],
    "": ["q_proj", "v_proj"],
}
RATE = 16000


def asked(targets, **changes):
    return {"r": 3, "alpha": 6, "dropout": 0.2, "targets": targets, **changes}


def recogniser(name="wav2vec2"):
    torch.manual_seed(0)
    encoder = PublicEncoder(name, TINY[name])
    return CTCModel(EncodedModel(encoder), 5)


def hidden(model):
    """What an encoder makes of two sounds."""
    wavs = torch.randn(2, RATE // 2, generator=torch.Generator().manual_seed(1))
    return model.eval()(wavs, torch.tensor([RATE // 2, RATE // 3])).hidden


def learned(model):
    """Give the adapters what a training would: values that are not zero."""
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if ".lora_B." in name:
            parameter.data.copy_(0.1 * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("name", TINY)
def test_start_and_end(name):
    """The base at first; merged what they were unmerged, under the base's names; each adapter is heard."""
    model = recogniser(name)
    names, before = model.state_dict().keys(), hidden(model)
    settings = asked(next(targets for start, targets in TARGETS.items() if name.startswith(start)))
    check_low_rank(model, settings)
    adapters = LowRank(model, settings, Frozen(), seed=1)
    torch.testing.assert_close(hidden(model), before, rtol=0, atol=1e-6)  # torch takes other ways for frozen weights
    learned(model)
    unmerged = hidden(model)
    assert (unmerged - before).abs().max() > 1e-3
    unmerged.square().sum().backward()
    got = [p.grad for name, p in model.named_parameters() if ".lora_" in name]
    assert got and all(gradient is not None and gradient.any() for gradient in got)
    adapters.merge()
    torch.testing.assert_close(hidden(model), unmerged, rtol=1e-5, atol=1e-5)
    assert list(model.state_dict()) == list(names)


def test_only_adapters_and_what_is_not_the_encoder_learn():
    """The rest stays out of the optimizer and out of checkpoints, and is in evaluation mode; adapters drop out."""
    model, frozen = recogniser(), Frozen()
    others = {name for name, _ in model.named_parameters() if "acoustic.encoder" not in name}
    LowRank(model, asked(["q_proj"]), frozen, seed=1)
    names = {id(p): name for name, p in model.named_parameters()}
    trained = {names[id(p)] for group in groups(nn.ModuleDict({"model": model})) for p in group["params"]}
    adapters = {name for name in names.values() if ".lora_" in name}
    assert trained == others | adapters and len(adapters) == 4
    assert Weights(model, frozen).state().keys() == trained
    model.train()
    frozen.before(0)
    modes = {type(module).__name__: set() for module in model.modules()}
    for name, module in model.acoustic.encoder.named_modules():
        if isinstance(module, nn.Dropout):
            assert module.training == ("lora_dropout" in name), name
        modes[type(module).__name__].add(module.training)
    assert modes["LayerNorm"] == {False} and modes["Dropout"] == {False, True}


def test_what_was_frozen_with_the_encoder():
    """``freeze`` may name the encoder too: adapters learn all the same."""
    model = recogniser()
    frozen = Frozen([model.acoustic.encoder, model.decoder])
    LowRank(model, asked("q_proj"), frozen, seed=1)
    assert model.decoder in frozen.parts and model.acoustic.encoder not in frozen.parts
    assert any(p.requires_grad for p in model.acoustic.encoder.parameters())
    assert not any(p.requires_grad for p in model.decoder.parameters())


def test_the_seed_decides():
    def weights(seed):
        model = recogniser()
        torch.manual_seed(seed + 10)
        LowRank(model, asked(["q_proj"]), Frozen(), seed=seed)
        return torch.cat([p.flatten() for name, p in model.named_parameters() if ".lora_A." in name])

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_none():
    """Without the hyper-parameter nothing is there to merge."""
    model, frozen = recogniser(), Frozen()
    before = hidden(model)
    for nothing in (asked(["q_proj"], r=0), None):
        check_low_rank(model, nothing)
        LowRank(model, nothing, frozen, seed=1).merge()
    assert torch.equal(hidden(model), before) and not frozen.parts


class Reading(nn.Module):
    """An acoustic model around an encoder of this project."""

    d_model = 8

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, wavs, lengths, conditions=None):
        x = wavs[:, : 8 * 20].unflatten(1, (20, 8))
        return self.encoder(x, torch.full((len(x),), 20))


def test_encoders_of_this_project():
    """The linear layers that they call can have adapters."""
    encoder = RotaryTransformerEncoder(d_model=8, n_heads=2, n_layers=1, d_ffn=16, dropout=0.0)
    model = CTCModel(Reading(encoder), 5)
    check_low_rank(model, asked(["qkv"]))
    LowRank(model, asked(["qkv"]), Frozen(), seed=1)
    assert any(p.requires_grad for p in encoder.parameters())


@pytest.mark.parametrize(
    ("model", "settings", "words"),
    [
        (
            lambda: recogniser("wavlm"),
            asked(["q_proj"]),
            "q_proj cannot have an adapter: the encoder reads its weights",
        ),
        (
            lambda: CTCModel(Reading(ConMambaEncoder(d_model=8, n_layers=1, d_ffn=8, kernel_size=3)), 5),
            asked(["dt_proj"]),
            "dt_proj cannot have an adapter",
        ),
        (recogniser, asked(["query"]), "no linear layer 'query'; it has intermediate_dense, k_proj, out_proj"),
    ],
)
def test_what_cannot_be(model, settings, words):
    model = model()
    with pytest.raises(UserError, match=words):
        check_low_rank(model, settings)
    assert model.training


def test_an_encoder_that_is_kept_by_reference():
    """Its folder would lack what the adapters have learned."""
    model = recogniser()
    model.acoustic.encoder.keep = "reference"
    with pytest.raises(UserError, match="keep_encoder: reference is for a frozen encoder"):
        check_low_rank(model, asked(["q_proj"]))


def test_without_peft(monkeypatch):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UserError, match="lora: needs peft; pip install"):
        check_low_rank(recogniser(), asked(["q_proj"]))
    check_low_rank(recogniser(), asked(["q_proj"], r=0))
