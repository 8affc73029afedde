"""Language models in fewer bits: how near their logits stay, what they weigh, and where there are none."""

import pytest
import torch
from torch import nn

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import CausalLM
from serenanet_modules.lobes.speech_llm import Said
from serenanet_modules.runtime.quantised import NF4Linear, check_quantisation, quantise
from tests.support.language_models import LORA, TINY_LMS, speech_llm

NEAR = {"int8": 0.02, "nf4": 0.12}  # of the norm of the logits
BEHIND = {"olmo2": 1.5}  # times as far: whose norms stand behind the layers


@pytest.mark.parametrize("name", TINY_LMS)
@pytest.mark.parametrize("kind", NEAR)
@torch.no_grad()
def test_logits_stay_near(name, kind):
    """Also with low-rank adapters, which four bits leave as they are."""
    torch.manual_seed(0)
    model = nn.Module()
    model.llm = CausalLM("none", TINY_LMS[name], learns="lora", lora=LORA).eval()  # as transformers begins
    x, valid = 0.02 * torch.randn(2, 9, model.llm.size), torch.ones(2, 9, dtype=torch.bool)
    before = model.llm(x, valid, 9)
    assert quantise(model, kind=kind)["layers"] > 10
    after = model.llm(x, valid, 9)
    assert 0 < float((after - before).norm() / before.norm()) < NEAR[kind] * BEHIND.get(name, 1)
    adapters = [m for n, m in model.llm.named_modules() if "lora_" in n and isinstance(m, nn.Linear)]
    assert adapters and (kind == "int8" or all(type(m) is nn.Linear for m in adapters))


def test_four_bits_a_number():
    """Any size; blocks of zeros stay zeros; the largest number of a block stays what it is."""
    torch.manual_seed(0)
    layer = nn.Linear(50, 7)
    with torch.no_grad():
        layer.weight[:2] = 0
    made = NF4Linear(layer)
    assert made.pairs.numel() == 6 * 32 and made.weight.shape == (7, 50)
    assert (
        not made.weight[:1].any()
        and float((made.weight - layer.weight.detach()).norm() / layer.weight.detach().norm()) < 0.12
    )
    kept = (made.weight == layer.weight).flatten()[100:]
    assert kept.any() and made(torch.ones(3, 50)).shape == (3, 7)
    torch.testing.assert_close(made(torch.eye(50)), (made.weight + layer.bias.unsqueeze(1)).t())


@torch.no_grad()
def test_it_writes_in_four_bits():
    """All of the speech LLM works as before, the same in a batch and alone."""
    model = speech_llm("llama")
    quantise(model, kind="nf4")
    wavs, lengths = torch.randn(2, 6000, generator=torch.Generator().manual_seed(0)), torch.tensor([6000, 3000])
    said = Said([[5]] * 2, [[6]] * 2, [[7, 8], [9, 10]])
    together = model(wavs, lengths, said=lambda *_: said).tokens
    alone = model(wavs[1:, :3000], lengths[1:], said=lambda *_: Said(*(part[1:] for part in said))).tokens
    torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "device", "precision", "words"),
    [
        ("int8", "cuda:0", "fp32", "int8: is for CPUs"),
        ("int4", "cpu", "fp32", "int4: needs a GPU of compute capability 8.0, and cpu is none; use nf4"),
        ("nf4", "cpu", "bf16", "nf4: cannot be combined with --eval-precision"),
    ],
)
def test_refusals(kind, device, precision, words):
    with pytest.raises(UserError, match=words):
        check_quantisation(kind, device, precision)


def test_other_models_have_no_language_model():
    with pytest.raises(UserError, match="nf4: is for speech LLMs"):
        quantise(nn.Linear(4, 4), kind="nf4")
