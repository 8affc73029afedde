"""A model of several languages that says a token of each is told which one is spoken."""

from types import SimpleNamespace

import pytest
import torch

from serenanet_modules.data.languages import train_language_units
from serenanet_modules.decoding.attention import AttentionBeam
from serenanet_modules.decoding.label_search import Unsaid, attention_greedy
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.decoders.attention_decoder import AttentionDecoder
from serenanet_modules.runs.recogniser import OpenRun

LOCALES, D = ("en_us", "sw"), 8


def opened(attention, how="token"):
    units = train_language_units(how, "char", ["the dog sleeps", "mbwa analala"], LOCALES, None)
    model = SimpleNamespace(attention=attention, llm=None)
    return OpenRun("run", {"model": model}, units, {"locale": "en_us"}, ())


@pytest.mark.parametrize("language", LOCALES)
def test_every_search_begins_with_the_language_that_it_was_told(language):
    torch.manual_seed(0)
    size = opened(None).units.size
    decoder = AttentionDecoder(D, size, n_heads=2, n_layers=1, d_ffn=16).eval()
    units = opened(decoder).asked(language=language).units
    memory, lengths = torch.randn(2, 6, D), torch.tensor([6, 4])
    log_probs = torch.randn(2, 6, size).log_softmax(-1)
    (token,) = units.encode("", language)
    beam = AttentionBeam(decoder, units, 4, 0.0).nbest(memory, log_probs, lengths, 3)
    greedy = attention_greedy(decoder, memory, lengths, Unsaid(units))
    for labels in [*greedy, *(hypothesis.labels for found in beam for hypothesis in found)]:
        assert labels[0] == token
    assert opened(decoder).units.unsaid_first == ()


@pytest.mark.parametrize(
    ("how", "attention", "language", "message"),
    [
        ("token", "a decoder", "fr", "the model has no 'fr'; it has en_us, sw"),
        ("token", None, "sw", "leave them out"),
        ("own", "a decoder", "sw", "leave them out"),
    ],
)
def test_what_can_not_be_told(how, attention, language, message):
    with pytest.raises(UserError, match=message):
        opened(attention, how).asked(language=language)
