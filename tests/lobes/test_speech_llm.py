"""A speech LLM: positions, padding, losses and frozen parts; adapters; the size of the plan's own one."""

from types import SimpleNamespace

import pytest
import torch
from speechbrain.core import Stage
from torch.nn import functional

from serenanet_modules.decoding.decoders import Decoders
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.adapter import ConvAdapter, QFormerAdapter, StackAdapter, by_labels
from serenanet_modules.lobes.blocks.parts import Frames
from serenanet_modules.lobes.pretrained import CausalLM
from serenanet_modules.lobes.speech_llm import Said
from serenanet_modules.training.brains.speech_llm import SpeechLLMBrain, drawn_contexts, share_too_long, token_loss
from tests.support.language_models import LORA, SIZES, TINY_LMS, speech_llm

TEXTS = [[40, 41, 42, 43, 44], [50], []]
SAID = Said([[5, 6, 7]] * 3, [[8]] * 3, TEXTS)


def sounds(model, lengths=(8000, 5000, 1700)):
    """wavs (B, S) and lengths (B,)."""
    wavs = torch.randn(len(lengths), max(lengths), generator=torch.Generator().manual_seed(2))
    return wavs, torch.tensor(lengths)


@pytest.mark.parametrize("name", TINY_LMS)
@torch.no_grad()
def test_left_padded_is_one_by_one(name):
    """Logits of a batch are those of each utterance alone, whose sequence has no padding."""
    model = speech_llm(name)
    wavs, lengths = sounds(model)
    together = model(wavs, lengths, said=lambda *_: SAID).tokens
    for i, text in enumerate(TEXTS):
        own = Said(*([part[i]] for part in SAID))
        alone = model(wavs[i : i + 1, : lengths[i]], lengths[i : i + 1], said=lambda *_, own=own: own)
        torch.testing.assert_close(together[i, -len(text) - 1 :], alone.tokens[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", TINY_LMS)
@torch.no_grad()
def test_a_step_with_the_cache_is_the_whole_sequence(name):
    """And padding in front of a short mate stays padding while texts grow."""
    model = speech_llm(name)
    output = model(*sounds(model))
    heard = model.embeddings(output.hidden, output.decoder, output.lengths)
    texts = [[40, 41, 42], [50, 51, 52], [60, 61, 62]]
    want = model.llm(*model.sequences(heard, Said(SAID.before, SAID.after, texts)), 4)
    cache, (x, valid) = model.llm.start(), model.sequences(heard, Said(SAID.before, SAID.after, [[]] * 3))
    for step in range(4):
        got = model.llm(x, valid, 1, cache)[:, -1]
        torch.testing.assert_close(got, want[:, step], rtol=1e-4, atol=1e-4)
        if step < 3:
            x = model.llm.embed(torch.tensor([[text[step]] for text in texts]))
            valid = functional.pad(valid, (0, 1), value=True)


def test_the_loss_is_of_texts_and_ends_alone():
    """As transformers has it with labels of -100 on prompt and sound; also in bfloat16, whose 8 bits no id survives."""
    model = speech_llm("llama")
    wavs, lengths = sounds(model)
    logits = model(wavs, lengths, said=lambda *_: SAID).tokens
    summed, right, count = token_loss(logits, TEXTS, 2)
    assert count.tolist() == [6, 2, 1] and (right <= count).all()
    for i, text in enumerate(TEXTS):
        expected = functional.cross_entropy(logits[i, -len(text) - 1 :], torch.tensor([*text, 2]), reduction="sum")
        torch.testing.assert_close(summed[i], expected)
    with torch.autocast("cpu", torch.bfloat16):
        model(wavs, lengths, said=lambda *_: Said(SAID.before, SAID.after, [[299] * 5, [298], []]))
        low = token_loss(model(wavs, lengths, said=lambda *_: SAID).tokens, TEXTS, 2)[0]
    torch.testing.assert_close(low, summed, rtol=0.1, atol=0.1)
    assert torch.equal(
        model.llm.embed(torch.tensor([299, 298])), model.llm.network.get_input_embeddings().weight[[299, 298]]
    )


@pytest.mark.parametrize("learns", ["frozen", "lora"])
def test_what_is_frozen_stays_bit_for_bit(learns):
    """In training mode it does as in evaluation; adapters begin by changing nothing, and alone have a gradient."""
    model = speech_llm("qwen3", learns=learns, lora={**LORA, "dropout": 0.3})
    torch.manual_seed(3)
    with torch.no_grad():  # `speech_llm` has moved the adapters from their beginning
        for name, parameter in model.llm.named_parameters():
            if "lora_B" in name:
                parameter.zero_()
    wavs, lengths = sounds(model)
    before = {name: tensor.clone() for name, tensor in model.llm.state_dict().items()}
    base = CausalLM("none", TINY_LMS["qwen3"])
    base.load({name: before[own] for name, own in model.llm.own().items()})
    output = model(wavs, lengths)
    x, valid = model.sequences(model.embeddings(output.hidden, output.decoder, output.lengths), SAID)
    assert torch.equal(model.llm.train()(x, valid, 6), base.eval()(x, valid, 6))
    assert not any(part.training for name, part in model.llm.network.named_modules() if "lora_" not in name)
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.1)
    token_loss(model(wavs, lengths, said=lambda *_: SAID).tokens, TEXTS, 2)[0].sum().backward()
    optimizer.step()
    changed = {name for name, tensor in model.llm.state_dict().items() if not torch.equal(tensor, before[name])}
    assert all(".lora_" in name for name in changed) and bool(changed) == (learns == "lora")
    assert all(p.grad is not None for p in model.adapter.parameters())


def test_contexts_are_drawn():
    """By torch's numbers alone, also their order: two processes, and a run that goes on, draw the same."""
    texts = [["mama", "anakula", "ndizi", "baba"], ["kuku"], []] * 40
    assert drawn_contexts(texts, 0) == [""] * 120
    torch.manual_seed(0)
    found = drawn_contexts(texts, 4)
    words = [context.split(", ") for context in found if context]
    assert 40 < len(words) < 80 and all(said == sorted(set(said)) and len(said) <= 4 for said in words)
    assert {"kuku", "ndizi"} < {word for said in words for word in said}


def test_texts_that_no_answer_is_long_enough_for_are_counted():
    """Twelve tokens a second and ten; of many texts some are looked at."""
    letters = SimpleNamespace(encode=list)
    rows = [SimpleNamespace(text="a" * n, duration=1.0) for n in (22, 23)]
    assert share_too_long(letters, []) == share_too_long(letters, rows[:1]) == 0
    assert share_too_long(letters, rows * 2) == 0.5
    assert share_too_long(letters, rows[1:] * 5000) == 1


def test_a_context_has_commas_between_words_in_training_as_in_use():
    """Those that are drawn stand behind the one that is given; outside of training none are drawn."""
    hparams = SimpleNamespace(context="Wanjiku", context_words=2)
    brain, said = SimpleNamespace(hparams=hparams), [SimpleNamespace(text="mama")] * 20
    assert set(SpeechLLMBrain.contexts(brain, said, Stage.TRAIN)) == {"Wanjiku", "Wanjiku, mama"}
    assert set(SpeechLLMBrain.contexts(brain, said, Stage.VALID)) == {"Wanjiku"}
    settings = {"context": "Wanjiku", "draft": False, "attention_beam_size": 1}
    used = Decoders(speech_llm(), None, settings, hotwords={"mama": 1.0}).prompted()
    assert used.context == "Wanjiku, mama"


def test_the_sound_is_heard_at_the_size_of_embeddings():
    model = speech_llm("llama")
    output = model(*sounds(model))
    x = model.embeddings(output.hidden, output.decoder, output.lengths).x[0, :3].detach()
    assert float(x.square().mean().sqrt() / model.llm.rms) == pytest.approx(1, rel=1e-3)
    assert (x < 0).any() and (x > 0).any()


def test_too_long_is_refused():
    """Doge attends to what is to come beyond its window, so that its window is its length."""
    model = speech_llm("doge")
    x = torch.zeros(1, 65, SIZES["hidden_size"])
    with pytest.raises(UserError, match="65 positions, and the language model has 64; give a shorter context"):
        model.llm(x, torch.ones(1, 65, dtype=torch.bool), 1)


# --- adapters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "counts"),
    [
        (StackAdapter(6, 4, 8, stack=4), [1, 1, 2, 6]),
        (ConvAdapter(6, 4, 8), [1, 1, 2, 6]),
        (QFormerAdapter(6, 4, 8, window=10, n_queries=3, n_layers=1, n_heads=2), [3, 3, 3, 9]),
    ],
)
def test_no_frame_is_dropped(adapter, counts):
    """Also the last ones change what is heard, and the number of embeddings is the ceiling."""
    lengths = torch.tensor([1, 4, 5, 23])
    x = torch.randn(4, 23, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    y, found, *_ = adapter(x, lengths)
    assert found.tolist() == counts
    sum((y[i, :n] * torch.randn(n, 4)).sum() for i, n in enumerate(counts)).backward()
    for i, n in enumerate(lengths.tolist()):
        assert x.grad[i, :n].any(1).all() and not x.grad[i, n:].any()


def test_a_convolution_that_has_no_middle_is_refused():
    with pytest.raises(ValueError, match="kernel_size is 4; it must be odd"):
        ConvAdapter(6, 4, 8, kernel_size=4)


def test_frames_of_a_label_are_merged():
    """As many frames as labels; what is all blank is one."""
    path = [[0, 0, 3, 3, 0, 3, 5, 0], [0] * 8]
    log_probs = (torch.eye(6)[torch.tensor(path)] * 20).log_softmax(-1)
    x = torch.arange(16.0).view(2, 8, 1)
    merged: Frames = by_labels(x, log_probs, torch.tensor([8, 3]))
    assert merged.lengths.tolist() == [3, 1]
    torch.testing.assert_close(merged.x[0, :, 0], torch.tensor([2.5, 5.0, 6.0]), atol=0.05, rtol=0)
    torch.testing.assert_close(merged.x[1, :1, 0], torch.tensor([9.0]))  # the mean of its three frames


@torch.no_grad()
def test_merging_is_each_utterances_own():
    model = speech_llm("llama", compress="ctc")
    model.decoder.weight.mul_(30)
    wavs, lengths = sounds(model)
    together = model(wavs, lengths, said=lambda *_: SAID).tokens
    own = Said(*(part[1:2] for part in SAID))
    alone = model(wavs[1:2, :5000], lengths[1:2], said=lambda *_: own).tokens
    torch.testing.assert_close(together[1, -2:], alone[0], rtol=1e-4, atol=1e-4)


# --- sizes ------------------------------------------------------------------------------------------------------------

DOGE = {"model_type": "doge", "hidden_size": 1024, "num_hidden_layers": 32, "intermediate_size": 2048}
DOGE |= {"num_attention_heads": 8, "num_key_value_heads": 4, "vocab_size": 32768, "tie_word_embeddings": True}
DOGE |= {"keep_window_size": 2048, "eos_token_id": 1}


def test_the_plans_own_adapter_has_1574400_parameters():
    """Frames of Granite Speech's projector, 2048 wide, go through 512 into Doge's 1024; nothing else is trained."""
    with torch.device("meta"):
        llm = CausalLM("Doge", DOGE)
        adapter = StackAdapter(2048, llm.size, 512, stack=1, norm=False)
    assert sum(p.numel() for p in llm.parameters()) == pytest.approx(335.8e6, rel=1e-3)
    assert not any(p.requires_grad for p in llm.parameters())
    assert sum(p.numel() for p in adapter.parameters() if p.requires_grad) == 1_574_400
